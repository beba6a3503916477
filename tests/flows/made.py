"""Clusters for tests of other flows than bootstrap-pool: what it does, without Prefect's engine around each step."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

from pool.core.lifecycle import ClusterPhase
from pool.core.pools import DEFAULT_POOL, PoolSpec
from pool.kube.gather import gather
from pool.work import images, namespaces
from pool.work.bootstrap import bootstrap
from pool.work.golden import take
from pool.work.steps import Host, plainly


async def made(host: Host, size: int = 1) -> None:
    """A Pool of available clusters, `cluster1` and on."""
    host = replace(host, run_step=plainly)
    await namespaces.ensure_pool_namespace(host.kube, host.settings)
    await namespaces.ensure_crds(host.kube, host.watching)
    await namespaces.ensure_templates_namespace(host.kube, host.settings)
    pool = await host.state.ensure_pool(DEFAULT_POOL, PoolSpec(size=size))
    await images.ensure_image(host.kube, host.watching, pool, host.settings)

    async def one(name: str) -> None:
        await host.state.ensure_cluster(pool, name)
        await bootstrap(host, name, run_id=str(uuid4()))
        await take(host, name, run_id=str(uuid4()))

    await gather([one(f"cluster{number}") for number in range(1, size + 1)])


async def phases(host: Host) -> dict[str, ClusterPhase]:
    """Of all clusters, by name."""
    return {cluster.name: cluster.phase for cluster in await host.state.clusters()}
