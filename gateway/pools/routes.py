"""Pools and clusters over HTTP: thin calls of the pool's state."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter
from fastapi import Path as InPath

from gateway.access.roles import Caller, Role, requires
from gateway.gateway import TheGateway, TheHost
from gateway.keys import IdempotencyKey
from gateway.lists import MOST, Continue, Limit, Page, page_of
from gateway.pools import examples
from gateway.pools.models import ClusterPatch, ClusterView, PoolPatch, PoolView
from gateway.pools.seen import by_number, cluster_of, clusters_of, pool_names, pool_of, pool_view
from gateway.problems import answers
from pool.core.contract import ClusterPoolStats
from pool.core.errors import InvalidInput, UnknownPool
from pool.core.fields import ClusterId, PoolName
from pool.core.pools import DEFAULT_POOL

router = APIRouter(prefix="/api/v1", tags=["pools"])

Reader = Annotated[Caller, requires(Role.VIEWER, Role.SESSION)]
ThePool = Annotated[PoolName, InPath(alias="pool", examples=["default"])]
TheCluster = Annotated[ClusterId, InPath(alias="clusterId", examples=["cluster1"])]


@router.get("/pools", operation_id="listPools", responses=answers())
async def list_pools(
    caller: Reader, gateway: TheGateway, limit: Limit = MOST, after: Continue = None
) -> Page[PoolView]:
    """The Pools that the caller may use, by name."""
    names = [name for name in await pool_names(gateway) if caller.may_use(name)]
    part, more = page_of(names, str, limit, after)
    items = []
    for name in part:
        # One that is gone since, or cannot be read, is left out as the view leaves it out.
        with suppress(UnknownPool, InvalidInput):
            items.append(await pool_view(gateway, await pool_of(gateway, name)))
    return Page(items=items, continue_=more)


@router.get("/pools/{pool}", operation_id="getPool", responses={200: examples.POOL, **answers(404)})
async def get_pool(pool: ThePool, caller: Reader, gateway: TheGateway) -> PoolView:
    """One Pool: its clusters by phase, who waits, and what keeps it from being as it is wanted."""
    caller.check_pool(pool)
    return await pool_view(gateway, await pool_of(gateway, pool))


@router.patch("/pools/{pool}", operation_id="resizePool", responses=answers(404, 409), dependencies=[requires()])
async def resize_pool(
    pool: ThePool, patch: PoolPatch, gateway: TheGateway, host: TheHost, _key: IdempotencyKey = None
) -> PoolView:
    """Set the size of a Pool. Maintenance makes or removes clusters, within a few seconds where a worker stands by."""
    return await pool_view(gateway, await host.state.resize(pool, patch.size))


@router.get("/pools/{pool}/clusters", operation_id="listClusters", responses=answers(404))
async def list_clusters(
    pool: ThePool, caller: Reader, gateway: TheGateway, limit: Limit = MOST, after: Continue = None
) -> Page[ClusterView]:
    """The clusters of a Pool, by number."""
    caller.check_pool(pool)
    await pool_of(gateway, pool)
    part, more = page_of(await clusters_of(gateway, pool), lambda one: one.name, limit, after, by_number)
    return Page(items=[ClusterView.of(one) for one in part], continue_=more)


@router.get(
    "/pools/{pool}/clusters/{clusterId}", operation_id="getCluster", responses={200: examples.CLUSTER, **answers(404)}
)
async def get_cluster(pool: ThePool, cluster_id: TheCluster, caller: Reader, host: TheHost) -> ClusterView:
    """One cluster, as it is now."""
    caller.check_pool(pool)
    return ClusterView.of(await cluster_of(host, pool, cluster_id))


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
    await cluster_of(host, pool, cluster_id)
    return ClusterView.of(await host.state.cordon(cluster_id, patch.cordoned))


@router.get("/pool", operation_id="getDefaultStats", responses=answers(404))
async def get_default_stats(caller: Reader, gateway: TheGateway) -> ClusterPoolStats:
    """The counts of the Pool `default`, as the platform knows them."""
    caller.check_pool(DEFAULT_POOL)
    await pool_of(gateway, DEFAULT_POOL)
    return ClusterPoolStats.of(await clusters_of(gateway, DEFAULT_POOL))


@router.get("/pool/clusters", operation_id="listDefaultClusters", responses=answers(404))
async def list_default_clusters(
    caller: Reader, gateway: TheGateway, limit: Limit = MOST, after: Continue = None
) -> Page[ClusterView]:
    """The clusters of the Pool `default`."""
    return await list_clusters(DEFAULT_POOL, caller, gateway, limit, after)
