"""The snapshot that a restore is made from, if it can be used. (KubeVirt: restore.go, snapshot checks.)"""

from __future__ import annotations

from simulator.client import Obj
from simulator.client.resources import VM_SNAPSHOT_CONTENTS, VM_SNAPSHOTS
from simulator.controllers.restores.plan import already_restored
from simulator.controllers.runtime.manager import Context
from simulator.controllers.snapshots.status import phase_of


class RestoreError(Exception):
    """Something that may pass: shown in the conditions and tried again."""


def usable_snapshot(context: Context, restore: Obj, vm: Obj | None) -> Obj:
    """The snapshot to restore from. Raises RestoreError when it cannot be used for this VM."""
    namespace = restore["metadata"]["namespace"]
    name = restore["spec"]["virtualMachineSnapshotName"]
    snapshot = context.cache(VM_SNAPSHOTS).get(namespace, name)
    label = f"VMSnapshot {namespace}/{name}"
    if snapshot is None:
        raise RestoreError(f"{label} does not exist")
    if phase_of(snapshot) == "Failed":
        raise RestoreError(f"{label} failed and is invalid to use")
    status = snapshot.get("status") or {}
    if not status.get("readyToUse"):
        raise RestoreError(f"{label} not ready")
    taken_of = status.get("sourceUID")
    if vm is not None and taken_of not in (None, vm["metadata"]["uid"]) and not already_restored(vm, restore):
        raise RestoreError("restore source and restore target are different but restore target already exists")
    return snapshot


def usable_content(context: Context, snapshot: Obj) -> Obj:
    """The snapshot's content. Raises RestoreError when it cannot be used."""
    namespace = snapshot["metadata"]["namespace"]
    name = snapshot["status"].get("virtualMachineSnapshotContentName", "")
    content = context.cache(VM_SNAPSHOT_CONTENTS).get(namespace, name)
    if content is None:
        raise RestoreError(f"VMSnapshotContent {namespace}/{name} does not exist")
    if not (content.get("status") or {}).get("readyToUse"):
        raise RestoreError(f"VMSnapshotContent {namespace}/{name} not ready")
    return content
