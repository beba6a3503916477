"""A lifecycle as KubeVirt's own controllers showed it to a watcher: its calls, and rows of facts of every object.

What the watcher saw of each object is put down as a row of facts a version, repeated rows once. Rows that come from the
recorded controllers' lagging caches are left out, and said so below.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from tests.conftest import SHARED
from tests.http_api import Obj

RECORDINGS = SHARED / "kubevirt" / "recordings"
LIFECYCLE = RECORDINGS / "lifecycle.jsonl"
CALLS = RECORDINGS / "calls.txt"

Row = tuple[Any, ...]


def conditions(status: Obj, *types: str) -> Row:
    found = {one["type"]: one for one in status.get("conditions") or []}
    rows = ((one, found[one]["status"], found[one].get("reason", "")) for one in types if one in found)
    # Whether an ended instance is looked at once more between its pod's end and its own is a matter of luck.
    return tuple((one, status, reason.replace("PodNotExists", "PodTerminating")) for one, status, reason in rows)


def vm_row(obj: Obj) -> Row | None:
    status = obj.get("status")
    if status is None or not status.get("conditions"):
        return None
    busy = (bool(status.get("snapshotInProgress")), bool(status.get("restoreInProgress")))
    life = (status.get("created", False), status.get("ready", False))
    return status["printableStatus"], life, busy, conditions(status, "Ready", "DataVolumesReady")


def vmi_row(obj: Obj) -> Row | None:
    status = obj.get("status")
    return (status["phase"], conditions(status, "Ready", "DataVolumesReady")) if status else None


def snapshot_row(obj: Obj) -> Row | None:
    status = obj.get("status")
    if status is None:
        return None
    content = bool(status.get("virtualMachineSnapshotContentName"))
    volumes = json.dumps(status.get("snapshotVolumes"), sort_keys=True)
    return (
        status["phase"],
        status["readyToUse"],
        content,
        volumes,
        conditions(status, "Progressing", "Ready", "Failure"),
    )


def restore_row(obj: Obj) -> Row | None:
    status = obj.get("status")
    if status is None:
        return None
    restores = [sorted(one) for one in status.get("restores") or []]
    deleted = len(status.get("deletedDataVolumes") or [])
    return status["complete"], str(restores), deleted, conditions(status, "Progressing", "Ready", "Failure")


def volume_row(obj: Obj) -> Row | None:
    """Phase, progress and conditions. The recorded CDI was a stand-in of a few lines: it begins with the copy, without
    a plan before it, and until the end it says no more than the phase, and never a reason."""
    status = obj.get("status")
    if status is None or status["phase"] == "CloneScheduled":
        return None
    if status["phase"] != "Succeeded":
        return (status["phase"],)
    statuses = tuple(row[:2] for row in conditions(status, "Bound", "Ready", "Running"))
    return status["phase"], status["progress"], statuses


ROWS: dict[str, Callable[[Obj], Row | None]] = {
    "VirtualMachine": vm_row,
    "VirtualMachineInstance": vmi_row,
    "VirtualMachineSnapshot": snapshot_row,
    "VirtualMachineRestore": restore_row,
    "DataVolume": volume_row,
}

LAGGING: dict[str, Callable[[Row], bool]] = {
    # The first status after the conditions came, and each first one after a start, are computed from a cache that has
    # not seen the DataVolume or the instance yet.
    "VirtualMachine": lambda row: row[0] in ("Stopped", "Starting") and not row[1][0] and row[2] == (False, False),
    # The controller meets its own new claim in a pass that has not seen it.
    "VirtualMachineRestore": lambda row: "already exists" in str(row),
}
EXTRA: dict[str, Callable[[Row], bool]] = {
    # The recorded storage takes snapshots that are ready at once; here they are uploaded first.
    "VirtualMachineSnapshot": lambda row: row[0] == "Succeeded" and not row[1],
}


def told(kind: str, versions: Iterable[Obj]) -> list[Row]:
    """Rows of one object, repeated ones once."""
    rows: list[Row] = []
    for version in versions:
        row = ROWS[kind](version)
        if row is None or any(kind in left and left[kind](row) for left in (LAGGING, EXTRA)):
            continue
        if not rows or rows[-1] != row:
            rows.append(row)
    return rows


def recorded(kind: str, name: str) -> list[Row]:
    """Of the lives of an object of that name, all rows. The recording holds what changed: later versions add to it."""
    versions: list[Obj] = []
    current: Obj = {}
    for line in LIFECYCLE.read_text().splitlines():
        entry = json.loads(line)
        if entry["kind"] == kind and entry["name"] == name:
            current = {} if entry["event"] == "ADDED" else current
            current = {**current, **entry}
            versions.append(current)
    return told(kind, versions)


def calls() -> list[str]:
    """The recorded calls and their answers, one a line, without their times."""
    return [line.split(maxsplit=1)[1] for line in CALLS.read_text().splitlines()]
