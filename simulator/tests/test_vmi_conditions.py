"""What an instance says of its disks and of its moving elsewhere, as tables."""

from __future__ import annotations

import pytest

from simulator.controllers.handler.migratable import BRIDGED, live_migratable
from simulator.controllers.virt.vmi_status import with_data_volumes
from tests.http_api import Obj
from tests.test_vm_status import condition, vmi

POD = [{"name": "pod", "pod": {}}]
SHARED = "live migration requires that all PVCs must be shared (using ReadWriteMany access mode)"


def volume(status: str | None) -> Obj:
    return {"status": {"conditions": [condition("Ready", status)] if status else []}}


@pytest.mark.parametrize(
    ("statuses", "status", "reason", "message"),
    [
        (["True", "True"], "True", "AllDVsReady", "All of the VMI's DVs are bound and ready"),
        (["True", "False"], "False", "NotAllDVsReady", "Not all of the VMI's DVs are ready"),
        (["True", None], "Unknown", "NotAllDVsReady", "Not all of the VMI's DVs are ready"),
        ([None, "False"], "False", "NotAllDVsReady", "Not all of the VMI's DVs are ready"),
    ],
)
def test_disks_are_ready_when_all_are(statuses: list[str | None], status: str, reason: str, message: str) -> None:
    told = with_data_volumes(vmi("Scheduling"), [volume(one) for one in statuses])
    [found] = told["status"]["conditions"]
    assert (found["type"], found["status"]) == ("DataVolumesReady", status)
    assert (found["reason"], found["message"]) == (reason, message)


def test_an_instance_without_such_disks_says_nothing_of_them() -> None:
    assert with_data_volumes(vmi("Running"), []) == vmi("Running")
    assert with_data_volumes(vmi("Pending"), [volume("False")]) == vmi("Pending")


def claim(*modes: str) -> Obj:
    return {"metadata": {"name": "disk"}, "spec": {"accessModes": list(modes)}}


def instance(interface: Obj | None, networks: list[Obj]) -> Obj:
    devices = {} if interface is None else {"interfaces": [{"name": "pod", **interface}]}
    return {"spec": {"domain": {"devices": devices}, "networks": networks}}


@pytest.mark.parametrize(
    ("interface", "networks", "claims", "expected"),
    [
        ({"masquerade": {}}, POD, [claim("ReadWriteMany")], ("True", None, None)),
        ({"masquerade": {}}, POD, [], ("True", None, None)),
        ({"bridge": {}}, POD, [claim("ReadWriteOnce")], ("False", "InterfaceNotLiveMigratable", BRIDGED)),
        (None, [], [], ("False", "InterfaceNotLiveMigratable", BRIDGED)),
        ({"bridge": {}}, [{"name": "pod", "multus": {}}], [claim("ReadWriteMany")], ("True", None, None)),
        (
            {"masquerade": {}},
            POD,
            [claim("ReadWriteMany"), claim("ReadWriteOnce")],
            ("False", "DisksNotLiveMigratable", f"cannot migrate VMI: PVC disk is not shared, {SHARED}"),
        ),
    ],
)
def test_an_instance_moves_if_its_network_and_all_its_disks_do(
    interface: Obj | None, networks: list[Obj], claims: list[Obj], expected: tuple[str, str | None, str | None]
) -> None:
    found = live_migratable(instance(interface, networks), claims)
    assert (found["status"], found.get("reason"), found.get("message")) == expected
