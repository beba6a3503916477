"""Which VolumeSnapshotClass serves a storage class. Pure. (KubeVirt: pkg/storage/snapshot, getVolumeSnapshotClass.)"""

from __future__ import annotations

from collections.abc import Sequence

from simulator.client import Obj
from simulator.client.meta import annotation

DEFAULT = "snapshot.storage.kubernetes.io/is-default-class"


class Ambiguous(Exception):
    """Several classes fit and none is marked as default."""


def snapshot_class(storage_class: Obj | None, profile: Obj | None, classes: Sequence[Obj]) -> str | None:
    """Name of the class, None when snapshots are not configured. Raises Ambiguous."""
    if storage_class is None:
        return None
    named = ((profile or {}).get("status") or {}).get("snapshotClass")
    if named:
        return named if any(one["metadata"]["name"] == named for one in classes) else None
    matching = [one for one in classes if one["driver"] == storage_class["provisioner"]]
    if len(matching) > 1:
        marked = [one for one in matching if annotation(one, DEFAULT) is not None]
        if not marked:
            name = storage_class["metadata"]["name"]
            raise Ambiguous(f"{len(matching)} matching VolumeSnapshotClasses for {name}")
        matching = marked
    return matching[0]["metadata"]["name"] if matching else None
