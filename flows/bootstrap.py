"""Making the clusters that are missing, side by side, until each guest is healthy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from prefect import flow, task
from prefect.states import Completed
from pydantic import Field

from flows.clusters import ClusterIds, IfDue, OfPool, Size, each_of
from flows.golden import prove_storage, snapshot_cluster
from flows.names import run_named
from flows.namespaces import ensure_foundations
from flows.operations import diagnosed
from flows.progress import shown
from flows.runtime import connected
from flows.tasks import EFFECT, run_id, stopwatch
from pool.core.lifecycle import ClusterPhase
from pool.core.pools import DEFAULT_POOL
from pool.work.attempts import unless_others_do
from pool.work.bootstrap import bootstrap
from pool.work.steps import Host

GoldenToo = Annotated[bool, Field(description="Take the golden snapshots as well, so that the clusters are available.")]


@flow(name="bootstrap-pool", flow_run_name=run_named("bootstrap-pool"))
async def bootstrap_pool(
    pool: OfPool = DEFAULT_POOL,
    size: Size = None,
    cluster_ids: ClusterIds = None,
    golden_snapshots: GoldenToo = True,
    if_due: IfDue = False,
) -> Any:
    """Make every missing cluster, in parallel, until its guest cluster is healthy. Existing ones are left alone.

    Args:
        pool: Name of the Pool, made if there is none: with three clusters, or with `size`.
        size: How many clusters the Pool has from now on, 1 to 500; as it has it if left out.
        cluster_ids: Only these clusters, by name (cluster1, for example); all of the pool if left out.
        golden_snapshots: Take the golden snapshots as well, so that the clusters are available.
        if_due: Leave clusters alone that are cordoned.
    """
    took = stopwatch()
    # What keeps a cluster from being made is noted on it: so its bootstrap makes its namespace.
    names = await ensure_foundations(pool, size, cluster_ids, of_unmade=False)
    missing = await ensure_clusters(pool, names)
    if missing and golden_snapshots:
        await prove_storage(pool)
    async with connected() as host:

        async def make(name: str) -> bool:
            return await make_cluster(host, name, golden_snapshots=golden_snapshots, if_due=if_due)

        limit = (await host.state.pool(pool)).spec.max_concurrent_operations
        ours = await each_of(pool, limit, make, missing)
    made = [name for name, mine in zip(missing, ours, strict=True) if mine]
    left = [name for name in missing if name not in made]
    done = f"{len(made)} clusters made"
    message = f"{done} in {took()}: {', '.join(made)}" if missing else f"{done}: none was missing"
    message += f"; left to the runs that make them already: {', '.join(left)}" if left else ""
    return Completed(message=message, data=made)


@task(**EFFECT, task_run_name="ensure-clusters-{pool}")
async def ensure_clusters(pool: str, names: Sequence[str]) -> list[str]:
    """A PooledCluster for each wanted cluster. Returns those that are still to be made."""
    async with connected() as host:
        of = await host.state.pool(pool)
        found = [await host.state.ensure_cluster(of, name) for name in names]
    return [cluster.name for cluster in found if cluster.phase is ClusterPhase.CREATING and not cluster.removing]


async def make_cluster(host: Host, cluster_id: str, *, golden_snapshots: bool, if_due: bool) -> bool:
    """One cluster, from its namespace to a healthy guest, or to `available`. False if another run does it, or it is not
    due."""
    async with shown(cluster_id):
        async with diagnosed(host, cluster_id):
            work = bootstrap(host, cluster_id, run_id=run_id(), unless_cordoned=if_due)
            if await unless_others_do(host, cluster_id, work, unless_cordoned=if_due) is None:
                return False
        return not golden_snapshots or await snapshot_cluster(host, cluster_id, if_due=if_due)
