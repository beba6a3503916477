"""Golden snapshots: what every later reset goes back to."""

from __future__ import annotations

from typing import Annotated, Any

from prefect import flow, get_run_logger, task
from prefect.states import Completed
from pydantic import Field

from flows.clusters import ClusterIds, IfDue, OfPool, each_of, existing
from flows.names import run_named
from flows.operations import diagnosed
from flows.reset import keep_attestation
from flows.runtime import connected
from flows.tasks import EFFECT, run_id, stopwatch
from pool.core.clusters import OperationKind, PooledCluster
from pool.core.lifecycle import ClusterPhase
from pool.core.pools import DEFAULT_POOL
from pool.kubevirt.preflight import ensure_storage_proved
from pool.work import golden
from pool.work import refresh as refreshing
from pool.work.attempts import unless_others_do
from pool.work.steps import Host

Refresh = Annotated[
    bool,
    Field(description="Take a new generation of idle clusters as well, one at a time, proved before the old one goes."),
]


@flow(name="create-golden-snapshots", flow_run_name=run_named("create-golden-snapshots"))
async def create_golden_snapshots(
    pool: OfPool = DEFAULT_POOL, cluster_ids: ClusterIds = None, refresh: Refresh = False, if_due: IfDue = False
) -> Any:
    """Stop both VMs of each new cluster cleanly, snapshot them together, verify, start them: it is available.

    Clusters that have their golden snapshots are left alone unless `refresh` is asked for.

    Args:
        pool: Name of the Pool.
        cluster_ids: Only these clusters, by name (cluster1, for example); all of the pool if left out.
        refresh: Take a new generation of idle clusters as well, one at a time, proved before the old one goes.
        if_due: Leave clusters alone that are cordoned.
    """
    took = stopwatch()
    async with connected() as host:
        found = existing(await host.state.clusters(), pool, cluster_ids)
        new = [cluster.name for cluster in found if cluster.phase is ClusterPhase.CREATING and not cluster.removing]
        old = [cluster.name for cluster in found if _refreshable(cluster, asked=refresh)]
        if new or old:
            await prove_storage(pool)

        async def snapshot(name: str) -> bool:
            return await snapshot_cluster(host, name, if_due=if_due)

        limit = (await host.state.pool(pool)).spec.max_concurrent_operations
        ours = await each_of(pool, limit, snapshot, new)
        refreshed = [name for name in old if await refresh_cluster(host, name)]
    taken = [name for name, mine in zip(new, ours, strict=True) if mine]
    said = f"golden snapshots of {len(taken)} new clusters" + (f": {', '.join(taken)}" if taken else "")
    if old:
        said += f"; {len(refreshed)} of {len(old)} refreshed"
    said += f", in {took()}" if taken or refreshed else ""
    return Completed(message=said, data=[*taken, *refreshed])


def _refreshable(cluster: PooledCluster, *, asked: bool) -> bool:
    """Idle ones if asked for, and those whose refresh was interrupted."""
    if cluster.removing:
        return False
    operation = cluster.status.operation
    interrupted = operation is not None and operation.kind is OperationKind.GOLDEN
    if cluster.phase is ClusterPhase.RESETTING:
        return interrupted
    return asked and cluster.phase is ClusterPhase.AVAILABLE and not cluster.spec.cordoned


@task(**EFFECT, task_run_name="prove-storage-{pool}")
async def prove_storage(pool: str) -> None:
    """Snapshots of the storage class outlive the volumes they were taken of; proved once per class."""
    async with connected() as host:
        name = await ensure_storage_proved(host.kube, host.watching, await host.state.pool(pool), host.settings)
    get_run_logger().info("snapshots of storage class %s outlive their volumes", name)


async def snapshot_cluster(host: Host, cluster_id: str, *, if_due: bool = False) -> bool:
    """A new cluster is available. False if it is left to another run that makes it so, or is not due."""
    async with diagnosed(host, cluster_id):
        work = golden.take(host, cluster_id, run_id=run_id(), unless_cordoned=if_due)
        return await unless_others_do(host, cluster_id, work, unless_cordoned=if_due) is not None


async def refresh_cluster(host: Host, cluster_id: str) -> bool:
    """An idle cluster has a newer generation. False if it has to wait for that."""
    async with diagnosed(host, cluster_id):
        done = await refreshing.refresh(host, cluster_id, run_id=run_id())
    if done is not None:
        await keep_attestation(done)
    return done is not None
