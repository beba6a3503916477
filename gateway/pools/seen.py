"""Pools and clusters as the view shows them; read where it does not. An outage is never an empty pool."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from gateway.gateway import Gateway
from gateway.pools.models import PoolView
from pool.core.clusters import PooledCluster
from pool.core.contract import ClusterPoolStats
from pool.core.errors import UnknownCluster
from pool.core.pools import Pool
from pool.core.queue import queue
from pool.work.steps import Host


async def pool_view(gateway: Gateway, pool: Pool) -> PoolView:
    """The Pool as it is told."""
    return PoolView(
        name=pool.name,
        size=pool.spec.size,
        removing=pool.removing,
        waiting=_waiting(gateway, pool),
        stats=ClusterPoolStats.of(await clusters_of(gateway, pool.name)),
        conditions=pool.status.conditions,
    )


async def pool_of(gateway: Gateway, name: str) -> Pool:
    """The Pool as it is seen; read where it is not. Raises UnknownPool, ApiUnavailable."""
    host = gateway.the_host()
    view = host.state.view
    seen = view.pools.get(name) if gateway.current else None
    return seen or await host.state.pool(name)


async def clusters_of(gateway: Gateway, pool: str) -> Collection[PooledCluster]:
    """The Pool's clusters as they are seen; read while they are not current. An outage is no empty pool."""
    host = gateway.the_host()
    view = host.state.view
    if not gateway.current:
        return await host.state.clusters(pool)
    return [cluster for cluster in view.clusters.values() if cluster.spec.pool == pool]


async def pool_names(gateway: Gateway) -> list[str]:
    """Of all Pools."""
    host = gateway.the_host()
    view = host.state.view
    return list(view.pools) if gateway.current else await host.state.pool_names()


def _waiting(gateway: Gateway, pool: Pool) -> int:
    host = gateway.the_host()
    view = host.state.view
    if not gateway.current:
        return pool.status.waiting
    grace = timedelta(seconds=host.settings.queue_grace)
    return sum(one.spec.pool == pool.name for one in queue(view.sessions.values(), host.now(), grace))


async def cluster_of(host: Host, pool: str, cluster_id: str) -> PooledCluster:
    """The cluster of that Pool. Raises UnknownCluster for another's, too."""
    cluster = await host.state.cluster(cluster_id)
    if cluster.spec.pool != pool:
        raise UnknownCluster(f"no cluster {cluster_id} in pool {pool}", cure=f"see /api/v1/pools/{pool}/clusters")
    return cluster


def by_number(name: str) -> tuple[int, str]:
    """How clusters are listed: cluster10 after cluster9."""
    return len(name), name
