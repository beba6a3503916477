"""Golden snapshots: what every later reset goes back to."""

from __future__ import annotations

from typing import Any

from prefect import flow, get_run_logger, task
from prefect.states import Completed

from flows.clusters import ClusterIds, at_most, existing
from flows.operations import attempt
from flows.retries import EFFECT
from flows.runtime import connected, utcnow
from pool import golden
from pool.guest.canary import plant_canary
from pool.kubevirt.cluster import Cluster
from pool.lifecycle import ClusterPhase
from pool.models import ConditionType, Golden, OperationKind, PooledCluster
from pool.state import OperationHandle


@flow(name="create-golden-snapshots")
async def create_golden_snapshots(cluster_ids: ClusterIds = None) -> Any:
    """Stop both VMs of each new cluster cleanly, snapshot them together, verify, start them: it is available.

    Clusters that have their golden snapshots are left alone.

    Args:
        cluster_ids: Only these clusters, by name; all of the pool if left out.
    """
    async with connected() as pool:
        found = existing(await pool.state.clusters(), cluster_ids)
        names = [cluster.name for cluster in found if cluster.phase is ClusterPhase.CREATING]
        await at_most(pool.settings.max_concurrent_operations, snapshot_cluster, names)
    taken = ", ".join(names) or "none was missing"
    return Completed(message=f"golden snapshots of {len(names)} clusters: {taken}", data=names)


async def snapshot_cluster(cluster_id: str) -> None:
    """One cluster, from a healthy guest to an available cluster with a golden generation."""
    async with connected() as pool:
        found = await pool.state.cluster(cluster_id)
        cluster = Cluster(cluster_id, found.spec.namespace)
        generation = await next_generation(found, cluster)

        async def work(operation: OperationHandle) -> None:
            await take(operation, cluster, generation, found.status.epoch)

        await attempt(pool, cluster_id, OperationKind.GOLDEN, work)


async def take(operation: OperationHandle, cluster: Cluster, generation: int, epoch: int) -> None:
    """The steps of taking a generation, under a claim on the cluster; it is available at the end."""
    await stop_cleanly(cluster, generation)
    await snapshot_both(cluster, generation)
    await start_again(cluster)
    taken = await verify_generation(cluster, generation, epoch)
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
async def stop_cleanly(cluster: Cluster, generation: int) -> None:
    """Both VMs shut down cleanly, proved by their last phase."""
    async with connected() as pool:
        await golden.stop_both(pool.kube, pool.watching, cluster, pool.settings, generation=generation)


@task(**EFFECT, task_run_name="snapshot-{cluster.id}")
async def snapshot_both(cluster: Cluster, generation: int) -> None:
    """Both golden snapshots taken of that stop, and verified."""
    async with connected() as pool:
        await golden.snapshot_both(pool.kube, pool.watching, cluster, pool.settings, generation=generation)


@task(**EFFECT, task_run_name="start-{cluster.id}")
async def start_again(cluster: Cluster) -> None:
    """Both VMs run again."""
    async with connected() as pool:
        await golden.start_both(pool.kube, pool.watching, cluster, pool.settings)


@task(**EFFECT, task_run_name="verify-{cluster.id}")
async def verify_generation(cluster: Cluster, generation: int, epoch: int) -> Golden:
    """The started guest is healthy, and its canary planted. Returns the generation as the pool records it."""
    async with connected() as pool:
        pair = await golden.snapshot_both(pool.kube, pool.watching, cluster, pool.settings, generation=generation)
        taken = await golden.describe(pool.kube, cluster, pool.settings, pair, generation=generation, now=utcnow())
        await plant_canary(pool.kube, cluster, epoch)
        return taken
