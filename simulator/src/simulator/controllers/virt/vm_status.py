"""A VM's status from what is seen of it. Pure. (KubeVirt: pkg/virt-controller/watch/vm, updateStatus.)"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from simulator.client import Obj
from simulator.client.meta import (
    annotation,
    condition,
    deleting,
    is_true,
    now,
    with_condition,
    without_condition,
)
from simulator.controllers.virt.run_strategy import (
    RunStrategy,
    final,
    phase_of,
    remaining_requests,
    set_to_start,
    strategy_of,
)
from simulator.controllers.virt.start_failure import COUNTED

VM_GENERATION = "kubevirt.io/vm-generation"
OWN_CONDITIONS = ("Failure", "RestartRequired", "ManualRecoveryRequired")
"""Conditions of the VM itself; all others are copied from the instance."""
POPULATED = ("Succeeded", "WaitForFirstConsumer", "PendingPopulation")
"""Phases of DataVolumes with which a VM can be started."""


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
    """The first that matches, in KubeVirt's order. `volumes`: the DataVolumes of the VM's disks that exist; `unbound`:
    a claim of one of its disks exists and is not bound."""
    volumes = list(volumes)
    phase = phase_of(vmi) if vmi is not None else None
    ended = vmi is None or final(vmi)
    failing = bool((vm.get("status") or {}).get("startFailure")) and strategy_of(vm) in COUNTED
    receiver = phase == "WaitingForSync" and strategy_of(vm) is RunStrategy.WAIT_AS_RECEIVER
    rules: list[tuple[bool, PrintableStatus]] = [
        (deleting(vm), PrintableStatus.TERMINATING),
        (not ended and deleting(vmi or vm), PrintableStatus.STOPPING),
        (_migrating(vmi), PrintableStatus.MIGRATING),
        (phase == "Running" and is_true(_conditions(vmi), "Paused"), PrintableStatus.PAUSED),
        (phase == "Running", PrintableStatus.RUNNING),
        (_reason(vmi, "Synchronized") == "FailedPvcNotFound", PrintableStatus.ERROR_PVC_NOT_FOUND),
        (any(_failed(volume) for volume in volumes), PrintableStatus.DATA_VOLUME_ERROR),
        (_reason(vmi, "PodScheduled") == "Unschedulable", PrintableStatus.ERROR_UNSCHEDULABLE),
        (any(_provisioning(volume) for volume in volumes), PrintableStatus.PROVISIONING),
        (unbound and set_to_start(vm, vmi), PrintableStatus.WAITING_FOR_VOLUME_BINDING),
        (_reason(vmi, "Synchronized") == "ErrImagePull", PrintableStatus.ERR_IMAGE_PULL),
        (_reason(vmi, "Synchronized") == "ImagePullBackOff", PrintableStatus.IMAGE_PULL_BACK_OFF),
        (phase in ("", "Pending", "Scheduling", "Scheduled"), PrintableStatus.STARTING),
        (ended and failing, PrintableStatus.CRASH_LOOP_BACK_OFF),
        (ended, PrintableStatus.STOPPED),
        (receiver, PrintableStatus.WAITING_FOR_RECEIVER),
    ]
    return next((status for holds, status in rules if holds), PrintableStatus.UNKNOWN)


def _migrating(vmi: Obj | None) -> bool:
    state = ((vmi or {}).get("status") or {}).get("migrationState") or {}
    return bool(state.get("startTimestamp")) and not state.get("endTimestamp")


def _failed(volume: Obj) -> bool:
    """Whether what fills a disk has failed, or stopped over an error."""
    broken = _reason(volume, "Running") in ("Error", "ImagePullFailed")
    return broken or (volume.get("status") or {}).get("phase") == "Failed"


def _provisioning(volume: Obj) -> bool:
    """Whether a disk is being filled; one that waits for its consumer is not."""
    phase = (volume.get("status") or {}).get("phase", "")
    if phase == "WaitForFirstConsumer":
        return is_true(_conditions(volume), "Bound")
    return phase not in ("Succeeded", "PendingPopulation")


def _conditions(obj: Obj | None) -> list[Obj]:
    conditions: list[Obj] = (obj or {}).get("status", {}).get("conditions") or []
    return conditions


def _reason(obj: Obj | None, type_: str) -> str:
    """Why a condition does not hold."""
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
