"""The boots of a cluster's nodes, as far as the host knows them: they tell a disk that was taken back from a used one.

Every node counts the boots of its own disk, and says the count on its Node (deployments/templates/boots.sh.j2). The
count is on the disk, so a golden snapshot has it, and whoever boots from that disk says one more: exactly one more, if
the disk was taken back; at least two more, if it was not, for its session has booted from it already.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from pool.core.clusters import AttestedBoot, AttestedBoots
from pool.core.errors import GuestUnhealthy, SnapshotMissing
from pool.guest.answers import BOOTS_ANNOTATION
from pool.guest.health import Boot, Counted, NodeHealth
from pool.kube.client import Kube, Object
from pool.kube.resources import VMIS
from pool.kubevirt.cluster import Cluster, Machine, Role


async def boots_of(
    kube: Kube,
    cluster: Cluster,
    snapshots: Mapping[str, Object] | None = None,
    attested: AttestedBoots | None = None,
    *,
    restored: bool = True,
    new: bool = False,
) -> dict[str, Boot]:
    """The present boot of both nodes, by VM name.

    `snapshots` are the golden ones (by VM name) that their disks were restored from, or snapshotted into if not
    `restored`; `attested` the boots that were attested last; of `new` disks the first boot is to be over. Raises
    GuestUnhealthy if a VM does not run, SnapshotMissing.
    """
    boots = {}
    for machine in cluster.machines:
        meta = (await _vmi(kube, machine))["metadata"]
        last = attested and half_of(attested, machine)
        # The boot of this very instance is attested again by a run that resumes.
        seen = last.boot_id if last and last.instance != meta["uid"] else ""
        golden = golden_boots(snapshots[machine.name]) if snapshots is not None else None
        since, disk = datetime.fromisoformat(meta["creationTimestamp"]), Counted(golden, seen, restored)
        boots[machine.name] = Boot(since, disk, new)
    return boots


async def attested_boots(kube: Kube, cluster: Cluster, nodes: Iterable[NodeHealth]) -> AttestedBoots:
    """These nodes' boots, as the cluster records them. Raises GuestUnhealthy if a VM does not run any more."""
    boot_ids = {node.name: node.boot_id for node in nodes}

    async def one(machine: Machine) -> AttestedBoot:
        return AttestedBoot(
            instance=(await _vmi(kube, machine))["metadata"]["uid"],
            boot_id=boot_ids[machine.name],
        )

    return AttestedBoots(control_plane=await one(cluster.control_plane), worker=await one(cluster.worker))


def half_of(attested: AttestedBoots, machine: Machine) -> AttestedBoot:
    """That VM's boot."""
    return attested.control_plane if machine.role is Role.CONTROL_PLANE else attested.worker


def golden_boots(snapshot: Object) -> int:
    """How often the disk on a golden snapshot had booted. Raises SnapshotMissing if the snapshot does not say it."""
    meta = snapshot["metadata"]
    noted = (meta.get("annotations") or {}).get(BOOTS_ANNOTATION, "")
    if not noted.isdecimal():
        raise SnapshotMissing(
            f"snapshot {meta['namespace']}/{meta['name']} cannot be attested",
            expected=f"the annotation {BOOTS_ANNOTATION}, how often its disk had booted",
            actual=noted or "none",
            cure="run rebuild-cluster; the nodes of clusters made by an earlier version do not count their boots",
        )
    return int(noted)


async def _vmi(kube: Kube, machine: Machine) -> Object:
    vmi = await kube.find(VMIS, machine.name, machine.namespace)
    if vmi is None:
        raise GuestUnhealthy(
            f"VM {machine.namespace}/{machine.name}", expected="a running VM", actual="no VMI", cure="start it"
        )
    return vmi
