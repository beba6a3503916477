"""Which restores are let in, and what is said to the others: all that is wrong at once.

422 with causes for what is wrong with a restore, 400 when it cannot be judged, 500 when the webhook breaks.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.lab import Lab, kubevirt, snapshots, unique, volumes
from tests.contract.test_restores import WEBHOOK, complete, path_of
from tests.contract.test_snapshot_sources import not_locked, vm_with
from tests.contract.test_storage import phase
from tests.http_api import Failed, Obj

pytestmark = pytest.mark.needs_controllers

VM = {"apiGroup": "kubevirt.io", "kind": "VirtualMachine"}
COPY = {**VM, "name": "copy"}
NO_VOLUME = ("spec.volumeRestoreOverrides[0].volumeName", "must provide a volume name", "FieldValueRequired")
NOTHING = ("spec.volumeRestoreOverrides[0]", "must provide at least one overriden field", "FieldValueRequired")
BAD_POLICY = ("spec.volumeRestorePolicy", 'volume restore policy "Never" doesn\'t exist', "FieldValueInvalid")
BAD_OWNER = ("spec.volumeOwnershipPolicy", 'volume ownership policy "Never" doesn\'t exist', "FieldValueInvalid")


@pytest.fixture
async def golden(lab: Lab) -> Lab:
    """A stopped VM `cp` and its snapshot `cp-snap`."""
    await lab.halted("cp")
    await lab.snapshot("cp")
    return lab


async def denial(lab: Lab, **spec: Any) -> Failed:
    with pytest.raises(Failed) as denied:
        await lab.begin_restore(unique("restore"), "cp", **spec)
    return denied.value


def causes(failed: Failed) -> list[tuple[str, str, str]]:
    found = failed.body["details"]["causes"]
    return [(one["field"], one["message"], one["reason"]) for one in found]


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        (
            {"target": {"kind": "VirtualMachine", "name": "cp"}},
            [("spec.target.apiGroup", "missing apiGroup", "FieldValueNotFound")],
        ),
        ({"target": {**VM, "apiGroup": "apps", "name": "cp"}}, [("spec.target.apiGroup", "invalid apiGroup", "")]),
        ({"target": {**VM, "kind": "Pod", "name": "cp"}}, [("spec.target.kind", "invalid kind", "")]),
        ({"volumeRestorePolicy": "Never"}, [BAD_POLICY]),
        ({"volumeOwnershipPolicy": "Never"}, [BAD_OWNER]),
        ({"volumeRestoreOverrides": [{"volumeName": "", "restoreName": "x"}]}, [NO_VOLUME]),
        ({"volumeRestoreOverrides": [{"volumeName": "rootdisk"}]}, [NOTHING]),
        (
            {
                "volumeRestoreOverrides": [{"volumeName": ""}],
                "volumeRestorePolicy": "Never",
                "volumeOwnershipPolicy": "Never",
            },
            [NO_VOLUME, NOTHING, BAD_POLICY, BAD_OWNER],
        ),
        # Nothing else is looked at in a restore of something that is no VM.
        (
            {"target": {**VM, "kind": "Pod", "name": "cp"}, "volumeRestorePolicy": "Never"},
            [("spec.target.kind", "invalid kind", "")],
        ),
    ],
)
async def test_all_that_is_wrong_with_a_restore_is_told_at_once(
    lab: Lab, spec: dict[str, Any], wanted: list[tuple[str, str, str]]
) -> None:
    failed = await denial(lab, **spec)
    assert (failed.code, failed.body["reason"]) == (422, "Invalid")
    assert causes(failed) == [(field, message, reason or "FieldValueInvalid") for field, message, reason in wanted]
    assert failed.message == WEBHOOK + ", ".join(message for _, message, _ in wanted)


async def test_of_many_faults_ten_are_said_and_the_others_counted(lab: Lab) -> None:
    failed = await denial(lab, volumeRestoreOverrides=[{"volumeName": ""}] * 6)
    said = "must provide a volume name, must provide at least one overriden field"
    assert failed.message == f"{WEBHOOK}{', '.join([said] * 5)}, and 2 more validation errors"
    assert len(causes(failed)) == 10


async def test_empty_labels_override_something(golden: Lab) -> None:
    await golden.restore("one", "cp", volumeRestoreOverrides=[{"volumeName": "rootdisk", "labels": {}}])


@pytest.mark.parametrize(
    ("patch", "text"),
    [
        (
            '{"op": "replace", "path": "/metadata/name", "value": "x"}',
            'patching is valid only for elements under /spec/ only:  "path": "/metadata/name"',
        ),
        (
            '{"op": "replace", "path"}',
            'patch format is not valid - one ":" expected in a single key-value json patch:  "path"',
        ),
        (
            '{"op": "replace", "path": "/spec/x", "value": "a:b"}',
            'patch format is not valid - one ":" expected in a single key-value json patch:  "value": "a:b"',
        ),
    ],
)
async def test_patches_are_for_the_spec_and_taken_apart_at_commas_and_colons(
    golden: Lab, patch: str, text: str
) -> None:
    failed = await denial(golden, target=COPY, patches=[patch])
    assert causes(failed) == [("spec.patches", text, "FieldValueInvalid")]
    assert (failed.code, failed.message) == (422, WEBHOOK + text)


async def test_without_its_snapshot_a_restore_is_let_in_whatever_its_patches(lab: Lab) -> None:
    await lab.begin_restore("early", "cp", target=COPY, patches=['{"path": "/metadata/name"}'])


async def test_a_snapshot_that_has_no_content_yet_cannot_be_restored_to_another_vm(lab: Lab) -> None:
    await vm_with(lab, "absent")
    await not_locked(lab, "volume doesnt exist: absent")
    failed = await denial(lab, target=COPY)
    assert (failed.code, failed.message) == (400, f"{WEBHOOK}snapshot content name is nil in vmSnapshot status")
    # The VM itself may wait for it.
    await lab.begin_restore("waiting", "cp")


async def test_a_vm_with_state_of_its_own_cannot_be_restored_to_another_one(lab: Lab) -> None:
    await lab.secrets("cp")
    vm = lab.vm("cp", strategy="Halted")
    vm["spec"]["template"]["spec"]["domain"]["devices"]["tpm"] = {"persistent": True}
    await lab.api.create(kubevirt(lab.namespace), vm)
    await lab.api.until(volumes(lab.namespace, "cp-rootdisk"), phase("Succeeded"))
    # The claim of that state is made at the first start.
    await lab.launch()
    await lab.halt()
    await lab.snapshot("cp")
    text = "Restore to a different VM is not supported when snapshotted VM has backend storage (persistent TPM or EFI)"
    failed = await denial(lab, target=COPY)
    assert causes(failed) == [("spec", text, "FieldValueInvalid")]


async def test_what_a_restore_is_of_never_changes(golden: Lab) -> None:
    await golden.restore("one", "cp")
    change = {"spec": {"virtualMachineSnapshotName": "other"}}
    with pytest.raises(Failed) as denied:
        await golden.api.merge(path_of(golden, "cp-one"), change)
    text = "spec in immutable after creation"  # The typo is KubeVirt's.
    assert (denied.value.code, denied.value.message) == (422, WEBHOOK + text)
    assert causes(denied.value) == [("spec", text, "FieldValueInvalid")]


async def test_restores_of_different_vms_are_none_of_each_others_business(golden: Lab) -> None:
    await golden.halted("wk")
    await golden.snapshot("wk")
    for name in ("cp", "wk"):
        await golden.begin_restore(f"{name}-one", name)
    for name in ("cp", "wk"):
        await golden.api.until(path_of(golden, f"{name}-one"), complete)


async def test_a_restore_is_in_the_way_of_another_one_that_is_wrong_too(golden: Lab) -> None:
    await golden.launch()
    restore: Obj = await golden.begin_restore("first", "cp", targetReadinessPolicy="WaitEventually")
    await golden.api.until(path_of(golden, "first"), lambda one: one and one.get("status"))
    failed = await denial(golden, volumeRestorePolicy="Never")
    busy = ("spec.target", 'VirtualMachineRestore "first" in progress', "FieldValueInvalid")
    assert causes(failed) == [BAD_POLICY, busy]
    assert await golden.api.names(snapshots(golden.namespace, "virtualmachinerestores")) == ["first"]
    assert restore["spec"]["target"]["name"] == "cp"
