"""A VirtualMachineSnapshot's status. Pure. (KubeVirt: pkg/storage/snapshot, updateSnapshotStatus.)"""

from __future__ import annotations

from collections.abc import Sequence

from simulator.api.quantities import seconds_of
from simulator.client import Obj
from simulator.client.meta import age, deleting, now, with_condition
from simulator.controllers.snapshots.quiescing import thawed_late
from simulator.controllers.snapshots.source import MESSAGES, claim_name

DEFAULT_DEADLINE = 300.0
DEADLINE_EXCEEDED = "snapshot deadline exceeded"
NOT_LOCKED = (False, "Source not locked")


def deadline(snapshot: Obj) -> float | None:
    """Seconds left before the snapshot fails (negative: passed); None without a deadline."""
    text = snapshot["spec"].get("failureDeadline")
    limit = DEFAULT_DEADLINE if text is None else seconds_of(text)
    return None if limit == 0 else limit - age(snapshot["metadata"]["creationTimestamp"])


def phase_of(snapshot: Obj) -> str:
    phase: str = (snapshot.get("status") or {}).get("phase", "")
    return phase


def conditioned(conditions: list[Obj] | None, type_: str, status: bool, reason: str) -> list[Obj]:
    """The conditions with one that says its text in `reason`."""
    return with_condition(
        conditions,
        {
            "type": type_,
            "status": "True" if status else "False",
            "reason": reason,
            "lastProbeTime": None,
            "lastTransitionTime": now(),
        },
    )


def exceeded(snapshot: Obj) -> bool:
    """Whether the deadline has passed, or had when the snapshot was still in progress."""
    left = deadline(snapshot)
    return phase_of(snapshot) == "Failed" or (phase_of(snapshot) != "Succeeded" and left is not None and left <= 0)


def terminating(snapshot: Obj) -> bool:
    """Whether nothing more is taken for it: deleted, or past its deadline."""
    return deleting(snapshot) or exceeded(snapshot)


def content_goes_too(snapshot: Obj, content: Obj) -> bool:
    """Whether a snapshot that ends takes its content along: by its policy, or because that cannot be used yet."""
    ready = (content.get("status") or {}).get("readyToUse")
    return snapshot["spec"].get("deletionPolicy", "Delete") == "Delete" or not ready


def status_of(
    snapshot: Obj,
    vm: Obj | None,
    content: Obj | None,
    *,
    progress: tuple[bool, str] = NOT_LOCKED,
    indications: Sequence[str] = (),
) -> Obj:
    """The whole status. `progress`: whether the source is locked and what to say of it, while it is in progress;
    `indications`: what the VM is like meanwhile, empty when it is off."""
    status: Obj = {"readyToUse": False, **(snapshot.get("status") or {})}
    if vm is not None:
        status["sourceUID"] = vm["metadata"]["uid"]
    captured = (content or {}).get("status")
    if content is not None and captured:
        # What a content said stays said when it is gone.
        status["virtualMachineSnapshotContentName"] = content["metadata"]["name"]
        for key in ("creationTime", "readyToUse", "error"):
            status.pop(key, None)
            if key in captured:
                status[key] = captured[key]
    conditions = status.get("conditions")
    if exceeded(snapshot):
        status["phase"] = "Failed"
        conditions = conditioned(conditions, "Failure", True, DEADLINE_EXCEEDED)
        progress = (False, "Operation failed")
    elif phase_of(snapshot) == "Succeeded" or status.get("creationTime"):
        status["phase"] = "Succeeded"
        progress = (False, "Operation complete")
    else:
        status["phase"] = "Deleting" if deleting(snapshot) else "InProgress"
        if vm is not None:
            _indicate(status, indications)
        else:
            progress = (False, "Source does not exist")
        if deleting(snapshot):
            progress = (False, "VM snapshot is deleting")
    if status.get("error"):
        progress = (False, "In error state")
    ready = bool(status.get("readyToUse"))
    conditions = conditioned(conditions, "Progressing", *progress)
    status["conditions"] = conditioned(conditions, "Ready", ready, "Ready" if ready else "Not ready")
    return status


def _indicate(status: Obj, indications: Sequence[str]) -> None:
    """Put what the VM is like beside what it was like before, in place: in the order of the alphabet, nothing at all
    once it is off."""
    status.pop("sourceIndications", None)
    known = status.pop("indications", [])
    if not indications:
        return
    late = ["QuiesceTimeout"] if "GuestAgent" in indications and thawed_late(status.get("error")) else []
    status["indications"] = sorted({*known, *indications, *late})
    status["sourceIndications"] = [{"indication": one, "message": MESSAGES[one]} for one in status["indications"]]


def with_volumes(status: Obj, content: Obj) -> Obj:
    """The status with which volumes of the VM that was captured are in the snapshot. A claim that was left out makes
    it a partial one."""
    backups = {backup["volumeName"] for backup in content["spec"].get("volumeBackups") or []}
    volumes = content["spec"]["source"]["virtualMachine"]["spec"]["template"]["spec"].get("volumes") or []
    included = [one["name"] for one in volumes if one["name"] in backups]
    excluded = [one["name"] for one in volumes if one["name"] not in backups]
    lists = {"includedVolumes": included, "excludedVolumes": excluded}
    status = {**status, "snapshotVolumes": {key: names for key, names in lists.items() if names}}
    partial = any(one["name"] in excluded and claim_name(one) is not None for one in volumes)
    if partial and "PartialSnapshot" not in status.get("indications", []):
        told = {"indication": "PartialSnapshot", "message": MESSAGES["PartialSnapshot"]}
        status["indications"] = [*status.get("indications", []), told["indication"]]
        status["sourceIndications"] = [*status.get("sourceIndications", []), told]
    return status
