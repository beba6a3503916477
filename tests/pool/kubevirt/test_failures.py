"""Why a VM does not come up: every status KubeVirt has, and the texts that say more."""

from __future__ import annotations

from typing import Any

import pytest

from pool.kubevirt.failures import failure_of


def vm(printable: str, *conditions: dict[str, Any]) -> dict[str, Any]:
    return {
        "metadata": {"name": "cp-cluster1", "namespace": "cluster1"},
        "status": {"printableStatus": printable, "conditions": list(conditions)},
    }


@pytest.mark.parametrize(
    ("printable", "reason"),
    [
        ("Terminating", None),
        ("Stopping", None),
        ("Migrating", None),
        ("Paused", None),
        ("Running", None),
        ("ErrorPvcNotFound", "PVCMissing"),
        ("DataVolumeError", "DataVolume"),
        ("ErrorUnschedulable", "Unschedulable"),
        ("Provisioning", None),
        ("WaitingForVolumeBinding", None),
        ("ErrImagePull", "ImagePull"),
        ("ImagePullBackOff", "ImagePull"),
        ("Starting", None),
        ("CrashLoopBackOff", "CrashLoop"),
        ("Stopped", None),
        ("WaitingForReceiver", None),
        ("Unknown", None),
    ],
)
def test_every_printable_status(printable: str, reason: str | None) -> None:
    failure = failure_of(vm(printable))
    assert (failure.reason if failure else None) == reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "Not authorized to create DataVolume cluster1/cp: User system:serviceaccount:cluster1:default has "
            "insufficient permissions in clone source namespace vm-templates",
            "CloneUnauthorized",
        ),
        (
            "Error encountered while creating DataVolumes: not authorized to create DataVolume: no such role",
            "CloneUnauthorized",
        ),
        (
            'failed to create virtual machine pod: pods "virt-launcher-cp-x" is forbidden: no PriorityClass with name'
            " labs was found",
            "PriorityClassMissing",
        ),
        ('persistentvolumeclaims "x" is forbidden: exceeded quota: cks-pool-disks', "QuotaExceeded"),
        ("the server is on fire", "VMFailure"),
    ],
)
def test_conditions_say_more_than_stopped(text: str, reason: str) -> None:
    failure = failure_of(vm("Stopped", {"type": "Failure", "status": "True", "reason": "X", "message": text}))
    assert failure is not None
    assert failure.reason == reason
    assert text in str(failure)


def test_what_is_still_on_its_way_is_no_failure() -> None:
    waiting = {"type": "Ready", "status": "False", "reason": "VMINotExists", "message": "VMI does not exist"}
    assert failure_of(vm("Provisioning", waiting)) is None
    assert failure_of({"metadata": {"name": "new"}}) is None
