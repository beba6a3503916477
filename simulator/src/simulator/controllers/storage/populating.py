"""What CDI writes on a claim while it fills it: phase, progress, whether something runs. Pure. (CDI: its populators.)

Storage and CDI's DataVolume controller know how far it is from these annotations alone.
"""

from __future__ import annotations

from enum import StrEnum

from simulator.client import Obj
from simulator.client.meta import annotation, with_annotations
from simulator.controllers.storage.claims import bound

CLONE_TYPE = "cdi.kubevirt.io/cloneType"
CLONE_PHASE = "cdi.kubevirt.io/clonePhase"
CLONE_ERROR = "cdi.kubevirt.io/cloneError"
CLONE_FALLBACK = "cdi.kubevirt.io/cloneFallbackReason"
PROGRESS = "cdi.kubevirt.io/storage.populator.progress"
RUNNING = "cdi.kubevirt.io/storage.condition.running"
RUNNING_MESSAGE = f"{RUNNING}.message"
RUNNING_REASON = f"{RUNNING}.reason"
POD_PHASE = "cdi.kubevirt.io/storage.pod.phase"
POD_RESTARTS = "cdi.kubevirt.io/storage.pod.restarts"

DONE = "100.0%"
POD_RUNNING = "Pod is running"


class ClonePhase(StrEnum):
    """How far a clone is: the annotation `clonePhase` of its claim."""

    PENDING = "Pending"
    """Its source is not there yet, or is in use, or nobody uses the claim yet."""
    SNAPSHOT = "Snapshot"
    """The source is snapshotted."""
    SNAPSHOT_CLONE = "SnapshotClone"
    """The storage makes a volume of the snapshot."""
    CSI_CLONE = "CSIClone"
    """The storage clones the source's volume."""
    HOST_CLONE = "HostClone"
    """Two pods copy byte by byte."""
    PREP_CLAIM = "PrepClaim"
    """The new volume is looked at once: its size may have to grow."""
    REBIND = "Rebind"
    """The new volume is given to the claim."""
    SUCCEEDED = "Succeeded"
    ERROR = "Error"
    """It cannot be made as things are, and is tried again."""


MAKING = (ClonePhase.SNAPSHOT_CLONE, ClonePhase.CSI_CLONE, ClonePhase.HOST_CLONE)
"""Phases in which the storage makes the volume."""


def clone_phase(claim: Obj) -> ClonePhase | None:
    """None for a claim that CDI does not clone."""
    found = annotation(claim, CLONE_PHASE)
    return ClonePhase(found) if found is not None else None


def may_fill(claim: Obj) -> bool:
    """Whether the storage is to make the claim's volume now; nobody holds back a claim that is not CDI's."""
    phase = clone_phase(claim)
    if phase is not None:
        return phase in MAKING
    pod = annotation(claim, POD_PHASE)
    return pod is None or (pod == "Running" and annotation(claim, RUNNING) == "true")


def may_bind(claim: Obj) -> bool:
    """Whether the volume that was made for the claim may be bound to it."""
    return clone_phase(claim) in (None, ClonePhase.REBIND)


def filled(claim: Obj) -> bool:
    """Whether the claim is bound, and CDI has noted that nothing fills it any more."""
    ended = clone_phase(claim) in (None, ClonePhase.SUCCEEDED) and annotation(claim, POD_PHASE) in (None, "Succeeded")
    return bound(claim) and ended


def cloning(claim: Obj, phase: ClonePhase, *, error: str = "", **more: str) -> Obj:
    """The claim in a phase of its clone; `error` says what is wrong in phase Error; `more`: `progress`, `strategy`,
    `fallback`."""
    named = {"progress": PROGRESS, "strategy": CLONE_TYPE, "fallback": CLONE_FALLBACK}
    notes = {CLONE_PHASE: str(phase), **_running(phase, error)}
    notes |= {named[key]: value for key, value in more.items() if value}
    if phase is ClonePhase.SUCCEEDED:
        notes[PROGRESS] = DONE
    changed = with_annotations(claim, notes | ({CLONE_ERROR: error} if error else {}))
    if not error:
        changed["metadata"]["annotations"].pop(CLONE_ERROR, None)
    return changed


def _running(phase: ClonePhase, error: str) -> dict[str, str]:
    resting = {
        ClonePhase.PENDING: ("Clone Pending", "Pending"),
        ClonePhase.SUCCEEDED: ("Clone Complete", "Completed"),
        ClonePhase.ERROR: (error, "Error"),
    }
    if phase in resting:
        return running(False, *resting[phase])
    return running(True, "", POD_RUNNING if phase is ClonePhase.HOST_CLONE else "Populator is running")


def running(runs: bool, message: str, reason: str) -> dict[str, str]:
    """Annotations that say whether something fills the claim at the moment, or why not."""
    return {RUNNING: "true" if runs else "false", RUNNING_MESSAGE: message, RUNNING_REASON: reason}
