"""What there is: Pools with their counts and conditions, and their clusters; and the two wishes that operators have of
them, a size and a cordon."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Annotated, Self

from fastapi import APIRouter
from fastapi import Path as InPath
from pydantic import Field

from gateway.access.roles import Caller, Role, requires
from gateway.gateway import TheHost
from gateway.keys import IdempotencyKey
from gateway.lists import MOST, Continue, Limit, Page, page_of
from gateway.models import Asked
from gateway.problems import answers
from pool.core.clusters import PooledCluster
from pool.core.contract import ClusterPool, ClusterPoolStats
from pool.core.errors import UnknownCluster
from pool.core.fields import ClusterId, Model, PoolName, PoolSize
from pool.core.pools import DEFAULT_POOL, Pool, PoolCondition
from pool.core.queue import queue
from pool.work.steps import Host

router = APIRouter(prefix="/api/v1", tags=["pools"])

Reader = Annotated[Caller, requires(Role.VIEWER, Role.SESSION)]
ThePool = Annotated[PoolName, InPath(alias="pool", examples=["default"])]
TheCluster = Annotated[ClusterId, InPath(alias="clusterId", examples=["cluster1"])]


class PoolView(Model):
    """A Pool, as it is."""

    name: str
    """Its name."""
    size: int
    """How many clusters it is to have."""
    removing: bool
    """Whether it is on its way out."""
    waiting: int
    """Sessions that wait for one of its clusters."""
    stats: ClusterPoolStats
    """Its clusters by phase; the five counts add up to the total."""
    conditions: list[PoolCondition]
    """Ready, Progressing, Degraded: why it is as it is."""


class ClusterView(ClusterPool):
    """A cluster as the platform knows it, and whether it is kept from new sessions."""

    cordoned: bool
    """Whether it is given to nobody, and left as it is."""

    @classmethod
    def of(cls, cluster: PooledCluster) -> Self:
        return cls.model_validate(ClusterPool.of(cluster).model_dump() | {"cordoned": cluster.spec.cordoned})


class PoolPatch(Asked):
    """What is wanted of a Pool."""

    size: Annotated[PoolSize, Field(strict=True, examples=[5])]
    """How many clusters. Of a smaller one the last go, a held one once its session has ended."""


class ClusterPatch(Asked):
    """What is wanted of a cluster."""

    cordoned: Annotated[bool, Field(strict=True, examples=[True])]
    """Whether it is kept from new sessions, and left as it is. Who holds it keeps it."""


@router.get("/pools", operation_id="listPools", responses=answers())
async def list_pools(caller: Reader, host: TheHost, limit: Limit = MOST, after: Continue = None) -> Page[PoolView]:
    """The Pools that the caller may use, by name."""
    names = [name for name in await _pool_names(host) if caller.may_use(name)]
    part, more = page_of(names, str, limit, after)
    return Page(items=[await pool_view(host, await pool_of(host, name)) for name in part], continue_=more)


@router.get("/pools/{pool}", operation_id="getPool", responses=answers(404))
async def get_pool(pool: ThePool, caller: Reader, host: TheHost) -> PoolView:
    """One Pool: its clusters by phase, who waits, and what keeps it from being as it is wanted."""
    caller.check_pool(pool)
    return await pool_view(host, await pool_of(host, pool))


@router.patch("/pools/{pool}", operation_id="resizePool", responses=answers(404, 409), dependencies=[requires()])
async def resize_pool(pool: ThePool, patch: PoolPatch, host: TheHost, _key: IdempotencyKey = None) -> PoolView:
    """Set the size of a Pool. Maintenance makes or removes clusters, within a few seconds where a worker stands by."""
    return await pool_view(host, await host.state.resize(pool, patch.size))


@router.get("/pools/{pool}/clusters", operation_id="listClusters", responses=answers(404))
async def list_clusters(
    pool: ThePool, caller: Reader, host: TheHost, limit: Limit = MOST, after: Continue = None
) -> Page[ClusterView]:
    """The clusters of a Pool, by number."""
    caller.check_pool(pool)
    await pool_of(host, pool)
    part, more = page_of(await clusters_of(host, pool), lambda one: one.name, limit, after, _by_number)
    return Page(items=[ClusterView.of(one) for one in part], continue_=more)


@router.get("/pools/{pool}/clusters/{clusterId}", operation_id="getCluster", responses=answers(404))
async def get_cluster(pool: ThePool, cluster_id: TheCluster, caller: Reader, host: TheHost) -> ClusterView:
    """One cluster, as it is now."""
    caller.check_pool(pool)
    return ClusterView.of(await _its(host, pool, cluster_id))


@router.patch(
    "/pools/{pool}/clusters/{clusterId}",
    operation_id="cordonCluster",
    responses=answers(404),
    dependencies=[requires()],
)
async def cordon_cluster(
    pool: ThePool, cluster_id: TheCluster, patch: ClusterPatch, host: TheHost, _key: IdempotencyKey = None
) -> ClusterView:
    """Keep a cluster from new sessions, or no longer."""
    await _its(host, pool, cluster_id)
    return ClusterView.of(await host.state.cordon(cluster_id, patch.cordoned))


@router.get("/pool", operation_id="getDefaultStats", responses=answers(404))
async def get_default_stats(caller: Reader, host: TheHost) -> ClusterPoolStats:
    """The counts of the Pool `default`, as the platform knows them."""
    caller.check_pool(DEFAULT_POOL)
    await pool_of(host, DEFAULT_POOL)
    return ClusterPoolStats.of(await clusters_of(host, DEFAULT_POOL))


@router.get("/pool/clusters", operation_id="listDefaultClusters", responses=answers(404))
async def list_default_clusters(
    caller: Reader, host: TheHost, limit: Limit = MOST, after: Continue = None
) -> Page[ClusterView]:
    """The clusters of the Pool `default`."""
    return await list_clusters(DEFAULT_POOL, caller, host, limit, after)


async def pool_view(host: Host, pool: Pool) -> PoolView:
    """The Pool as it is told."""
    return PoolView(
        name=pool.name,
        size=pool.spec.size,
        removing=pool.removing,
        waiting=_waiting(host, pool),
        stats=ClusterPoolStats.of(await clusters_of(host, pool.name)),
        conditions=pool.status.conditions,
    )


async def pool_of(host: Host, name: str) -> Pool:
    """The Pool as it is seen; read where it is not. Raises UnknownPool, ApiUnavailable."""
    view = host.state.view
    seen = view.pools.get(name) if view.current else None
    return seen or await host.state.pool(name)


async def clusters_of(host: Host, pool: str) -> Collection[PooledCluster]:
    """The Pool's clusters as they are seen; read while the watches are interrupted. An outage is no empty pool."""
    view = host.state.view
    if not view.current:
        return await host.state.clusters(pool)
    return [cluster for cluster in view.clusters.values() if cluster.spec.pool == pool]


async def _pool_names(host: Host) -> list[str]:
    view = host.state.view
    return list(view.pools) if view.current else await host.state.pool_names()


def _waiting(host: Host, pool: Pool) -> int:
    view = host.state.view
    if not view.current:
        return pool.status.waiting
    grace = timedelta(seconds=host.settings.queue_grace)
    return sum(one.spec.pool == pool.name for one in queue(view.sessions.values(), host.now(), grace))


async def _its(host: Host, pool: str, cluster_id: str) -> PooledCluster:
    """The cluster of that Pool. Raises UnknownCluster for another's, too."""
    cluster = await host.state.cluster(cluster_id)
    if cluster.spec.pool != pool:
        raise UnknownCluster(f"no cluster {cluster_id} in pool {pool}", cure=f"see /api/v1/pools/{pool}/clusters")
    return cluster


def _by_number(name: str) -> tuple[int, str]:
    return len(name), name
