"""Writing down how a Pool is."""

from __future__ import annotations

from pool.core.errors import Conflict, InvalidInput, UnknownPool
from pool.core.pool_status import status_of
from pool.core.pools import Pool
from pool.work.images import import_failure
from pool.work.namespaces.prefixes import check_prefix
from pool.work.steps import Host

TRIES = 5
"""Reads and writes until another writer is let have it: what that one writes is as new."""


async def note_pool_status(host: Host, name: str) -> Pool | None:
    """Bring the Pool's status up to what its clusters and sessions are now; None if it is gone.

    The Pool is read first and written as it was read, so that a slow writer never puts an older truth over a newer one.
    """
    for _ in range(TRIES):
        try:
            pool = await host.state.pool(name)
            sessions, clusters = await host.state.sessions(name), await host.state.clusters(name)
            troubles = {
                "prefix_taken": await prefix_taken(host, pool),
                "not_imported": await import_failure(host.kube, pool, host.settings),
            }
            status = status_of(pool, clusters, sessions, host.now(), **troubles)
            return await host.state.write_pool_status(pool, status)
        except UnknownPool:
            return None
        except Conflict:
            continue
    return None


async def prefix_taken(host: Host, pool: Pool) -> str:
    """Who has the pool's prefix, in words; empty if it is its own."""
    try:
        await check_prefix(host.kube, pool)
    except InvalidInput as taken:
        return str(taken)
    return ""
