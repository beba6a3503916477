"""A VirtualMachineSnapshot's status. Pure. (KubeVirt: pkg/storage/snapshot, updateSnapshotStatus.)"""

from __future__ import annotations

from collections.abc import Sequence

from simulator.api.quantities import seconds_of
from simulator.client import Obj
from simulator.controllers.meta import age, now, with_condition
from simulator.controllers.snapshot_source import MESSAGES

DEFAULT_DEADLINE = 300.0
DEADLINE_EXCEEDED = "snapshot deadline exceeded"


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


def status_of(
    snapshot: Obj,
    vm: Obj | None,
    content: Obj | None,
    *,
    progress: tuple[bool, str] | None = None,
    indications: Sequence[str] = (),
) -> Obj:
    """The whole status. `progress`: whether the source is locked and what to say of it, while it is in progress."""
    status: Obj = {"phase": "InProgress", **(snapshot.get("status") or {})}
    conditions = status.get("conditions")
    if vm is not None:
        status["sourceUID"] = vm["metadata"]["uid"]
    if indications:
        status["indications"] = list(indications)
        status["sourceIndications"] = [{"indication": one, "message": MESSAGES[one]} for one in indications]
    captured = (content or {}).get("status") or {}
    if content is not None:
        status["virtualMachineSnapshotContentName"] = content["metadata"]["name"]
    status["readyToUse"] = bool(captured.get("readyToUse")) and phase_of(snapshot) != "Failed"
    error = captured.get("error")
    status.pop("error", None)
    if error:
        status["error"] = error
    left = deadline(snapshot)
    if status["phase"] == "InProgress" and captured.get("creationTime"):
        status["phase"] = "Succeeded"
        status["creationTime"] = now()
    elif status["phase"] == "InProgress" and left is not None and left <= 0:
        status["phase"] = "Failed"
    if status["phase"] == "Succeeded":
        conditions = conditioned(conditions, "Progressing", False, "Operation complete")
    elif status["phase"] == "Failed":
        conditions = conditioned(conditions, "Progressing", False, "Operation failed")
        conditions = conditioned(conditions, "Failure", True, DEADLINE_EXCEEDED)
    elif vm is None:
        conditions = conditioned(conditions, "Progressing", False, "Source does not exist")
    elif progress is not None:
        conditions = conditioned(conditions, "Progressing", *progress)
    if error:
        conditions = conditioned(conditions, "Progressing", False, "In error state")
    ready = status["readyToUse"]
    status["conditions"] = conditioned(conditions, "Ready", ready, "Ready" if ready else "Not ready")
    return status


def with_volumes(status: Obj, names: Sequence[str], content: Obj, claims: Sequence[str]) -> Obj:
    """The status with which volumes are in the snapshot. `claims`: names of the claim-backed ones."""
    included = [backup["volumeName"] for backup in content["spec"].get("volumeBackups") or []]
    volumes: Obj = {}
    if included:
        volumes["includedVolumes"] = included
    excluded = [name for name in names if name not in included]
    if excluded:
        volumes["excludedVolumes"] = excluded
    status = {**status, "snapshotVolumes": volumes}
    if any(name in claims for name in excluded) and "PartialSnapshot" not in status.get("indications", []):
        status["indications"] = [*status.get("indications", []), "PartialSnapshot"]
        partial = {"indication": "PartialSnapshot", "message": MESSAGES["PartialSnapshot"]}
        status["sourceIndications"] = [*status.get("sourceIndications", []), partial]
    return status
