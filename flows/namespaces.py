"""Everything that must be there before a cluster can be made. What exists is adopted, what is missing is added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.states import Completed

from flows.clusters import ClusterIds, Size, at_most, named
from flows.runtime import connected
from flows.tasks import EFFECT
from pool.kube.gather import gather
from pool.kubevirt.cluster import Cluster
from pool.work import images, namespaces
from pool.work.namespace_checks import check_cluster_namespaces
from pool.work.pools import ensure_pool

AT_ONCE = 16
"""Namespaces that are ensured side by side; each is a handful of small writes."""


@flow(name="create-namespaces")
async def create_namespaces(size: Size = None, cluster_ids: ClusterIds = None) -> Any:
    """Ensure the CRDs, `vm-templates` with the golden image, and every cluster's namespace with its rights.

    Args:
        size: How many clusters the pool has, 1 to 500; the pool's setting if left out.
        cluster_ids: Only these clusters, by name; all of the pool if left out.
    """
    names = await ensure_foundations(size, cluster_ids)
    return Completed(message=f"{len(names)} cluster namespaces: {', '.join(names[:10])}", data=names)


async def ensure_foundations(size: int | None, cluster_ids: Sequence[str] | None) -> list[str]:
    """All that is not the clusters themselves. Returns their namespaces."""
    await ensure_pool_resources()
    await check_ownership(size, cluster_ids)
    names, _ = await gather([ensure_cluster_namespaces(size, cluster_ids), ensure_golden_image()])
    return list(names or ())


@task(**EFFECT)
async def check_ownership(size: int | None, cluster_ids: Sequence[str] | None) -> None:
    """Fail before anything is made of a cluster if its name is another pool's, or its namespace somebody else's."""
    async with connected() as pool:
        of = await ensure_pool(pool.kube, pool.state, size=size)
        await check_cluster_namespaces(pool.kube, of, named(of, size, cluster_ids), pool.settings)


@task(**EFFECT)
async def ensure_pool_resources() -> None:
    """The pool's own namespace, its kinds, and the namespace of the golden image."""
    async with connected() as pool:
        await namespaces.ensure_pool_namespace(pool.kube, pool.settings)
        await namespaces.ensure_crds(pool.kube, pool.watching)
        await namespaces.ensure_templates_namespace(pool.kube, pool.settings)


@task(**EFFECT)
async def ensure_cluster_namespaces(size: int | None, cluster_ids: Sequence[str] | None) -> list[str]:
    """Each cluster's namespace with its labels, right to clone, isolation and quota. Returns the namespaces."""
    async with connected() as pool:
        of = await pool.state.pool()
        names = named(of, size, cluster_ids)
        clusters = [Cluster.of(await pool.state.ensure_cluster(of, name)) for name in names]

        async def ensure(cluster: Cluster) -> None:
            await namespaces.ensure_cluster_namespace(pool.kube, pool.watching, cluster, of, pool.settings)

        await at_most(AT_ONCE, ensure, clusters)
    get_run_logger().info("%d cluster namespaces ensured", len(clusters))
    return [cluster.namespace for cluster in clusters]


@task(**EFFECT)
async def ensure_golden_image() -> None:
    """The disk that clusters are cloned from, imported."""
    async with connected() as pool:
        await images.ensure_image(pool.kube, pool.watching, await pool.state.pool(), pool.settings)
