"""What only an operator asks for: everything back, one cluster anew, the pool away."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from prefect import flow
from prefect.states import Completed
from pydantic import Field

from flows.clusters import ClusterIds, OneCluster, at_most, existing
from flows.operations import diagnosed
from flows.reset import Force, keep_attestation
from flows.runtime import connected
from flows.sessions import release
from flows.tasks import run_id
from pool.core.errors import IllegalTransition
from pool.core.lifecycle import SessionPhase
from pool.work.rebuild import rebuild
from pool.work.reset import reset
from pool.work.teardown import teardown


@flow(name="release-all-clusters")
async def release_all_clusters() -> Any:
    """End every session and reset its cluster, a few clusters at a time."""
    async with connected() as host:
        active = [one.name for one in await host.state.sessions() if one.phase is SessionPhase.ACTIVE]
        ended = [await release(session_id, None) for session_id in active]
        clusters = [cluster_id for cluster_id, _ in ended if cluster_id is not None]

        async def reset_returned(cluster_id: str) -> bool:
            async with diagnosed(host, cluster_id):
                done = await reset(host, cluster_id, run_id=run_id(), if_waiting=True)
            if done is not None:
                await keep_attestation(done)
            return done is not None

        limit = (await host.state.pool()).spec.max_concurrent_operations
        ours = await at_most(limit, reset_returned, clusters)
    left = [name for name, mine in zip(clusters, ours, strict=True) if not mine]
    message = f"{len(active)} sessions ended, {len(clusters) - len(left)} clusters reset"
    message += f"; left to the runs that reset them already: {', '.join(left)}" if left else ""
    return Completed(message=message, data=clusters)


@flow(name="rebuild-cluster", flow_run_name="rebuild-{cluster_id}")
async def rebuild_cluster(cluster_id: OneCluster) -> Any:
    """Make one idle or broken cluster anew from the golden image, with new golden snapshots.

    Args:
        cluster_id: The cluster's name, for example cluster1.
    """
    async with connected() as host, diagnosed(host, cluster_id):
        await rebuild(host, cluster_id, run_id=run_id())
    return Completed(message=f"{cluster_id} is available, made anew from the golden image")


@flow(name="teardown-pool")
async def teardown_pool(
    confirm: Annotated[Literal["teardown"], Field(description="Write `teardown`: everything is removed for good.")],
    cluster_ids: ClusterIds = None,
    force: Force = False,
) -> Any:
    """Remove clusters with everything that belongs to them. Locked ones only by force; nothing is removed otherwise.

    Args:
        confirm: Write `teardown`: everything is removed for good.
        cluster_ids: Only these clusters, by name; all of the pool if left out.
        force: Remove locked clusters too. Their sessions are told and ended.
    """
    async with connected() as host:
        found = existing(await host.state.clusters(), cluster_ids)
        held = [f"{one.name} by {one.status.assigned_session}" for one in found if one.status.assigned_session]
        if held and not force:
            raise IllegalTransition(
                "clusters are held by sessions",
                expected="clusters nobody holds",
                actual=", ".join(held),
                cure="release the sessions, name other clusters, or force it",
            )

        async def one(cluster_id: str) -> None:
            async with diagnosed(host, cluster_id):
                await host.state.delete_cluster(await host.state.cluster(cluster_id))
                await teardown(host, cluster_id, run_id=run_id(), force=force)

        names = [cluster.name for cluster in found]
        await at_most((await host.state.pool()).spec.max_concurrent_operations, one, names)
    return Completed(message=f"{len(names)} clusters removed: {', '.join(names) or 'there were none'}", data=names)
