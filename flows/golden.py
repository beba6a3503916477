"""Golden snapshots: what every later reset goes back to."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from prefect import flow, get_run_logger, task
from prefect.states import Completed
from pydantic import Field

from flows.clusters import ClusterIds, at_most, existing
from flows.operations import attempt, unless_others_do
from flows.reset import restore_to
from flows.retries import EFFECT
from flows.runtime import connected, utcnow
from pool.core.clusters import ConditionType, Golden, OperationKind, PooledCluster
from pool.core.errors import IllegalTransition, OperationInProgress, SnapshotMissing
from pool.core.lifecycle import ClusterPhase
from pool.guest.canary import plant_canary
from pool.kubevirt.cluster import Cluster
from pool.kubevirt.preflight import ensure_storage_proved
from pool.state import OperationHandle
from pool.work import golden

Refresh = Annotated[
    bool,
    Field(description="Take a new generation of idle clusters as well, one at a time, proved before the old one goes."),
]


@flow(name="create-golden-snapshots")
async def create_golden_snapshots(cluster_ids: ClusterIds = None, refresh: Refresh = False) -> Any:
    """Stop both VMs of each new cluster cleanly, snapshot them together, verify, start them: it is available.

    Clusters that have their golden snapshots are left alone unless `refresh` is asked for.

    Args:
        cluster_ids: Only these clusters, by name; all of the pool if left out.
        refresh: Take a new generation of idle clusters as well, one at a time, proved before the old one goes.
    """
    async with connected() as pool:
        found = existing(await pool.state.clusters(), cluster_ids)
        new = [cluster.name for cluster in found if cluster.phase is ClusterPhase.CREATING]
        old = [cluster.name for cluster in found if _refreshable(cluster, asked=refresh)]
        if new or old:
            await prove_storage()
        limit = (await pool.state.pool()).spec.max_concurrent_operations
        ours = await at_most(limit, partial(unless_others_do, snapshot_cluster), new)
        refreshed = [name for name in old if await refresh_cluster(name)]
    new = [name for name, mine in zip(new, ours, strict=True) if mine]
    said = f"golden snapshots of {len(new)} new clusters" + (f": {', '.join(new)}" if new else "")
    if old:
        said += f"; {len(refreshed)} of {len(old)} refreshed"
    return Completed(message=said, data=[*new, *refreshed])


def _refreshable(cluster: PooledCluster, *, asked: bool) -> bool:
    """Idle ones if asked for, and those whose refresh was interrupted."""
    operation = cluster.status.operation
    interrupted = operation is not None and operation.kind is OperationKind.GOLDEN
    if cluster.phase is ClusterPhase.RESETTING:
        return interrupted
    return asked and cluster.phase is ClusterPhase.AVAILABLE


@task(**EFFECT)
async def prove_storage() -> None:
    """Snapshots of the storage class outlive the volumes they were taken of; proved once per class."""
    async with connected() as pool:
        name = await ensure_storage_proved(pool.kube, pool.watching, await pool.state.pool(), pool.settings)
    get_run_logger().info("snapshots of storage class %s outlive their volumes", name)


async def refresh_cluster(cluster_id: str) -> bool:
    """A new generation of one idle cluster, proved by a reset to it; the old one is dropped only then.

    False if the pool is short of standby, or somebody got the cluster first: a refresh can wait.
    """
    async with connected() as pool:
        clusters = await pool.state.clusters()
        found = existing(clusters, [cluster_id])[0]
        standby = (await pool.state.pool(found.spec.pool)).spec.min_standby
        available = sum(cluster.phase is ClusterPhase.AVAILABLE for cluster in clusters)
        if found.phase is ClusterPhase.AVAILABLE and available <= standby:
            get_run_logger().info("%s is needed: only %d clusters are available", cluster_id, available)
            return False
        cluster = Cluster.of(found)

        async def work(operation: OperationHandle) -> None:
            await renew(operation, cluster)

        try:
            await attempt(pool, cluster_id, OperationKind.GOLDEN, work)
        except (IllegalTransition, OperationInProgress) as error:
            get_run_logger().info("%s is not refreshed: %s", cluster_id, error)
            return False
        return True


async def renew(operation: OperationHandle, cluster: Cluster) -> None:
    """The steps of a refresh, under a claim on the cluster."""
    async with connected() as pool:
        old = (await pool.state.cluster(cluster.id)).status.golden
    if old is None:
        raise SnapshotMissing(f"{cluster.id} has no golden snapshots", cure="run rebuild-cluster")
    generation, suffix = old.generation + 1, golden.other_suffix(cluster, old)
    await operation.heartbeat()
    await stop_cleanly(cluster, generation, suffix)
    await snapshot_both(cluster, generation, suffix)
    await start_again(cluster)
    taken = await verify_generation(cluster, generation, suffix)
    attestation = await restore_to(operation, cluster, taken)
    await operation.record_golden(taken, f"generation {generation}, proved by a reset")
    await drop_old(cluster, taken)
    await operation.finish(attested=attestation.evidence, reason=f"refreshed to golden generation {generation}")


@task(**EFFECT, task_run_name="drop-old-{cluster.id}")
async def drop_old(cluster: Cluster, keep: Golden) -> None:
    """Only the snapshots of the present generation are left."""
    async with connected() as pool:
        await golden.drop_others(pool.kube, pool.watching, cluster, keep, pool.settings)


async def snapshot_cluster(cluster_id: str) -> None:
    """One cluster, from a healthy guest to an available cluster with a golden generation."""
    async with connected() as pool:
        found = await pool.state.cluster(cluster_id)
        cluster = Cluster.of(found)
        generation = await next_generation(found, cluster)

        async def work(operation: OperationHandle) -> None:
            await take(operation, cluster, generation, found.status.epoch)

        await attempt(pool, cluster_id, OperationKind.GOLDEN, work)


async def take(operation: OperationHandle, cluster: Cluster, generation: int, epoch: int) -> None:
    """The steps of taking a generation, under a claim on the cluster; it is available at the end."""
    await operation.heartbeat()
    await stop_cleanly(cluster, generation)
    await snapshot_both(cluster, generation)
    await start_again(cluster)
    taken = await verify_generation(cluster, generation)
    await leave_canary(cluster, epoch)
    snapshots = f"{taken.control_plane.name} {taken.control_plane.uid}, {taken.worker.name} {taken.worker.uid}"
    await operation.record_golden(taken, f"generation {generation}: {snapshots}")
    evidence = {
        ConditionType.VMS_READY: f"both run on the disks that generation {generation} was taken of",
        ConditionType.GOLDEN_READY: f"generation {generation}: {snapshots}",
        ConditionType.GUEST_HEALTHY: "API ready, both nodes Ready with leases renewed since this boot",
    }
    await operation.finish(attested=evidence, reason="golden snapshots taken, healthy")
    get_run_logger().info("%s is available, golden generation %d", cluster.id, generation)


@task(**EFFECT, task_run_name="golden-generation-{cluster.id}")
async def next_generation(found: PooledCluster, cluster: Cluster) -> int:
    """The number of the generation to take: the recorded one again, if that is what an interrupted run left."""
    recorded = found.status.golden
    async with connected() as pool:
        number = recorded.generation if recorded else 1
        pair = await golden.taken(pool.kube, cluster, number)
    if recorded is None or pair is not None:
        return number
    return recorded.generation + 1


@task(**EFFECT, task_run_name="stop-cleanly-{cluster.id}")
async def stop_cleanly(cluster: Cluster, generation: int, suffix: str = "") -> None:
    """Both VMs shut down cleanly, proved by their last phase."""
    async with connected() as pool:
        await golden.stop_both(pool.kube, pool.watching, cluster, pool.settings, generation=generation, suffix=suffix)


@task(**EFFECT, task_run_name="snapshot-{cluster.id}")
async def snapshot_both(cluster: Cluster, generation: int, suffix: str = "") -> None:
    """Both golden snapshots taken of that stop, and verified."""
    async with connected() as pool:
        await golden.snapshot_both(
            pool.kube, pool.watching, cluster, pool.settings, generation=generation, suffix=suffix
        )


@task(**EFFECT, task_run_name="start-{cluster.id}")
async def start_again(cluster: Cluster) -> None:
    """Both VMs run again."""
    async with connected() as pool:
        await golden.start_both(pool.kube, pool.watching, cluster, pool.settings)


@task(**EFFECT, task_run_name="verify-{cluster.id}")
async def verify_generation(cluster: Cluster, generation: int, suffix: str = "") -> Golden:
    """The started guest is healthy. Returns the generation as the pool records it."""
    async with connected() as pool:
        kube, settings = pool.kube, pool.settings
        pair = await golden.snapshot_both(kube, pool.watching, cluster, settings, generation=generation, suffix=suffix)
        return await golden.describe(kube, cluster, settings, pair, generation=generation, now=utcnow())


@task(**EFFECT, task_run_name="canary-{cluster.id}")
async def leave_canary(cluster: Cluster, epoch: int) -> None:
    """The canary of this epoch is planted: a reset that restores nothing will be found out by it."""
    async with connected() as pool:
        await plant_canary(pool.kube, cluster, epoch)
