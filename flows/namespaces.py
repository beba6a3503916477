"""Everything that must be there before a cluster can be made. What exists is adopted, what is missing is added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.states import Completed

from flows.clusters import ClusterIds, OfPool, Size, at_most, named
from flows.names import run_named
from flows.runtime import connected
from flows.tasks import EFFECT, stopwatch
from pool.core.lifecycle import ClusterPhase
from pool.core.pools import DEFAULT_POOL
from pool.kube.gather import gather
from pool.kubevirt.cluster import Cluster
from pool.work import images, namespaces
from pool.work.namespaces.checks import check_cluster_namespaces
from pool.work.pools import ensure_pool

AT_ONCE = 16
"""Namespaces that are ensured side by side; each is a handful of small writes."""


@flow(name="create-namespaces", flow_run_name=run_named("create-namespaces"))
async def create_namespaces(pool: OfPool = DEFAULT_POOL, size: Size = None, cluster_ids: ClusterIds = None) -> Any:
    """Ensure the CRDs, the Pool, `vm-templates` with the golden image, and every cluster's namespace with its rights.

    Args:
        pool: Name of the Pool, made if there is none.
        size: How many clusters the Pool has from now on, 1 to 500; as it has it if left out.
        cluster_ids: Only these clusters, by name (cluster1, for example); all of the pool if left out.
    """
    took = stopwatch()
    names = await ensure_foundations(pool, size, cluster_ids)
    more = ", ..." if len(names) > 10 else ""
    message = f"{len(names)} cluster namespaces ensured in {took()}: {', '.join(names[:10])}{more}"
    return Completed(message=message, data=names)


async def ensure_foundations(
    pool: str, size: int | None, cluster_ids: Sequence[str] | None, *, of_unmade: bool = True
) -> list[str]:
    """All that is not the clusters themselves. Returns their names, which are their namespaces' too.

    `of_unmade` False leaves the namespaces of clusters that are still to be made to their bootstrap.
    """
    await ensure_pool_resources()
    names = await check_ownership(pool, size, cluster_ids)
    await gather([ensure_cluster_namespaces(pool, names, of_unmade=of_unmade), ensure_golden_image(pool)])
    return names


@task(**EFFECT, task_run_name="check-ownership-{pool}")
async def check_ownership(pool: str, size: int | None, cluster_ids: Sequence[str] | None) -> list[str]:
    """The wanted clusters of the Pool, which is made if there is none, and gets its size.

    Fails before anything is made of a cluster if its name is another pool's, or its namespace somebody else's. Those
    that are there already find that out by themselves, and say so.
    """
    async with connected() as host:
        wanted = await ensure_pool(host.kube, host.state, pool, size=size)
        names = named(wanted, cluster_ids)
        there = {cluster.name for cluster in await host.state.clusters(pool)}
        new = [name for name in names if name not in there]
        await check_cluster_namespaces(host.kube, wanted, new, host.settings)
    return names


@task(**EFFECT, task_run_name="ensure-pool-resources")
async def ensure_pool_resources() -> None:
    """The pool's own namespace, its kinds, and the namespace of the golden image."""
    async with connected() as host:
        await namespaces.ensure_pool_namespace(host.kube, host.settings)
        await namespaces.ensure_crds(host.kube, host.watching)
        await namespaces.ensure_templates_namespace(host.kube, host.settings)


@task(**EFFECT, task_run_name="ensure-cluster-namespaces-{pool}")
async def ensure_cluster_namespaces(pool: str, names: Sequence[str], *, of_unmade: bool) -> None:
    """Each cluster's namespace with its labels, right to clone, isolation and quota."""
    async with connected() as host:
        of = await host.state.pool(pool)

        async def ensure(name: str) -> None:
            found = await host.state.ensure_cluster(of, name)
            if of_unmade or found.phase is not ClusterPhase.CREATING:
                cluster = Cluster.of(found)
                await namespaces.ensure_cluster_namespace(host.kube, host.watching, cluster, of, host.settings)

        await at_most(AT_ONCE, ensure, names)
    get_run_logger().info("%d cluster namespaces ensured", len(names))


@task(**EFFECT, task_run_name="ensure-golden-image-{pool}")
async def ensure_golden_image(pool: str) -> None:
    """The disk that clusters are cloned from, imported."""
    async with connected() as host:
        await images.ensure_image(host.kube, host.watching, await host.state.pool(pool), host.settings)
