"""Events that CDI records about a DataVolume when its status changes. Pure. (CDI: pkg/controller/datavolume.)"""

from __future__ import annotations

from collections.abc import Iterator

from simulator.client import Obj
from simulator.client.meta import condition

CLONES = {
    "CloneScheduled": "Cloning from {source} into {target} scheduled",
    "SnapshotForSmartCloneInProgress": "Creating snapshot for smart-clone is in progress (for pvc {source})",
    "CloneFromSnapshotSourceInProgress": "Creating PVC from snapshot source is in progress (for {kind} {source})",
    "CSICloneInProgress": "CSI Volume clone in progress (for pvc {source})",
    "CloneInProgress": "Cloning from {source} into {target} in progress",
    "PrepClaimInProgress": "Prepping PersistentVolumeClaim for DataVolume {target}",
    "RebindInProgress": "Rebinding PersistentVolumeClaim for DataVolume {target}",
}
IMPORTS = {
    "ImportScheduled": "Import into {name} scheduled",
    "ImportInProgress": "Import into {name} in progress",
}
"""What is said of a phase; its reason is the phase."""

Told = tuple[str, str, str]
"""Type, reason and message."""


def events(volume: Obj, status: Obj, source: tuple[str, str, str] | None) -> Iterator[Told]:
    """What there is to tell of the change to `status`; `source`: kind, namespace and name of what is cloned."""
    old = volume.get("status") or {}
    if status["phase"] != old.get("phase"):
        told = _of_phase(volume, status["phase"], source)
        if told is not None:
            yield told
    bound, before = (condition(one.get("conditions"), "Bound") or {} for one in (status, old))
    if any(bound.get(key) != before.get(key) for key in ("status", "reason", "message")) and "reason" in bound:
        yield "Normal", bound["reason"], bound["message"]
    running, before = (condition(one.get("conditions"), "Running") or {} for one in (status, old))
    if running.get("reason") == "Error" and running.get("message") != before.get("message"):
        yield "Warning", "Error", running["message"]


def _of_phase(volume: Obj, phase: str, source: tuple[str, str, str] | None) -> Told | None:
    meta = volume["metadata"]
    words = {"name": meta["name"], "target": f"{meta['namespace']}/{meta['name']}"}
    if phase == "Failed":
        return "Warning", "ErrClaimLost", f"PVC {meta['name']} lost"
    if source is not None:
        words |= {"kind": source[0], "source": f"{source[1]}/{source[2]}"}
    if phase == "Succeeded":
        if source is not None:
            return "Normal", "CloneSucceeded", "Successfully cloned from {source} into {target}".format(**words)
        return "Normal", "ImportSucceeded", f"Successfully imported into PVC {meta['name']}"
    text = (CLONES if source is not None else IMPORTS).get(phase)
    return ("Normal", phase, text.format(**words)) if text is not None else None
