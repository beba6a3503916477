"""What is proved of a cluster before it counts as clean: where its disks stem from, and that its nodes live."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pool.core.clusters import ConditionType, Golden, GoldenSnapshot
from pool.core.errors import AttestationFailed, SnapshotMissing
from pool.guest.boots import attested_boots, boots_of
from pool.guest.health import NodeHealth, wait_healthy
from pool.kube.client import Kube, Object
from pool.kube.resources import PVCS, VM_SNAPSHOTS
from pool.kubevirt import restores
from pool.kubevirt.cluster import Cluster, Machine, Role
from pool.kubevirt.machines import get_vm
from pool.kubevirt.snapshots import REMAKE, verify
from pool.work.steps import Job


@dataclass(frozen=True)
class Attestation:
    """What was proved of a cluster: its disks by VM (stemming from which golden snapshot), and its nodes."""

    cluster_id: str
    generation: int
    disks: dict[str, str]
    snapshots: dict[str, str]
    nodes: tuple[NodeHealth, ...]

    @property
    def facts(self) -> dict[str, str]:
        """One line a fact, for conditions and artifacts."""
        disks = {f"disk of {vm}": f"{disk}, from snapshot {self.snapshots[vm]}" for vm, disk in self.disks.items()}
        nodes = {
            f"node {one.name}": f"Ready, lease renewed {one.renewed:%H:%M:%S}, boot {one.boots} of its disk, "
            "the first since its golden snapshot"
            for one in self.nodes
        }
        return {"golden generation": str(self.generation)} | disks | nodes

    @property
    def evidence(self) -> dict[ConditionType, str]:
        """What was proved, in words, by condition."""
        disks = ", ".join(f"{vm} on {disk}" for vm, disk in self.disks.items())
        snapshots = ", ".join(f"{vm} from {uid}" for vm, uid in self.snapshots.items())
        nodes = ", ".join(
            f"{node.name} renewed {node.renewed:%H:%M:%S}, boot {node.boots} of its disk" for node in self.nodes
        )
        return {
            ConditionType.VMS_READY: disks,
            ConditionType.GOLDEN_READY: f"generation {self.generation}: {snapshots}",
            ConditionType.GUEST_HEALTHY: nodes,
        }


async def golden_pair(kube: Kube, cluster: Cluster, golden: Golden) -> dict[str, Object]:
    """Both golden snapshots by VM name, verified, and the very ones of the generation.

    Raises SnapshotMissing, SnapshotFailed or SnapshotNotReady.
    """
    pair = {}
    for machine in cluster.machines:
        half = half_of(golden, machine)
        found = await kube.find(VM_SNAPSHOTS, half.name, machine.namespace)
        pair[machine.name] = snapshot = verify(found, machine, half.name)
        if snapshot["metadata"]["uid"] != half.uid:
            raise SnapshotMissing(
                f"snapshot {machine.namespace}/{half.name} of generation {golden.generation}",
                expected=f"uid {half.uid}",
                actual=f"uid {snapshot['metadata']['uid']}, another one of that name",
                cure=REMAKE,
            )
    return pair


async def attest_disks(kube: Kube, cluster: Cluster, golden: Golden) -> dict[str, str]:
    """Both VMs' disks by VM, each proved to be made from its golden snapshot's volume.

    Raises AttestationFailed.
    """
    return {machine.name: await _attest_disk(kube, machine, half_of(golden, machine)) for machine in cluster.machines}


async def _attest_disk(kube: Kube, machine: Machine, half: GoldenSnapshot) -> str:
    vm = await get_vm(kube, machine)
    disk = restores.root_disk(vm) or "no disk"
    claim = await kube.find(PVCS, disk, machine.namespace)
    source = ((claim or {}).get("spec") or {}).get("dataSourceRef") or ((claim or {}).get("spec") or {}).get(
        "dataSource"
    )
    expected = restores.volume_snapshot(half.uid)
    if (source or {}).get("name") != expected:
        raise AttestationFailed(
            f"VM {machine.namespace}/{machine.name}",
            expected=f"a disk from {expected}",
            actual=f"{disk} from {(source or {}).get('name', 'no snapshot')}",
            cure="reset the cluster",
        )
    return disk


async def attest_nodes(job: Job, snapshots: Mapping[str, Object], *, restored: bool = True) -> tuple[NodeHealth, ...]:
    """Wait until both nodes are healthy and say that it is the first boot of their disks since golden time; any later
    one if they were not `restored`, but are the disks that the snapshots were taken of.

    What they said is recorded, so that it is never taken for the words of a later boot. Raises GuestUnhealthy,
    AttestationFailed, SnapshotMissing.
    """
    known = (await job.operation.heartbeat()).status.attested_boots
    boots = await boots_of(job.kube, job.cluster, snapshots, known, restored=restored)
    nodes = await wait_healthy(job.kube, job.cluster, boots, timeout=job.settings.health_timeout)
    await job.operation.update(attested_boots=await attested_boots(job.kube, job.cluster, nodes))
    return nodes


def half_of(golden: Golden, machine: Machine) -> GoldenSnapshot:
    """The snapshot of that VM in a generation."""
    return golden.control_plane if machine.role is Role.CONTROL_PLANE else golden.worker
