"""Golden snapshots: taken of stopped VMs, and believed only after a close look."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from pool.core.errors import AlreadyExists, SnapshotError, SnapshotFailed, SnapshotMissing, SnapshotNotReady
from pool.core.settings import Settings
from pool.kube.client import Object
from pool.kube.resources import VM_SNAPSHOTS
from pool.kube.watching import Watching, described
from pool.kubevirt.cluster import CLUSTER_LABEL, ROOT_VOLUME, Cluster, Machine
from pool.kubevirt.fence import Fence
from pool.kubevirt.manifests import snapshot
from pool.kubevirt.ownership import named, owned, removable

REMAKE = "run create-golden-snapshots for the cluster"


def verify(found: Object | None, machine: Machine, name: str) -> Object:
    """The snapshot, if it can be restored.

    KubeVirt: `phase: Succeeded` says only that the point in time was taken; a snapshot of no disk at all succeeds too,
    and one whose VolumeSnapshot was lost later keeps its phase. Raises SnapshotMissing, SnapshotFailed
    (it will never do) or SnapshotNotReady (it may still come).
    """
    what = f"snapshot {machine.namespace}/{name}"
    if found is None or found["metadata"].get("deletionTimestamp"):
        raise SnapshotMissing(what, expected="a golden snapshot", actual=described(found), cure=REMAKE)
    status = found.get("status") or {}
    if status.get("phase") == "Failed":
        raise SnapshotFailed(what, expected="phase Succeeded", actual=described(found), cure=REMAKE)
    lost = status.get("phase") == "Succeeded" and status.get("error")
    if lost:
        raise SnapshotFailed(what, expected="its VolumeSnapshots", actual=lost.get("message", ""), cure=REMAKE)
    if status.get("phase") != "Succeeded" or not status.get("readyToUse"):
        raise SnapshotNotReady(what, expected="readyToUse", actual=described(found), cure="wait, or take it again")
    included = set((status.get("snapshotVolumes") or {}).get("includedVolumes") or [])
    indications = [
        *(status.get("indications") or []),
        *(i["indication"] for i in status.get("sourceIndications") or []),
    ]
    if included != {ROOT_VOLUME} or indications:
        actual = f"volumes {sorted(included)}, indications {sorted(set(indications))}"
        raise SnapshotFailed(what, expected=f"an offline snapshot of {ROOT_VOLUME}", actual=actual, cure=REMAKE)
    return found


async def ensure_snapshot(
    fence: Fence, watching: Watching, machine: Machine, name: str, annotations: Mapping[str, str], settings: Settings
) -> Object:
    """A verified snapshot of that name with these annotations: the existing one, else a new one of the VM as it is.

    One that failed, or has other annotations (it was taken of another state of the VM), is removed and taken again.
    Raises SnapshotFailed if the new one fails, WaitTimeout, NotOurs, FormerCluster, StaleOperation.
    """
    what = f"snapshot {machine.namespace}/{name}"
    found = await fence.kube.find(VM_SNAPSHOTS, name, machine.namespace)
    if found is not None:
        owned(found, machine.cluster)
    if found is not None and not _usable(found, machine, name, annotations):
        await delete_snapshot(fence, watching, machine.cluster, found, timeout=settings.delete_timeout)
        found = None
    if found is None:
        wanted = snapshot(machine, name, settings)
        wanted["metadata"]["annotations"] = dict(annotations)
        # One of that name is our own first try, its answer lost; or another run's, which the annotations will show.
        with suppress(AlreadyExists):
            await fence.create(VM_SNAPSHOTS, wanted)

    def ready(seen: Object | None) -> Object | None:
        try:
            return verify(seen, machine, name)
        except SnapshotNotReady:
            return None

    taken = await watching.until(
        VM_SNAPSHOTS,
        name,
        machine.namespace,
        ready,
        # KubeVirt counts its own deadline from the creation and then says why; leave it time to.
        timeout=settings.snapshot_timeout + 15,
        what=f"{what} to be ready",
        labels=CLUSTER_LABEL,
    )
    if not _annotated(owned(taken, machine.cluster), annotations):
        raise SnapshotFailed(what, expected="a snapshot of this stop", actual="another run's", cure="run it again")
    return await fence.adopt(VM_SNAPSHOTS, taken)


async def delete_snapshot(fence: Fence, watching: Watching, cluster: Cluster, found: Object, *, timeout: float) -> None:
    """Remove this very snapshot and wait until its name is free. KubeVirt: finalizers keep it until its content
    is gone.

    Also one of an earlier cluster of this name; raises NotOurs for any other, StaleOperation.
    """
    await fence.remove(VM_SNAPSHOTS, removable(found, cluster))
    what = f"{named(found)} to be deleted"
    await watching.gone(VM_SNAPSHOTS, found, timeout=timeout, what=what, labels=CLUSTER_LABEL)


def _usable(found: Object, machine: Machine, name: str, annotations: Mapping[str, str]) -> bool:
    try:
        verify(found, machine, name)
    except SnapshotNotReady:
        return _annotated(found, annotations)
    except SnapshotError:
        return False
    return _annotated(found, annotations)


def _annotated(found: Object, annotations: Mapping[str, str]) -> bool:
    return annotations.items() <= (found["metadata"].get("annotations") or {}).items()
