"""Why a VM does not come up: what KubeVirt says about it, in one word. Pure."""

from __future__ import annotations

from pool.core.errors import VMFailed
from pool.kube.client import Object

BY_STATUS = {
    "ErrorUnschedulable": ("Unschedulable", "give the host cluster room for it, or make VMs smaller"),
    "ErrorPvcNotFound": ("PVCMissing", "rebuild the cluster: its disk is gone"),
    "DataVolumeError": ("DataVolume", "look at the DataVolume's conditions and events"),
    "ErrImagePull": ("ImagePull", "check that the host's nodes can pull the image"),
    "ImagePullBackOff": ("ImagePull", "check that the host's nodes can pull the image"),
    "CrashLoopBackOff": ("CrashLoop", "look at the virt-launcher pod's log"),
}
"""`printableStatus` to reason and cure. KubeVirt: the statuses that waiting alone seldom ends."""

BY_TEXT = {
    "insufficient permissions in clone source namespace": (
        "CloneUnauthorized",
        "run create-namespaces, which lets the namespace clone the golden image",
    ),
    "not authorized to create datavolume": (
        "CloneUnauthorized",
        "run create-namespaces, which lets the namespace clone the golden image",
    ),
    "no priorityclass with name": (
        "PriorityClassMissing",
        "make it, or mend spec.machines.priorityClassName of the Pool and rebuild the cluster",
    ),
    "exceeded quota": ("QuotaExceeded", "raise the namespace's ResourceQuota: a reset needs room for twice the disks"),
    "exceeds quota limits": (
        "QuotaExceeded",
        "raise the namespace's ResourceQuota: a reset needs room for twice the disks",
    ),
}
"""Texts of conditions, in small letters, to reason and cure. They say more than the status, which may read just
Stopped."""


def failure_of(vm: Object) -> VMFailed | None:
    """What keeps the VM from running, None if it is (or may yet be) on its way. `vm` is the VirtualMachine."""
    status = vm.get("status") or {}
    texts = [_text(condition) for condition in status.get("conditions") or [] if _troubled(condition)]
    for text in texts:
        for part, (reason, cure) in BY_TEXT.items():
            if part in text.lower():
                return _failed(vm, reason, text, cure)
    printable = str(status.get("printableStatus", ""))
    if printable in BY_STATUS:
        reason, cure = BY_STATUS[printable]
        return _failed(vm, reason, "; ".join([printable, *texts]), cure)
    failures = [_text(c) for c in status.get("conditions") or [] if c["type"] == "Failure" and c["status"] == "True"]
    return _failed(vm, "VMFailure", failures[0], "look at the VM's events") if failures else None


def quota_exceeded(text: str) -> bool:
    """Whether an error's text speaks of a ResourceQuota."""
    return "exceeded quota" in text or "exceeds quota limits" in text


def _troubled(condition: Object) -> bool:
    wrong_when = "True" if condition["type"] in ("Failure", "ManualRecoveryRequired") else "False"
    return bool(condition["status"] == wrong_when) and condition["type"] not in ("LiveMigratable", "RestartRequired")


def _text(condition: Object) -> str:
    # KubeVirt: VMs carry the text in `message`, snapshots and restores in `reason`.
    return str(condition.get("message") or condition.get("reason") or condition["type"])


def _failed(vm: Object, reason: str, actual: str, cure: str) -> VMFailed:
    where = f"VM {vm['metadata'].get('namespace')}/{vm['metadata']['name']} does not come up: {reason}"
    return VMFailed(where, reason=reason, expected="a running VM", actual=actual, cure=cure)
