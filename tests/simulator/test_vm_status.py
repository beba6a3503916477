"""`printableStatus` and the run strategies, as tables."""

from __future__ import annotations

from typing import Any

import pytest

from simulator.controllers.run_strategy import Wanted, wanted
from simulator.controllers.vm_status import PrintableStatus, printable_status, vm_status

Obj = dict[str, Any]


def vm(strategy: str = "Always", **status: Any) -> Obj:
    return {
        "metadata": {"name": "vm", "namespace": "ns", "uid": "u", "generation": 1},
        "spec": {"runStrategy": strategy, "template": {"spec": {}}},
        "status": status,
    }


def vmi(phase: str, *conditions: Obj, deleting: bool = False) -> Obj:
    meta: Obj = {"name": "vm", "namespace": "ns", "uid": "i", "annotations": {"kubevirt.io/vm-generation": "1"}}
    if deleting:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {"metadata": meta, "spec": {}, "status": {"phase": phase, "conditions": list(conditions)}}


def condition(type_: str, status: str, reason: str = "") -> Obj:
    return {"type": type_, "status": status, "reason": reason}


def volume(phase: str, *conditions: Obj) -> Obj:
    return {"metadata": {"name": "disk"}, "status": {"phase": phase, "conditions": list(conditions)}}


GONE = {**vm(), "metadata": {**vm()["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}

CASES = [
    (GONE, vmi("Running"), [], PrintableStatus.TERMINATING),
    (vm("Halted"), vmi("Running", deleting=True), [], PrintableStatus.STOPPING),
    (vm(), vmi("Running", condition("Paused", "True")), [], PrintableStatus.PAUSED),
    (vm(), vmi("Running"), [], PrintableStatus.RUNNING),
    (
        vm(),
        vmi("Pending", condition("Synchronized", "False", "FailedPvcNotFound")),
        [],
        PrintableStatus.ERROR_PVC_NOT_FOUND,
    ),
    (vm(), None, [volume("Failed")], PrintableStatus.DATA_VOLUME_ERROR),
    (
        vm(),
        None,
        [volume("ImportInProgress", condition("Running", "False", "Error"))],
        PrintableStatus.DATA_VOLUME_ERROR,
    ),
    (
        vm(),
        None,
        [volume("ImportInProgress", condition("Running", "False", "ImagePullFailed"))],
        PrintableStatus.DATA_VOLUME_ERROR,
    ),
    (
        vm(),
        None,
        [volume("ImportInProgress", condition("Running", "False", "Pending"))],
        PrintableStatus.PROVISIONING,
    ),
    (
        vm(),
        vmi("Scheduling", condition("PodScheduled", "False", "Unschedulable")),
        [],
        PrintableStatus.ERROR_UNSCHEDULABLE,
    ),
    (vm(), None, [volume("CloneInProgress")], PrintableStatus.PROVISIONING),
    (vm("Halted"), None, [volume("")], PrintableStatus.PROVISIONING),
    (vm(), vmi("Scheduling"), [volume("WaitForFirstConsumer")], PrintableStatus.WAITING_FOR_VOLUME_BINDING),
    (vm("Halted"), None, [volume("WaitForFirstConsumer")], PrintableStatus.STOPPED),
    (vm(), vmi("Scheduled"), [volume("Succeeded")], PrintableStatus.STARTING),
    (vm(startFailure={"consecutiveFailCount": 1}), None, [], PrintableStatus.CRASH_LOOP_BACK_OFF),
    (vm(), vmi("Succeeded", deleting=True), [], PrintableStatus.STOPPED),
    (vm("Halted"), None, [volume("Succeeded")], PrintableStatus.STOPPED),
    (vm(), vmi("Unknown"), [], PrintableStatus.UNKNOWN),
]


@pytest.mark.parametrize(("machine", "instance", "volumes", "expected"), CASES)
def test_printable_status_is_the_first_that_matches(
    machine: Obj, instance: Obj | None, volumes: list[Obj], expected: PrintableStatus
) -> None:
    assert printable_status(machine, instance, volumes) is expected


@pytest.mark.parametrize(
    ("machine", "instance", "expected"),
    [
        (vm(), None, PrintableStatus.WAITING_FOR_VOLUME_BINDING),
        (vm(), vmi("Scheduling"), PrintableStatus.WAITING_FOR_VOLUME_BINDING),
        (vm(), vmi("Running"), PrintableStatus.RUNNING),
        (vm("Halted"), None, PrintableStatus.STOPPED),
    ],
)
def test_an_unbound_claim_shows_only_while_the_vm_starts(
    machine: Obj, instance: Obj | None, expected: PrintableStatus
) -> None:
    assert printable_status(machine, instance, [volume("Succeeded")], True) is expected


@pytest.mark.parametrize(
    ("strategy", "instance", "expected"),
    [
        ("Always", None, Wanted.START),
        ("Always", vmi("Running"), Wanted.NOTHING),
        ("Always", vmi("Succeeded"), Wanted.STOP),
        ("Halted", vmi("Running"), Wanted.STOP),
        ("Halted", None, Wanted.NOTHING),
        ("Manual", None, Wanted.NOTHING),
        ("Manual", vmi("Succeeded"), Wanted.NOTHING),
        ("RerunOnFailure", vmi("Failed"), Wanted.STOP),
        ("RerunOnFailure", vmi("Succeeded"), Wanted.NOTHING),
        ("Once", vmi("Failed"), Wanted.NOTHING),
    ],
)
def test_run_strategies_ask_for(strategy: str, instance: Obj | None, expected: Wanted) -> None:
    assert wanted(vm(strategy), instance) is expected


def test_without_an_instance_only_ready_is_refreshed() -> None:
    old = [condition("Ready", "True"), condition("DataVolumesReady", "True", "AllDVsReady")]
    status = vm_status(vm("Halted", conditions=old, created=True, ready=True), None, [], None)
    assert "created" not in status
    assert "ready" not in status
    assert [(one["type"], one["status"], one["reason"]) for one in status["conditions"]] == [
        ("Ready", "False", "VMINotExists"),
        ("DataVolumesReady", "True", "AllDVsReady"),
    ]


def test_an_instance_without_ready_condition_is_said_to_miss_it() -> None:
    status = vm_status(vm(), vmi("Pending"), [], None)
    assert status["conditions"][0]["reason"] == "VMIConditionMissing"
    assert status["created"] is True
