"""`printableStatus` and the run strategies, as tables."""

from __future__ import annotations

from typing import Any

import pytest

from simulator.controllers.virt.run_strategy import Wanted, reruns, wanted
from simulator.controllers.virt.vm_status import PrintableStatus, printable_status, vm_status

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


def volume(phase: str) -> Obj:
    return {"metadata": {"name": "disk"}, "status": {"phase": phase}}


def gone(machine: Obj) -> Obj:
    return {**machine, "metadata": {**machine["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}


def migrating(instance: Obj) -> Obj:
    return {**instance, "status": {**instance["status"], "migrationState": {"startTimestamp": "2026-01-01T00:00:00Z"}}}


def unready(phase: str, type_: str, reason: str) -> Obj:
    return {**volume(phase), "status": {"phase": phase, "conditions": [condition(type_, "False", reason)]}}


def bound(phase: str) -> Obj:
    return {**volume(phase), "status": {"phase": phase, "conditions": [condition("Bound", "True")]}}


PAUSED = condition("Paused", "True")
NO_CLAIM = condition("Synchronized", "False", "FailedPvcNotFound")
NO_IMAGE = condition("Synchronized", "False", "ErrImagePull")
LATER = condition("Synchronized", "False", "ImagePullBackOff")
NO_ROOM = condition("PodScheduled", "False", "Unschedulable")
FAILED = {"consecutiveFailCount": 1, "lastFailedVMIUID": "i"}
FILLING, BROKEN = volume("CloneInProgress"), volume("Failed")

# In each row everything that comes after the expected status in KubeVirt's order, and can hold beside it, holds.
CASES: list[tuple[Obj, Obj | None, list[Obj], bool, PrintableStatus]] = [
    (gone(vm()), migrating(vmi("Running", PAUSED, deleting=True)), [BROKEN], True, PrintableStatus.TERMINATING),
    (gone(vm("Halted")), None, [], False, PrintableStatus.TERMINATING),
    (vm("Halted"), migrating(vmi("Running", PAUSED, deleting=True)), [BROKEN], True, PrintableStatus.STOPPING),
    (vm(), vmi("Scheduling", NO_IMAGE, deleting=True), [FILLING], True, PrintableStatus.STOPPING),
    (vm(), migrating(vmi("Running", PAUSED, NO_CLAIM)), [BROKEN], True, PrintableStatus.MIGRATING),
    (vm(), vmi("Running", PAUSED, NO_CLAIM, NO_ROOM), [BROKEN], True, PrintableStatus.PAUSED),
    (vm(), vmi("Running", NO_CLAIM, NO_ROOM), [BROKEN], True, PrintableStatus.RUNNING),
    (vm(), vmi("Pending", NO_CLAIM, NO_ROOM, PAUSED), [BROKEN], True, PrintableStatus.ERROR_PVC_NOT_FOUND),
    (vm(), vmi("Pending", NO_ROOM, NO_IMAGE), [BROKEN, FILLING], True, PrintableStatus.DATA_VOLUME_ERROR),
    (vm(), None, [unready("ImportInProgress", "Running", "Error")], True, PrintableStatus.DATA_VOLUME_ERROR),
    (vm("Halted"), None, [unready("Pending", "Running", "ImagePullFailed")], False, PrintableStatus.DATA_VOLUME_ERROR),
    (vm(), vmi("Scheduling", NO_ROOM, NO_IMAGE), [FILLING], True, PrintableStatus.ERROR_UNSCHEDULABLE),
    (vm(), vmi("Scheduling", NO_IMAGE), [FILLING], True, PrintableStatus.PROVISIONING),
    (vm("Halted"), None, [volume("")], True, PrintableStatus.PROVISIONING),
    (vm(), None, [bound("WaitForFirstConsumer")], True, PrintableStatus.PROVISIONING),
    (
        vm(),
        vmi("Scheduling", NO_IMAGE),
        [volume("PendingPopulation")],
        True,
        PrintableStatus.WAITING_FOR_VOLUME_BINDING,
    ),
    (vm(startFailure=FAILED), None, [], True, PrintableStatus.WAITING_FOR_VOLUME_BINDING),
    (vm(), vmi("Scheduling", NO_IMAGE), [volume("Succeeded")], False, PrintableStatus.ERR_IMAGE_PULL),
    (vm(), vmi("Scheduling", LATER), [volume("Succeeded")], False, PrintableStatus.IMAGE_PULL_BACK_OFF),
    (vm(startFailure=FAILED), vmi("Pending"), [], False, PrintableStatus.STARTING),
    (vm(startFailure=FAILED), None, [], False, PrintableStatus.CRASH_LOOP_BACK_OFF),
    (vm("Once", startFailure=FAILED), vmi("Failed"), [], True, PrintableStatus.CRASH_LOOP_BACK_OFF),
    (vm("WaitAsReceiver"), None, [], True, PrintableStatus.STOPPED),
    (vm("Manual", startFailure=FAILED), vmi("Succeeded"), [], False, PrintableStatus.STOPPED),
    (vm("Halted"), vmi("Succeeded", deleting=True), [volume("WaitForFirstConsumer")], True, PrintableStatus.STOPPED),
    (vm("WaitAsReceiver"), vmi("WaitingForSync"), [], False, PrintableStatus.WAITING_FOR_RECEIVER),
    (vm(), vmi("WaitingForSync"), [], False, PrintableStatus.UNKNOWN),
    (vm(), vmi("Unknown"), [], False, PrintableStatus.UNKNOWN),
]


@pytest.mark.parametrize(("machine", "instance", "volumes", "unbound", "expected"), CASES)
def test_printable_status_is_the_first_that_matches(
    machine: Obj, instance: Obj | None, volumes: list[Obj], unbound: bool, expected: PrintableStatus
) -> None:
    assert printable_status(machine, instance, volumes, unbound) is expected


def test_the_cases_are_in_kubevirts_order_and_leave_no_status_out() -> None:
    shown = list(dict.fromkeys(expected for *_, expected in CASES))
    assert shown == list(PrintableStatus)


@pytest.mark.parametrize("phase", ["", "Pending", "Scheduling", "Scheduled"])
def test_an_instance_that_does_not_run_yet_is_starting(phase: str) -> None:
    assert printable_status(vm(), vmi(phase), []) is PrintableStatus.STARTING


ASKED, STOPPED = {"stateChangeRequests": [{"action": "Start"}]}, [{"action": "Stop", "uid": "i"}]


@pytest.mark.parametrize(
    ("machine", "instance", "expected"),
    [
        (vm(), None, True),
        (vm(), vmi("Succeeded"), True),
        (vm("Halted", **ASKED), vmi("Scheduling"), False),
        (vm("Manual"), None, False),
        (vm("Manual", **ASKED), None, True),
        (vm("Manual"), vmi("Scheduling"), True),
        (vm("Manual", stateChangeRequests=STOPPED), vmi("Scheduling"), False),
        (vm("RerunOnFailure", runStrategy="RerunOnFailure"), None, True),
        (vm("RerunOnFailure"), vmi("Failed"), True),
        (vm("RerunOnFailure"), vmi("Succeeded"), False),
        (vm("Once"), None, True),
        (vm("Once"), vmi("Scheduling"), False),
        (vm("WaitAsReceiver"), None, False),
    ],
)
def test_an_unbound_claim_shows_only_in_a_vm_that_is_meant_to_run(
    machine: Obj, instance: Obj | None, expected: bool
) -> None:
    shown = printable_status(machine, instance, [volume("Succeeded")], True)
    assert (shown is PrintableStatus.WAITING_FOR_VOLUME_BINDING) is expected


@pytest.mark.parametrize(
    ("machine", "instance", "expected"),
    [
        (vm(), None, Wanted.START),
        (vm(), vmi("Running"), Wanted.NOTHING),
        (vm(), vmi("Succeeded"), Wanted.STOP),
        (vm(stateChangeRequests=STOPPED), vmi("Running"), Wanted.STOP),
        (vm("Halted"), vmi("Running"), Wanted.STOP),
        (vm("Halted"), None, Wanted.NOTHING),
        (vm("Manual"), None, Wanted.NOTHING),
        (vm("Manual", **ASKED), None, Wanted.START),
        (vm("Manual"), vmi("Succeeded"), Wanted.NOTHING),
        (vm("Manual", **ASKED), vmi("Succeeded"), Wanted.NOTHING),
        (vm("Manual", stateChangeRequests=STOPPED), vmi("Succeeded"), Wanted.STOP),
        (vm("Manual", stateChangeRequests=[{"action": "Stop", "uid": "other"}]), vmi("Running"), Wanted.NOTHING),
        (vm("RerunOnFailure"), None, Wanted.START),
        (vm("RerunOnFailure", runStrategy="Halted"), None, Wanted.START),
        (vm("RerunOnFailure", runStrategy="RerunOnFailure"), None, Wanted.NOTHING),
        (vm("RerunOnFailure", runStrategy="RerunOnFailure", **ASKED), None, Wanted.START),
        (vm("RerunOnFailure"), vmi("Failed"), Wanted.STOP),
        (vm("RerunOnFailure"), vmi("Succeeded"), Wanted.STOP),
        (vm("RerunOnFailure"), vmi("Running"), Wanted.NOTHING),
        (vm("Once"), None, Wanted.START),
        (vm("Once"), vmi("Failed"), Wanted.NOTHING),
        (vm("Once"), vmi("Succeeded"), Wanted.NOTHING),
        (vm("WaitAsReceiver"), None, Wanted.NOTHING),
    ],
)
def test_run_strategies_ask_for(machine: Obj, instance: Obj | None, expected: Wanted) -> None:
    assert wanted(machine, instance) is expected


@pytest.mark.parametrize(
    ("machine", "instance", "expected"),
    [
        (vm("RerunOnFailure"), vmi("Failed"), True),
        (vm("RerunOnFailure"), vmi("Failed", deleting=True), False),
        (vm("RerunOnFailure", **ASKED), vmi("Failed"), False),
        (vm("RerunOnFailure"), vmi("Succeeded"), False),
        (vm("Always"), vmi("Failed"), False),
    ],
)
def test_only_a_failed_instance_is_run_again_on_failure(machine: Obj, instance: Obj, expected: bool) -> None:
    assert reruns(machine, instance) is expected


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


def test_conditions_that_the_instance_has_no_more_go_and_the_vms_own_stay() -> None:
    old = [condition("AgentConnected", "True"), condition("RestartRequired", "True")]
    status = vm_status(vm(conditions=old), vmi("Running", condition("Ready", "True")), [], ("FailedCreate", "no"))
    assert {one["type"]: one["status"] for one in status["conditions"]} == {
        "Ready": "True",
        "RestartRequired": "True",
        "Failure": "True",
    }
    assert "Failure" not in {one["type"] for one in vm_status(vm(**status), None, [], None)["conditions"]}
