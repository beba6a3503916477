"""What only an operator asks for: everything back, one cluster anew, the pool away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from prefect import flow, task
from prefect.states import Completed
from pydantic import Field, WithJsonSchema

from flows.clusters import ClusterIds, IfDue, OfPool, OneCluster, each_of, existing
from flows.names import run_named
from flows.operations import diagnosed
from flows.reset import Force, keep_attestation
from flows.runtime import connected
from flows.sessions import release
from flows.tasks import EFFECT, run_id, stopwatch
from pool.core.lifecycle import SessionPhase
from pool.core.pools import DEFAULT_POOL
from pool.work.rebuild import rebuild
from pool.work.reset import reset
from pool.work.teardown import ask_removal, check_nobody_holds, finish_removal, teardown

Confirm = Annotated[
    Literal["teardown"],
    # A constant is an empty field in Prefect's form, which nobody can fill in.
    WithJsonSchema({"type": "string", "enum": ["teardown"]}),
    Field(description="Choose `teardown`: everything is removed for good."),
]

AT_ONCE = 20
"""Clusters that are torn down side by side: nobody waits for them, and all that is to do is to delete a namespace."""


@flow(name="release-all-clusters", flow_run_name=run_named("release-all-clusters"))
async def release_all_clusters(pool: OfPool = DEFAULT_POOL) -> Any:
    """End every session of the Pool and reset its cluster, a few clusters at a time.

    Args:
        pool: Name of the Pool.
    """
    took = stopwatch()
    async with connected() as host:
        limit = (await host.state.pool(pool)).spec.max_concurrent_operations
        sessions = [one for one in await host.state.sessions() if one.spec.pool == pool]
        active = [one.name for one in sessions if one.phase is SessionPhase.ACTIVE]
        ended = [await release(session_id, None) for session_id in active]
        clusters = [cluster_id for cluster_id in ended if cluster_id is not None]

        async def reset_returned(cluster_id: str) -> bool:
            async with diagnosed(host, cluster_id):
                done = await reset(host, cluster_id, run_id=run_id(), if_waiting=True)
            if done is not None:
                await keep_attestation(done)
            return done is not None

        ours = await each_of(pool, limit, reset_returned, clusters)
    left = [name for name, mine in zip(clusters, ours, strict=True) if not mine]
    message = f"{len(active)} sessions ended, {len(clusters) - len(left)} clusters reset in {took()}"
    message += f"; left to the runs that work on them: {', '.join(left)}" if left else ""
    return Completed(message=message, data=clusters)


@flow(name="rebuild-cluster", flow_run_name=run_named("rebuild-cluster"))
async def rebuild_cluster(cluster_id: OneCluster, if_due: IfDue = False) -> Any:
    """Make one idle or broken cluster anew from the golden image, with new golden snapshots.

    Args:
        cluster_id: The cluster's name, for example cluster1.
        if_due: Do nothing if it is not broken or outdated (any more).
    """
    took = stopwatch()
    async with connected() as host, diagnosed(host, cluster_id):
        made = await rebuild(host, cluster_id, run_id=run_id(), if_due=if_due)
    done = f"is available, made anew from the golden image in {took()}" if made else "need not be made anew any more"
    return Completed(message=f"{cluster_id} {done}")


@flow(name="teardown-pool", flow_run_name=run_named("teardown-pool"))
async def teardown_pool(
    confirm: Confirm,
    pool: OfPool = DEFAULT_POOL,
    cluster_ids: ClusterIds = None,
    force: Force = False,
    if_due: IfDue = False,
) -> Any:
    """Remove clusters, or the whole Pool, with everything that belongs to them. Locked clusters only by force.

    The wish is written first, to the resources: a run that is cancelled or dies leaves them `removing`, and maintenance
    carries the removal on. Nothing is removed if a cluster is locked and it is not forced.

    Args:
        confirm: Choose `teardown`: everything is removed for good.
        pool: Name of the Pool.
        cluster_ids: Only these clusters, by name (cluster1, for example); the Pool and all of them if left out.
        force: Remove locked clusters too. Their sessions are told and ended.
        if_due: Only of clusters that are being removed already; nothing for one that is gone.
    """
    took = stopwatch()
    async with connected() as host:
        names = await wish_gone(pool, cluster_ids, force=force, if_due=if_due)

        async def one(cluster_id: str) -> None:
            async with diagnosed(host, cluster_id):
                await teardown(host, cluster_id, run_id=run_id(), force=force)

        await each_of(pool, AT_ONCE, one, names)
        if cluster_ids is None:
            await finish_removal(host, pool)
    whole = f"Pool {pool} with " if cluster_ids is None else ""
    return Completed(
        message=f"{whole}{len(names)} clusters removed in {took()}: {', '.join(names) or 'there were none'}", data=names
    )


@task(**EFFECT, task_run_name="wish-gone-{pool}")
async def wish_gone(pool: str, cluster_ids: Sequence[str] | None, *, force: bool, if_due: bool) -> list[str]:
    """Delete the resources that are to go; their finalizers keep them until they are torn down. Returns the clusters.

    Raises IllegalTransition, with nothing deleted, if one is held and it is not forced.
    """
    async with connected() as host:
        clusters = await host.state.clusters()
        if if_due:
            due = [cluster for cluster in clusters if cluster.removing and cluster.spec.pool == pool]
            return [cluster.name for cluster in due if cluster_ids is None or cluster.name in cluster_ids]
        found = existing(clusters, pool, cluster_ids)
        check_nobody_holds(found, force=force)
        await ask_removal(host, pool, found, whole=cluster_ids is None)
    return [cluster.name for cluster in found]
