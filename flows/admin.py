"""What only an operator asks for: everything back, one cluster anew, the pool away."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal

from prefect import flow, get_run_logger, task
from prefect.states import Completed
from pydantic import Field

from flows.bootstrap import make
from flows.clusters import ClusterIds, OneCluster, at_most, existing
from flows.golden import snapshot_cluster
from flows.operations import attempt, unless_others_do
from flows.reset import Force, restore_cluster, waits
from flows.retries import EFFECT
from flows.runtime import connected
from flows.sessions import release
from pool.core.clusters import OperationKind
from pool.core.errors import IllegalTransition
from pool.core.lifecycle import SessionPhase
from pool.kubevirt.cluster import Cluster
from pool.state import OperationHandle
from pool.work import namespaces, provision
from pool.work.images import ensure_image


@flow(name="release-all-clusters")
async def release_all_clusters() -> Any:
    """End every session and reset its cluster, a few clusters at a time."""
    async with connected() as pool:
        active = [one.name for one in await pool.state.sessions() if one.phase is SessionPhase.ACTIVE]
        ended = [await release(session_id, None) for session_id in active]
        clusters = [cluster_id for cluster_id, _ in ended if cluster_id is not None]
        limit = (await pool.state.pool()).spec.max_concurrent_operations
        ours = await at_most(limit, partial(unless_others_do, reset_returned), clusters)
    left = [name for name, mine in zip(clusters, ours, strict=True) if not mine]
    message = f"{len(active)} sessions ended, {len(clusters) - len(left)} clusters reset"
    message += f"; left to the runs that reset them already: {', '.join(left)}" if left else ""
    return Completed(message=message, data=clusters)


async def reset_returned(cluster_id: str) -> None:
    """Reset a cluster that was given back, unless another run has done it."""
    if await waits(cluster_id):
        await restore_cluster(cluster_id)


@flow(name="rebuild-cluster", flow_run_name="rebuild-{cluster_id}")
async def rebuild_cluster(cluster_id: OneCluster) -> Any:
    """Make one idle or broken cluster anew from the golden image, with new golden snapshots.

    Args:
        cluster_id: The cluster's name, for example cluster1.
    """
    async with connected() as pool:
        cluster = Cluster.of(await pool.state.cluster(cluster_id))
        # Before the cluster is touched: an image that cannot be had costs none of those that there are.
        await ensure_image(pool.kube, pool.watching, await pool.state.pool(cluster.pool), pool.settings)

        async def work(operation: OperationHandle) -> None:
            await demolish(cluster)
            await make(operation, cluster)

        await attempt(pool, cluster_id, OperationKind.REBUILD, work)
    await snapshot_cluster(cluster_id)
    return Completed(message=f"{cluster_id} is available, made anew from the golden image")


@task(**EFFECT, task_run_name="demolish-{cluster.id}")
async def demolish(cluster: Cluster) -> None:
    """The cluster's VMs, snapshots, disks and secrets are gone; its namespace and Services stay."""
    async with connected() as pool:
        await provision.demolish(pool.kube, pool.watching, cluster, pool.settings)


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
    async with connected() as pool:
        found = existing(await pool.state.clusters(), cluster_ids)
        held = [f"{one.name} by {one.status.assigned_session}" for one in found if one.status.assigned_session]
        if held and not force:
            raise IllegalTransition(
                "clusters are held by sessions",
                expected="clusters nobody holds",
                actual=", ".join(held),
                cure="release the sessions, name other clusters, or force it",
            )

        async def one(cluster_id: str) -> None:
            await teardown_cluster(cluster_id, force=force)

        names = [cluster.name for cluster in found]
        await at_most((await pool.state.pool()).spec.max_concurrent_operations, one, names)
    return Completed(message=f"{len(names)} clusters removed: {', '.join(names) or 'there were none'}", data=names)


async def teardown_cluster(cluster_id: str, *, force: bool) -> None:
    """One cluster: its namespace with all in it, its right to clone, and its resource."""
    async with connected() as pool:
        found = await pool.state.cluster(cluster_id)
        cluster = Cluster.of(found)
        await pool.state.delete_cluster(found)

        async def work(operation: OperationHandle) -> None:
            await remove_namespace(cluster)
            await operation.remove()
            get_run_logger().info("%s is gone", cluster_id)

        await attempt(pool, cluster_id, OperationKind.TEARDOWN, work, force=force)


@task(**EFFECT, task_run_name="remove-namespace-{cluster.id}")
async def remove_namespace(cluster: Cluster) -> None:
    """The cluster's namespace is gone, and its right to clone."""
    async with connected() as pool:
        await namespaces.delete_cluster_namespace(
            pool.kube, pool.watching, cluster, timeout=pool.settings.delete_timeout
        )
        await namespaces.remove_clone_binding(pool.kube, cluster, pool.settings)
