"""A VM's status from what is seen of it. Pure. (KubeVirt: pkg/virt-controller/watch/vm, updateStatus.)"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from simulator.client import Obj
from simulator.controllers.meta import (
    annotation,
    condition,
    deleting,
    is_true,
    now,
    with_condition,
    without_condition,
)
from simulator.controllers.run_strategy import Wanted, final, phase_of, remaining_requests, strategy_of, wanted
from simulator.controllers.start_failure import COUNTED

VM_GENERATION = "kubevirt.io/vm-generation"
OWN_CONDITIONS = ("Failure", "RestartRequired", "ManualRecoveryRequired")
"""Conditions of the VM itself; all others are copied from the instance."""
POPULATED = ("Succeeded", "WaitForFirstConsumer", "PendingPopulation", "Failed")
WAITING_FOR_CONSUMER = ("WaitForFirstConsumer", "PendingPopulation")


class PrintableStatus(StrEnum):
    TERMINATING = "Terminating"
    STOPPING = "Stopping"
    MIGRATING = "Migrating"
    PAUSED = "Paused"
    RUNNING = "Running"
    ERROR_PVC_NOT_FOUND = "ErrorPvcNotFound"
    DATA_VOLUME_ERROR = "DataVolumeError"
    ERROR_UNSCHEDULABLE = "ErrorUnschedulable"
    PROVISIONING = "Provisioning"
    WAITING_FOR_VOLUME_BINDING = "WaitingForVolumeBinding"
    ERR_IMAGE_PULL = "ErrImagePull"
    IMAGE_PULL_BACK_OFF = "ImagePullBackOff"
    STARTING = "Starting"
    CRASH_LOOP_BACK_OFF = "CrashLoopBackOff"
    STOPPED = "Stopped"
    WAITING_FOR_RECEIVER = "WaitingForReceiver"
    UNKNOWN = "Unknown"


def printable_status(vm: Obj, vmi: Obj | None, volumes: Iterable[Obj], unbound: bool = False) -> PrintableStatus:
    """The first that matches, in KubeVirt's order. `volumes`: the VM's DataVolumes that exist; `unbound`: one of its
    claims is not bound. A restored DataVolume reads Succeeded before its late-binding claim is, so both are asked."""
    volumes = list(volumes)
    phases = [volume.get("status", {}).get("phase", "") for volume in volumes]
    ended = vmi is None or final(vmi)
    starting = vmi is not None and phase_of(vmi) in ("", "Pending", "Scheduling", "Scheduled")
    failing = bool(vm.get("status", {}).get("startFailure"))
    rules: list[tuple[bool, PrintableStatus]] = [
        (deleting(vm), PrintableStatus.TERMINATING),
        (vmi is not None and not final(vmi) and deleting(vmi), PrintableStatus.STOPPING),
        (vmi is not None and is_true(_conditions(vmi), "Paused"), PrintableStatus.PAUSED),
        (vmi is not None and phase_of(vmi) == "Running", PrintableStatus.RUNNING),
        (_reason(vmi, "Synchronized") == "FailedPvcNotFound", PrintableStatus.ERROR_PVC_NOT_FOUND),
        ("Failed" in phases or any(map(_stopped_filling, volumes)), PrintableStatus.DATA_VOLUME_ERROR),
        (_reason(vmi, "PodScheduled") == "Unschedulable", PrintableStatus.ERROR_UNSCHEDULABLE),
        (any(phase not in POPULATED for phase in phases), PrintableStatus.PROVISIONING),
        (
            (unbound or any(phase in WAITING_FOR_CONSUMER for phase in phases)) and (starting or _to_start(vm, vmi)),
            PrintableStatus.WAITING_FOR_VOLUME_BINDING,
        ),
        (_reason(vmi, "Synchronized") == "ErrImagePull", PrintableStatus.ERR_IMAGE_PULL),
        (_reason(vmi, "Synchronized") == "ImagePullBackOff", PrintableStatus.IMAGE_PULL_BACK_OFF),
        (starting, PrintableStatus.STARTING),
        (ended and failing and strategy_of(vm) in COUNTED, PrintableStatus.CRASH_LOOP_BACK_OFF),
        (ended, PrintableStatus.STOPPED),
    ]
    return next((status for holds, status in rules if holds), PrintableStatus.UNKNOWN)


def _to_start(vm: Obj, vmi: Obj | None) -> bool:
    return wanted(vm, vmi) is Wanted.START


def _conditions(obj: Obj | None) -> list[Obj]:
    conditions: list[Obj] = (obj or {}).get("status", {}).get("conditions") or []
    return conditions


def _stopped_filling(volume: Obj) -> bool:
    """Whether what fills a DataVolume has stopped for an error; it is tried again, and then reads well for a while."""
    return _reason(volume, "Running") in ("Error", "ImagePullFailed")


def _reason(obj: Obj | None, type_: str) -> str:
    """Why that condition of an object is False."""
    found = condition(_conditions(obj), type_)
    return found.get("reason", "") if found is not None and found["status"] == "False" else ""


def vm_status(
    vm: Obj, vmi: Obj | None, volumes: Iterable[Obj], failure: tuple[str, str] | None, *, unbound: bool = False
) -> Obj:
    """The VM's whole status. `failure`: reason and text of what kept this pass from its goal; `unbound`: a claim of
    the VM is not bound."""
    old: Mapping[str, object] = vm.get("status") or {}
    status = {key: value for key, value in old.items() if key not in ("created", "ready", "stateChangeRequests")}
    if vmi is not None:
        status["created"] = True
        status["desiredGeneration"] = vm["metadata"]["generation"]
        status["observedGeneration"] = int(annotation(vmi, VM_GENERATION) or vm["metadata"]["generation"])
        if is_true(_conditions(vmi), "Ready"):
            status["ready"] = True
    if vmi is not None or "runStrategy" in old:
        status["runStrategy"] = str(strategy_of(vm))
    requests = remaining_requests(vm, vmi)
    if requests:
        status["stateChangeRequests"] = requests
    status["conditions"] = _vm_conditions(_conditions(vm), vmi, failure)
    status["printableStatus"] = str(printable_status({**vm, "status": status}, vmi, volumes, unbound))
    return status


def _vm_conditions(old: list[Obj], vmi: Obj | None, failure: tuple[str, str] | None) -> list[Obj]:
    if vmi is None:
        conditions = with_condition(old, ready_condition("VMINotExists", "VMI does not exist"))
    else:
        conditions = [one for one in old if one["type"] in (*OWN_CONDITIONS, "Ready")]
        if condition(_conditions(vmi), "Ready") is None:
            missing = ready_condition("VMIConditionMissing", "VMI is missing the Ready condition")
            conditions = with_condition(conditions, missing)
        for one in _conditions(vmi):
            conditions = with_condition(conditions, one)
    if failure is None:
        return without_condition(conditions, "Failure")
    reason, message = failure
    return with_condition(
        conditions,
        {"type": "Failure", "status": "True", "reason": reason, "message": message, "lastTransitionTime": now()},
    )


def ready_condition(reason: str, message: str) -> Obj:
    """Ready=False with its reason, as virt-controller stamps it."""
    stamp = now()
    return {
        "type": "Ready",
        "status": "False",
        "reason": reason,
        "message": message,
        "lastProbeTime": stamp,
        "lastTransitionTime": stamp,
    }
