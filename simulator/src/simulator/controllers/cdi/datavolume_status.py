"""A DataVolume's status, from what its claim says. Pure. (CDI: pkg/controller/datavolume.)"""

from __future__ import annotations

from simulator.client import Obj
from simulator.client.meta import annotation, condition, now
from simulator.controllers.storage.claims import bound
from simulator.controllers.storage.populating import (
    DONE,
    POD_PHASE,
    POD_RESTARTS,
    PROGRESS,
    RUNNING,
    RUNNING_MESSAGE,
    RUNNING_REASON,
    ClonePhase,
    clone_phase,
    filled,
)

CLONE_PHASES = {
    ClonePhase.PENDING: "CloneScheduled",
    ClonePhase.SNAPSHOT: "SnapshotForSmartCloneInProgress",
    ClonePhase.SNAPSHOT_CLONE: "CloneFromSnapshotSourceInProgress",
    ClonePhase.CSI_CLONE: "CSICloneInProgress",
    ClonePhase.HOST_CLONE: "CloneInProgress",
    ClonePhase.PREP_CLAIM: "PrepClaimInProgress",
    ClonePhase.REBIND: "RebindInProgress",
    ClonePhase.SUCCEEDED: "Succeeded",
}
"""What a DataVolume reads in the phases of its claim; an error leaves it as it is, so it is never Failed."""
IMPORT_PHASES = {"Pending": "ImportScheduled", "Running": "ImportInProgress", "Failed": "Failed"}
"""What a DataVolume reads while its import's pod is in a phase; one that fails is started again, but for a checksum."""

Why = tuple[str, str]
"""Reason and message."""


def status_without_claim(volume: Obj, phase: str, why: Why = ("NotFound", "No PVC found")) -> Obj:
    """There is no claim, and why."""
    old = volume.get("status") or {}
    conditions = _with(old.get("conditions"), "Bound", "False", *why)
    conditions = _with(conditions, "Ready", "False", *(why if why[0] != "NotFound" else ("", "")))
    conditions = _with(conditions, "Running", "False")
    return {**old, "phase": phase, "conditions": conditions}


def status_of(volume: Obj, claim: Obj, *, waits: bool, adopted: bool) -> Obj:
    """`waits`: nobody uses the claim yet, and its class binds only then; `adopted`: its content is another's affair,
    and comes when it is used."""
    old = volume.get("status") or {}
    succeeded = filled(claim) or (adopted and not lost(claim))
    phase = "Succeeded" if succeeded else "Failed" if lost(claim) else _phase(old.get("phase", ""), claim, waits)
    status = {
        **old,
        "claimName": claim["metadata"]["name"],
        "phase": phase,
        "progress": DONE if succeeded else annotation(claim, PROGRESS) or "N/A",
        "conditions": _conditions(old.get("conditions"), claim, succeeded),
    }
    restarts = annotation(claim, POD_RESTARTS)
    return status | ({"restartCount": int(restarts)} if restarts is not None else {})


def lost(claim: Obj) -> bool:
    """Whether the claim's volume is gone."""
    return bool((claim.get("status") or {}).get("phase") == "Lost")


def _phase(old: str, claim: Obj, waits: bool) -> str:
    if waits:
        return "PendingPopulation"
    clone = clone_phase(claim)
    if bound(claim):
        return old or "Pending"
    if clone is not None:
        return CLONE_PHASES.get(clone) or old or "CloneScheduled"
    return IMPORT_PHASES.get(annotation(claim, POD_PHASE) or "", "Pending")


def _conditions(old: list[Obj] | None, claim: Obj, succeeded: bool) -> list[Obj]:
    runs = annotation(claim, RUNNING) == "true"
    state = "Bound" if bound(claim) else "Pending"
    why = ("ClaimLost", "Claim Lost") if lost(claim) else (state, f"PVC {claim['metadata']['name']} {state}")
    conditions = _with(old, "Bound", "True" if bound(claim) else "False", *why)
    transfer = "TransferRunning" if runs and not succeeded else ""
    conditions = _with(conditions, "Ready", "True" if succeeded else "False", transfer)
    why = (annotation(claim, RUNNING_REASON) or "", annotation(claim, RUNNING_MESSAGE) or "")
    return _with(conditions, "Running", "True" if runs else "False", *why)


def _with(conditions: list[Obj] | None, type_: str, status: str, reason: str = "", message: str = "") -> list[Obj]:
    """The conditions with that one; its transition is dated when its status changes, its heartbeat when it does."""
    old = condition(conditions, type_)
    told = {"reason": reason, "message": message}
    new = {"type": type_, "status": status, **{key: text for key, text in told.items() if text}}
    stamps = ("lastTransitionTime", "lastHeartbeatTime")
    if old is not None and {key: value for key, value in old.items() if key not in stamps} == new:
        return list(conditions or [])
    stamp = now()
    same = old is not None and old["status"] == status
    new |= {"lastTransitionTime": (old or {}).get("lastTransitionTime", stamp) if same else stamp}
    new |= {"lastHeartbeatTime": stamp}
    if old is None:
        return [*(conditions or []), new]
    return [new if one["type"] == type_ else one for one in conditions or []]
