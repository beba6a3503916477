"""What operators start: each is a flow run of Prefect's, and is looked at first, so that nothing begins in vain."""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi import Path as InPath
from pydantic import Field

from gateway.access.roles import Caller, requires
from gateway.gateway import Gateway, TheGateway, TheHost
from gateway.keys import IdempotencyKey
from gateway.models import Asked
from gateway.pools.models import ClusterView
from gateway.pools.seen import clusters_of, pool_of
from gateway.problems import answers
from gateway.runs import Key, PrefectUnavailable, StartedRun
from pool.core.clusters import OperationKind, PooledCluster
from pool.core.errors import PoolError, UnknownCluster
from pool.core.fields import ClusterId, PoolName
from pool.core.operation_rules import Request, begun
from pool.core.pools import DEFAULT_POOL
from pool.work.steps import Host

router = APIRouter(prefix="/api/v1/admin", tags=["admin"], dependencies=[requires()])

Operator = Annotated[Caller, requires()]
TheCluster = Annotated[ClusterId, InPath(alias="clusterId", examples=["cluster1"])]
Clusters = Annotated[list[ClusterId] | None, Field(min_length=1, max_length=500, examples=[["cluster2"]])]


class OfPool(Asked):
    """Of which Pool."""

    pool: Annotated[PoolName, Field(examples=["default"])] = DEFAULT_POOL
    """The Pool, by name."""


class BootstrapRequest(OfPool):
    """Clusters are to be made."""

    size: Annotated[int | None, Field(ge=1, le=500, strict=True, examples=[3])] = None
    """How many clusters the Pool has from now on; as it has it, or three for a new Pool, if left out."""
    cluster_ids: Clusters = None
    """Only these clusters; all that are missing if left out."""
    golden_snapshots: bool = True
    """Take the golden snapshots as well, so that the clusters are available."""


class SnapshotsRequest(OfPool):
    """Golden snapshots are to be taken."""

    cluster_ids: Clusters = None
    """Only of these clusters; of all if left out."""
    refresh: bool = False
    """A new generation of idle clusters as well, one at a time."""


class ResetRequest(Asked):
    """A cluster is to be reset."""

    force: bool = False
    """Take a held cluster from its session, which ends."""


@router.post("/bootstrap-pool", operation_id="bootstrapPool", status_code=202, responses=answers())
async def bootstrap_pool(
    gateway: TheGateway, caller: Operator, asked: BootstrapRequest | None = None, key: IdempotencyKey = None
) -> StartedRun:
    """Make the Pool if there is none, and every cluster that it lacks."""
    # Nothing is looked at before: on a new host there is nothing to see, not even the kinds.
    parameters = _given(asked or BootstrapRequest())
    return await gateway.the_runs().start("bootstrap-pool", parameters, Key.of(key, caller.name))


@router.post("/create-snapshots", operation_id="createSnapshots", status_code=202, responses=answers(404))
async def create_snapshots(
    gateway: TheGateway,
    caller: Operator,
    asked: SnapshotsRequest | None = None,
    key: IdempotencyKey = None,
) -> StartedRun:
    """Take golden snapshots of new clusters, and with `refresh` new ones of those that have some."""
    asked = asked or SnapshotsRequest()
    check = _check_members(gateway, asked.pool, asked.cluster_ids)
    return await _start(gateway, "create-golden-snapshots", _given(asked), Key.of(key, caller.name), check)


@router.post("/release-all-clusters", operation_id="releaseAllClusters", status_code=202, responses=answers(404))
async def release_all_clusters(
    gateway: TheGateway, caller: Operator, asked: OfPool | None = None, key: IdempotencyKey = None
) -> StartedRun:
    """End every session of the Pool and reset its cluster, a few at a time."""
    asked = asked or OfPool()
    return await _start(
        gateway, "release-all-clusters", _given(asked), Key.of(key, caller.name), pool_of(gateway, asked.pool)
    )


@router.post("/clusters/{clusterId}/reset", operation_id="resetCluster", status_code=202, responses=answers(404, 409))
async def reset_cluster(
    gateway: TheGateway,
    host: TheHost,
    caller: Operator,
    cluster_id: TheCluster,
    asked: ResetRequest | None = None,
    key: IdempotencyKey = None,
) -> StartedRun:
    """Restore a cluster from its golden snapshots. A held one only with `force`: its session is told, and ends.

    Force is for whoever holds it now: a run that begins once it was handed over to another is refused.
    """
    force = asked is not None and asked.force
    parameters: dict[str, Any] = {"cluster_id": cluster_id, "force": force}

    async def check() -> None:
        seen = await _check_begins(host, cluster_id, OperationKind.RESET, force=force)
        if force:
            # By the time the run begins it may be held by another session.
            parameters["epoch"] = seen.status.epoch

    return await _start(gateway, "reset-cluster", parameters, Key.of(key, caller.name), check())


@router.post(
    "/clusters/{clusterId}/rebuild", operation_id="rebuildCluster", status_code=202, responses=answers(404, 409)
)
async def rebuild_cluster(
    gateway: TheGateway, host: TheHost, caller: Operator, cluster_id: TheCluster, key: IdempotencyKey = None
) -> StartedRun:
    """Make an idle or broken cluster anew from the golden image, with new golden snapshots."""
    check = _check_begins(host, cluster_id, OperationKind.REBUILD)
    return await _start(gateway, "rebuild-cluster", {"cluster_id": cluster_id}, Key.of(key, caller.name), check)


@router.post("/clusters/{clusterId}/cordon", operation_id="cordon", responses=answers(404))
async def cordon(host: TheHost, cluster_id: TheCluster, _key: IdempotencyKey = None) -> ClusterView:
    """Keep a cluster from new sessions, and leave it as it is. Who holds it keeps it."""
    return ClusterView.of(await host.state.cordon(cluster_id, True))


@router.post("/clusters/{clusterId}/uncordon", operation_id="uncordon", responses=answers(404))
async def uncordon(host: TheHost, cluster_id: TheCluster, _key: IdempotencyKey = None) -> ClusterView:
    """Let a cluster be assigned again, and have what is due done on it."""
    return ClusterView.of(await host.state.cordon(cluster_id, False))


def _given(asked: Asked) -> dict[str, Any]:
    """The flow's parameters: they have the same names."""
    return asked.model_dump(mode="json", exclude_none=True)


async def _start(
    gateway: Gateway, deployment: str, parameters: dict[str, Any], key: Key | None, check: Awaitable[object]
) -> StartedRun:
    """Start the run if the `check` does not raise. The same call again, by its key, is told its first one's run.

    Raises what the check raises; PrefectUnavailable; InvalidInput for a key that had other parameters.
    """
    runs = gateway.the_runs()
    try:
        await check
    except PoolError:
        # The run of the first call may be what keeps another one from beginning.
        with suppress(PrefectUnavailable):
            if key is not None and (earlier := await runs.earlier(deployment, parameters, key)) is not None:
                return earlier
        raise
    return await runs.start(deployment, parameters, key)


async def _check_begins(host: Host, cluster_id: str, kind: OperationKind, *, force: bool = False) -> PooledCluster:
    """The cluster as it was looked at.

    Raises what the operation's beginning would be refused with: UnknownCluster, IllegalTransition, OperationInProgress.
    """
    cluster = await host.state.cluster(cluster_id)
    silent = bool(host.state.silent([cluster]))
    begun(cluster, Request(kind, "asked-for", force=force), host.now(), word="", silent=silent)
    return cluster


async def _check_members(gateway: Gateway, pool: str, cluster_ids: list[str] | None) -> None:
    """Raises UnknownPool, UnknownCluster."""
    await pool_of(gateway, pool)
    names = {cluster.name for cluster in await clusters_of(gateway, pool)}
    if missing := [name for name in cluster_ids or () if name not in names]:
        raise UnknownCluster(
            f"no cluster {', '.join(missing)} in pool {pool}", cure=f"see /api/v1/pools/{pool}/clusters"
        )
