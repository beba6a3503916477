"""Resetting a cluster to its golden generation, step by step, and attesting that it was.

Each step finds out from the cluster where it is, so that any run resumes what another left: restores carry the run's
ID in name and label, and a step whose effect is there already does nothing. Those of other runs are not trusted, but
removed with what they left. The order is what keeps a cluster whole: neither VM starts before both disks are proved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pool.core.clusters import ConditionType, Golden, GoldenSnapshot
from pool.core.errors import AttestationFailed, RestoreFailed, SnapshotMissing
from pool.core.settings import Settings
from pool.guest.boots import boots_of
from pool.guest.canary import check_canaries_gone
from pool.guest.health import NodeHealth, wait_healthy
from pool.kube.client import Kube, Object
from pool.kube.gather import gather
from pool.kube.resources import PVCS, VM_SNAPSHOTS, VMIS, VMS
from pool.kube.watching import Watching
from pool.kubevirt import restores
from pool.kubevirt.cluster import Cluster, Machine, Role
from pool.kubevirt.machines import kill, start, wait_running, wait_stopped, wait_unlocked
from pool.kubevirt.snapshots import REMAKE, verify
from pool.kubevirt.volumes import Leftover, sweep


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
        nodes = {f"node {one.name}": f"Ready, lease renewed {one.renewed:%H:%M:%S}" for one in self.nodes}
        return {"golden generation": str(self.generation)} | disks | nodes | {"canaries": "none"}

    @property
    def evidence(self) -> dict[ConditionType, str]:
        """What was proved, in words, by condition."""
        disks = ", ".join(f"{vm} on {disk}" for vm, disk in self.disks.items())
        snapshots = ", ".join(f"{vm} from {uid}" for vm, uid in self.snapshots.items())
        nodes = ", ".join(f"{node.name} renewed {node.renewed:%H:%M:%S}" for node in self.nodes)
        return {
            ConditionType.VMS_READY: disks,
            ConditionType.GOLDEN_READY: f"generation {self.generation}: {snapshots}",
            ConditionType.GUEST_HEALTHY: nodes,
        }


async def prepare(
    kube: Kube, watching: Watching, cluster: Cluster, golden: Golden, settings: Settings, *, run_id: str
) -> None:
    """Before anything is stopped: the golden pair can be restored, and nothing of aborted resets is in the way.

    Raises SnapshotMissing, SnapshotFailed or SnapshotNotReady with the cluster as it was.
    """
    await golden_pair(kube, cluster, golden)
    found = await restores.restores_of(kube, cluster)
    # KubeVirt: an unfinished or failed restore blocks every later one of its VM until it is deleted.
    useless = [one for one in found if not restores.of_run(one, run_id) or restores.failure_text(one)]
    await restores.delete_restores(kube, watching, cluster, useless, timeout=settings.delete_timeout)


async def stop_both(kube: Kube, watching: Watching, cluster: Cluster, settings: Settings, *, run_id: str) -> None:
    """Stop both VMs by force and wait until their VMIs are gone. Nothing is done once the run restored both."""
    if await restored(kube, cluster, run_id):
        return

    async def halt(machine: Machine) -> None:
        vm = await kube.get(VMS, machine.name, machine.namespace)
        vmi = await kube.find(VMIS, machine.name, machine.namespace)
        if vmi is not None or vm["spec"].get("runStrategy") != "Halted":
            await wait_unlocked(watching, machine, timeout=settings.snapshot_timeout)
            await kill(kube, machine)
        await wait_stopped(watching, machine, timeout=settings.stop_timeout)

    await gather(halt(machine) for machine in cluster.machines)


async def restore_both(
    kube: Kube, watching: Watching, cluster: Cluster, golden: Golden, settings: Settings, *, run_id: str
) -> dict[str, str]:
    """Restore both disks in parallel and prove it; returns the disks' names by VM.

    Raises RestoreFailed, WaitTimeout. A failed restore is removed, so that the next attempt can be made.
    """

    async def one(machine: Machine) -> str:
        half = _half(golden, machine)
        try:
            found = await restores.run_restore(
                kube, watching, machine, half.name, run_id, timeout=settings.restore_timeout
            )
            return await restores.verified(kube, found, machine, half.uid)
        except RestoreFailed:
            mine = [r for r in await restores.restores_of(kube, cluster) if restores.of_run(r, run_id)]
            failed = [r for r in mine if r["spec"]["target"]["name"] == machine.name]
            await restores.delete_restores(kube, watching, cluster, failed, timeout=settings.delete_timeout)
            raise

    disks = await gather(one(machine) for machine in cluster.machines)
    return {machine.name: disk for machine, disk in zip(cluster.machines, disks, strict=True)}


async def start_both(
    kube: Kube, watching: Watching, cluster: Cluster, golden: Golden, settings: Settings, *, run_id: str
) -> None:
    """Start both VMs, but only if the run restored both, and wait until they run.

    Raises RestoreFailed with nothing started, VMFailed or WaitTimeout.
    """
    done = await restored(kube, cluster, run_id)
    if done is None:
        raise RestoreFailed(
            f"cluster {cluster.id} is not restored",
            expected="a complete restore of both VMs by this run",
            actual="less than that",
            cure="run the reset again",
        )
    for machine in cluster.machines:
        await restores.verified(kube, done[machine.name], machine, _half(golden, machine).uid)

    async def begin(machine: Machine) -> None:
        await start(kube, machine)
        await wait_running(kube, watching, machine, timeout=settings.provision_timeout)

    await gather(begin(machine) for machine in cluster.machines)


async def attest(kube: Kube, cluster: Cluster, golden: Golden, settings: Settings) -> Attestation:
    """Prove that the cluster is clean and healthy: both disks stem from the golden generation, the guest's API is
    ready, both nodes are Ready with leases renewed since this boot, and no canary of an earlier epoch is left.

    Raises AttestationFailed, GuestUnhealthy.
    """
    pair = await golden_pair(kube, cluster, golden)
    disks = await attest_disks(kube, cluster, golden)
    nodes = await wait_healthy(kube, cluster, await boots_of(kube, cluster, pair), timeout=settings.health_timeout)
    await check_canaries_gone(kube, cluster)
    uids = {machine.name: _half(golden, machine).uid for machine in cluster.machines}
    return Attestation(cluster.id, golden.generation, disks, uids, nodes)


async def attest_disks(kube: Kube, cluster: Cluster, golden: Golden) -> dict[str, str]:
    """Both VMs' disks by VM, each proved to be made from its golden snapshot's volume.

    Raises AttestationFailed.
    """
    return {machine.name: await _attest_disk(kube, machine, _half(golden, machine)) for machine in cluster.machines}


async def clean_up(kube: Kube, watching: Watching, cluster: Cluster, settings: Settings) -> list[Leftover]:
    """Remove the cluster's finished restores, and the disks that aborted ones left; returns the latter."""
    found = await restores.restores_of(kube, cluster)
    await restores.delete_restores(kube, watching, cluster, found, timeout=settings.delete_timeout)
    return await sweep(kube, cluster)


async def reset_cluster(
    kube: Kube, watching: Watching, cluster: Cluster, golden: Golden, settings: Settings, *, run_id: str
) -> Attestation:
    """All steps: from whatever a session left to an attested cluster."""
    await prepare(kube, watching, cluster, golden, settings, run_id=run_id)
    await stop_both(kube, watching, cluster, settings, run_id=run_id)
    await restore_both(kube, watching, cluster, golden, settings, run_id=run_id)
    await start_both(kube, watching, cluster, golden, settings, run_id=run_id)
    attestation = await attest(kube, cluster, golden, settings)
    await clean_up(kube, watching, cluster, settings)
    return attestation


async def restored(kube: Kube, cluster: Cluster, run_id: str) -> Mapping[str, Object] | None:
    """The run's restores by VM name, if those of both VMs are complete; else None."""
    found = {
        one["spec"]["target"]["name"]: one
        for one in await restores.restores_of(kube, cluster)
        if restores.of_run(one, run_id) and restores.finished(one)
    }
    return found if len(found) == len(cluster.machines) else None


async def golden_pair(kube: Kube, cluster: Cluster, golden: Golden) -> dict[str, Object]:
    """Both golden snapshots by VM name, verified, and the very ones of the generation.

    Raises SnapshotMissing, SnapshotFailed or SnapshotNotReady.
    """
    pair = {}
    for machine in cluster.machines:
        half = _half(golden, machine)
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


async def _attest_disk(kube: Kube, machine: Machine, half: GoldenSnapshot) -> str:
    vm = await kube.get(VMS, machine.name, machine.namespace)
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


def _half(golden: Golden, machine: Machine) -> GoldenSnapshot:
    return golden.control_plane if machine.role is Role.CONTROL_PLANE else golden.worker
