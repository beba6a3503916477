"""Looking at what there is: `status`, `pools`, `sessions`. Nothing is changed, and Prefect is not asked."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from cks_pool.documents import of_clusters, of_pools, of_sessions
from cks_pool.following import follow
from cks_pool.formats import data, say
from cks_pool.hosts import host_at, pool_named
from cks_pool.options import HERE, AnyPool, Output, PoolName, Where
from cks_pool.tables import cluster_table, pool_table, session_table, waiting_line
from flows.tables import summary
from pool.core.contract import ClusterPoolStats
from pool.core.errors import InvalidInput
from pool.core.pools import DEFAULT_POOL
from pool.core.resource import GROUP
from pool.kube.gather import gather


async def status(
    *,
    pool: PoolName = DEFAULT_POOL,
    watch: Annotated[bool, Parameter(name=["--watch", "-w"], help="Stay, and show what changes.")] = False,
    output: Output = None,
    where: Where = HERE,
) -> None:
    """The clusters of a pool."""
    if watch and output not in (None, "wide"):
        raise InvalidInput("--watch", expected="a table", actual=f"-o {output}", cure="leave out either")
    async with host_at(where) as host:
        found = await pool_named(host, pool)
        if watch:
            await follow(host, found.name, wide=output == "wide")
            return
        clusters = await host.state.clusters(found.name)
        sessions = await host.state.sessions(found.name) if output in (None, "wide") else []
        now = host.now()
    if output == "name":
        say("\n".join(f"pooledcluster.{GROUP}/{cluster.name}" for cluster in clusters))
    elif output in ("json", "yaml"):
        say(data(of_clusters(clusters), output))
    else:
        say(summary(ClusterPoolStats.of(clusters), found))
        if clusters:
            say(cluster_table(clusters, now, wide=output == "wide"))
        if line := waiting_line(sessions, now, host.settings.queue_grace):
            say(line)


async def pools(*, output: Output = None, where: Where = HERE) -> None:
    """All Pools of the namespace."""
    async with host_at(where) as host:
        names = await host.state.pool_names()
        found = await gather(host.state.pool(name) for name in names)
        clusters = await host.state.clusters() if output in ("json", "yaml") else []
    if output == "name":
        say("\n".join(f"pool.{GROUP}/{name}" for name in names))
    elif output in ("json", "yaml"):
        say(data(of_pools(found, clusters), output))
    elif found:
        say(pool_table(found, wide=output == "wide"))
    else:
        say(f"no pools in namespace {host.settings.namespace}; cks-pool run bootstrap-pool makes the first one")


async def sessions(
    *,
    pool: AnyPool = None,
    ended: Annotated[bool, Parameter(name=["--all", "-a"], help="Those that ended, too.")] = False,
    output: Output = None,
    where: Where = HERE,
) -> None:
    """Sessions that wait or hold a cluster."""
    async with host_at(where) as host:
        if pool is not None:
            pool = (await pool_named(host, pool)).name
        found = [one for one in await host.state.sessions(pool) if ended or not one.phase.ended]
        clusters = await host.state.clusters(pool) if output in ("json", "yaml") else []
        now, grace = host.now(), host.settings.queue_grace
    if output == "name":
        say("\n".join(f"session.{GROUP}/{session.name}" for session in found))
    elif output in ("json", "yaml"):
        say(data(of_sessions(found, clusters, now, grace), output))
    elif found:
        say(session_table(found, now, grace, wide=output == "wide"))
    else:
        say("no sessions" if ended else "no sessions wait or hold a cluster; --all shows those that ended")
