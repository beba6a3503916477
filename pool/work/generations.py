"""Golden generations on the host: the two snapshots of one, what they are called, what the pool records of them."""

from __future__ import annotations

from collections.abc import Mapping

from pool.core.clusters import Golden, GoldenSnapshot
from pool.core.errors import SnapshotError
from pool.kube.client import Kube, Object
from pool.kube.gather import gather
from pool.kube.resources import VM_SNAPSHOTS
from pool.kubevirt.cluster import Cluster, Machine
from pool.kubevirt.ownership import Owner, owner
from pool.kubevirt.snapshots import verify

GENERATION_ANNOTATION = "cks.io/golden-generation"
STOP_ANNOTATION = "cks.io/golden-stop"
"""On a golden snapshot: which stop of both VMs it was taken at."""

Pair = Mapping[str, Object]
"""Two golden snapshots, by VM name."""


async def taken(kube: Kube, cluster: Cluster, generation: int, suffix: str = "") -> Pair | None:
    """The generation's snapshots, if both are there, verified and of the same stop; else None."""
    names = snapshot_names(cluster, suffix)
    found = await gather(kube.find(VM_SNAPSHOTS, names[one.name], one.namespace) for one in cluster.machines)
    try:
        pair = {
            machine.name: verify(snapshot, machine, names[machine.name])
            for machine, snapshot in zip(cluster.machines, found, strict=True)
        }
        if any(owner(snapshot, cluster) is not Owner.CLUSTER for snapshot in pair.values()):
            return None
    except SnapshotError:
        return None
    notes = [notes_of(snapshot) for snapshot in pair.values()]
    same_stop = len({note.get(STOP_ANNOTATION) for note in notes} - {None}) == 1
    of_generation = all(note.get(GENERATION_ANNOTATION) == str(generation) for note in notes)
    return pair if same_stop and of_generation and all(STOP_ANNOTATION in note for note in notes) else None


def snapshot_names(cluster: Cluster, suffix: str = "") -> dict[str, str]:
    """Names of both snapshots, by VM name; a second generation beside the first needs a suffix."""
    return {machine.name: f"{machine.snapshot}{suffix}" for machine in cluster.machines}


def other_suffix(cluster: Cluster, golden: Golden) -> str:
    """The suffix under which to take the next generation beside this one, which stays until the next is proved."""
    return "-next" if golden.control_plane.name == cluster.control_plane.snapshot else ""


async def next_number(kube: Kube, cluster: Cluster, recorded: Golden | None) -> int:
    """The generation to take: the recorded one again, if that is what an interrupted run left."""
    if recorded is None:
        return 1
    interrupted = await taken(kube, cluster, recorded.generation) is not None
    return recorded.generation if interrupted else recorded.generation + 1


def half(pair: Pair, machine: Machine) -> GoldenSnapshot:
    """That VM's snapshot as the pool records it."""
    meta = pair[machine.name]["metadata"]
    return GoldenSnapshot(name=meta["name"], uid=meta["uid"])


def notes_of(obj: Object) -> dict[str, str]:
    """An object's annotations, none if it has none."""
    return obj["metadata"].get("annotations") or {}
