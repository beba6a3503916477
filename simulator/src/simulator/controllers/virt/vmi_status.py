"""An instance's status as virt-controller sees it. Pure."""

from __future__ import annotations

from typing import Any

from simulator.client import Obj
from simulator.client.meta import condition, deleting, now, with_condition, without_condition
from simulator.controllers.virt.launcher import unpulled
from simulator.controllers.virt.run_strategy import phase_of
from simulator.controllers.virt.vm_status import ready_condition

GUEST_NOT_RUNNING = ("GuestNotRunning", "Guest VM is not reported as running")
POD_TERMINATING = ("PodTerminating", "virt-launcher pod is terminating")


def in_phase(vmi: Obj, phase: str, **fields: Any) -> Obj:
    """The instance in `phase`, its transition stamped."""
    status = vmi.get("status") or {}
    steps = status.get("phaseTransitionTimestamps") or []
    if status.get("phase") != phase:
        steps = [*steps, {"phase": phase, "phaseTransitionTimestamp": now()}]
    return {**vmi, "status": {**status, **fields, "phase": phase, "phaseTransitionTimestamps": steps}}


def with_vmi_condition(vmi: Obj, new: Obj) -> Obj:
    status = vmi.get("status") or {}
    return {**vmi, "status": {**status, "conditions": with_condition(status.get("conditions"), new)}}


def without_vmi_condition(vmi: Obj, type_: str) -> Obj:
    status = vmi.get("status") or {}
    return {**vmi, "status": {**status, "conditions": without_condition(status.get("conditions"), type_)}}


def not_ready(vmi: Obj, reason: str, message: str) -> Obj:
    return with_vmi_condition(vmi, ready_condition(reason, message))


def claim_missing(vmi: Obj, claim: str) -> Obj:
    """The instance waiting for a claim that does not exist."""
    text = f"PVC {vmi['metadata']['namespace']}/{claim} does not exist, waiting for it to appear"
    return not_synchronized(vmi, "FailedPvcNotFound", text)


def not_synchronized(vmi: Obj, reason: str, message: str) -> Obj:
    """The instance that virt-controller cannot bring further."""
    return with_vmi_condition(
        vmi,
        {
            "type": "Synchronized",
            "status": "False",
            "reason": reason,
            "message": message,
            "lastProbeTime": None,
            "lastTransitionTime": now(),
        },
    )


def with_data_volumes(vmi: Obj, volumes: list[Obj]) -> Obj:
    """The instance with what its DataVolumes are like; without any, or before it has a pod, it says nothing of them."""
    if not volumes or phase_of(vmi) in ("", "Pending", "Succeeded", "Failed"):
        return vmi
    found = [condition((volume.get("status") or {}).get("conditions"), "Ready") for volume in volumes]
    statuses = [one["status"] if one is not None else "Unknown" for one in found]
    worst = next((status for status in ("False", "Unknown") if status in statuses), "True")
    ready = ("AllDVsReady", "All of the VMI's DVs are bound and ready")
    reason, message = ready if worst == "True" else ("NotAllDVsReady", "Not all of the VMI's DVs are ready")
    told = {"type": "DataVolumesReady", "status": worst, "reason": reason, "message": message}
    return with_vmi_condition(vmi, {**told, "lastProbeTime": None, "lastTransitionTime": None})


def followed(vmi: Obj, pod: Obj | None) -> Obj:
    """The instance after a look at its pod: the next phase and conditions, or itself when nothing is new."""
    phase = phase_of(vmi)
    if pod is None:
        if phase == "Pending" and not deleting(vmi):
            return vmi
        return in_phase(vmi, "Failed") if phase in ("Pending", "Scheduling", "Scheduled") else vmi
    if phase in ("Succeeded", "Failed"):
        return vmi
    if deleting(pod):
        return not_ready(vmi, *POD_TERMINATING)
    if phase == "Pending":
        return in_phase(without_vmi_condition(not_ready(vmi, *GUEST_NOT_RUNNING), "Synchronized"), "Scheduling")
    if phase == "Scheduling":
        return _scheduling(vmi, pod)
    return vmi


def _scheduling(vmi: Obj, pod: Obj) -> Obj:
    status = pod.get("status") or {}
    if status.get("phase") in ("Failed", "Succeeded"):
        return in_phase(vmi, "Failed")
    scheduled = condition(status.get("conditions"), "PodScheduled")
    if scheduled is not None and scheduled["status"] == "False":
        return with_vmi_condition(vmi, scheduled)
    vmi = without_vmi_condition(vmi, "PodScheduled")
    fault = unpulled(pod)
    vmi = not_synchronized(vmi, *fault) if fault else without_vmi_condition(vmi, "Synchronized")
    active = {pod["metadata"]["uid"]: pod["spec"].get("nodeName", "")}
    if status.get("phase") != "Running":
        return in_phase(vmi, "Scheduling", activePods=active)
    node = pod["spec"]["nodeName"]
    labels = {**(vmi["metadata"].get("labels") or {}), "kubevirt.io/nodeName": node}
    vmi = {**vmi, "metadata": {**vmi["metadata"], "labels": labels}}
    return in_phase(
        vmi,
        "Scheduled",
        activePods=active,
        nodeName=node,
        qosClass=status.get("qosClass", "Burstable"),
        migrationTransport="Unix",
        interfaces=[{"name": "default", "podInterfaceName": "eth0"}],
    )
