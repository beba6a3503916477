"""What must not change in a VM while it is snapshotted or restored, and how much of what is wrong is told."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from simulator.api.errors import ApiError, Cause
from simulator.app import Simulator
from simulator.client.resources import VMS
from simulator.virtapi.admission import VM_VALIDATOR, vm_faults
from simulator.virtapi.denials import denied, refused
from tests.http_api import Obj

VOLUMES = 'Cannot update vm disks or volumes until snapshot "s" completes'
STATE = 'Cannot update vm running state until snapshot "s" completes'
STRATEGY = 'Cannot update VM runStrategy until restore "r" completes'
TEMPLATE: Obj = {"spec": {"domain": {"devices": {"disks": []}}, "volumes": [{"name": "a", "emptyDisk": {}}]}}


def vm(status: Obj, **spec: object) -> Obj:
    inside = {"template": copy.deepcopy(TEMPLATE), **(spec or {"runStrategy": "Halted"})}
    return {"metadata": {"name": "vm", "namespace": "ns"}, "spec": inside, "status": status}


def told(old: Obj, new: Obj) -> list[Cause]:
    """The causes of the first look that finds any."""
    return next((causes for causes in map(list, vm_faults(new, old)) if causes), [])


def other_volumes(new: Obj) -> Obj:
    new["spec"]["template"]["spec"]["volumes"] = [{"name": "b", "emptyDisk": {}}]
    return new


SNAPSHOT, RESTORE = {"snapshotInProgress": "s"}, {"restoreInProgress": "r"}


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (vm(SNAPSHOT), vm(SNAPSHOT, runStrategy="Always"), STATE),
        (vm(SNAPSHOT), vm(SNAPSHOT, running=False), STATE),
        (vm(SNAPSHOT), other_volumes(vm(SNAPSHOT)), VOLUMES),
        (vm(SNAPSHOT), other_volumes(vm(SNAPSHOT, runStrategy="Always")), VOLUMES),
        (vm(RESTORE), vm(RESTORE, runStrategy="Always"), STRATEGY),
        (vm(RESTORE, runStrategy="Always"), vm(RESTORE, runStrategy="Halted"), STRATEGY),
        (vm(SNAPSHOT | RESTORE), vm(SNAPSHOT | RESTORE, runStrategy="Always"), STATE),
    ],
)
def test_what_a_snapshot_or_a_restore_holds_is_not_supported_to_change(old: Obj, new: Obj, text: str) -> None:
    assert told(old, new) == [Cause("spec", text, "FieldValueNotSupported")]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (vm({}), vm({}, runStrategy="Always")),
        (vm(RESTORE), vm(RESTORE, running=False)),
        (vm(RESTORE), other_volumes(vm(RESTORE))),
        (vm(SNAPSHOT), vm(SNAPSHOT)),
    ],
)
def test_the_rest_may_change(old: Obj, new: Obj) -> None:
    assert told(old, new) == []


def test_a_vm_without_template_is_told_nothing_else() -> None:
    new = {"metadata": {"name": "vm"}, "spec": {"template": None}}
    [cause] = next(map(list, vm_faults(new, None)))
    assert (cause.message, cause.reason) == ("missing virtual machine template.", "FieldValueRequired")


@pytest.mark.parametrize(
    "template",
    ["x", {"spec": 1}, {"spec": {"domain": []}}, {"spec": {"domain": {"firmware": "x"}}}],
)
async def test_what_is_no_template_is_refused_by_the_schema(simulator: Simulator, template: Any) -> None:
    spec = {"runStrategy": "Halted", "template": template}
    vm = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": {"name": "vm"}, "spec": spec}
    with pytest.raises(ApiError, match="in body must be of type object"):
        await simulator.client.create(VMS, vm, "default")


def test_ten_faults_are_spelled_out() -> None:
    causes = [Cause("spec", str(number)) for number in range(12)]
    start = f'admission webhook "{VM_VALIDATOR}" denied the request: '
    assert denied(VM_VALIDATOR, causes[:10]).message == f"{start}0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    error = denied(VM_VALIDATOR, causes)
    assert error.message == f"{start}0, 1, 2, 3, 4, 5, 6, 7, 8, 9, and 2 more validation errors"
    assert error.details is not None
    assert [cause["message"] for cause in error.details["causes"]] == [str(number) for number in range(10)]


def test_what_cannot_be_judged_is_a_bad_request() -> None:
    error = refused("x", "snapshot feature gate not enabled")
    assert (error.code, error.reason) == (400, "BadRequest")
