"""`status --watch`: the pool as it changes, on a terminal in place, elsewhere a line for each change."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime

from cks_pool.formats import clock, say
from cks_pool.tables import cluster_table, phase_of, waiting_line
from flows.tables import summary
from pool.core.clusters import PooledCluster
from pool.core.contract import ClusterPoolStats
from pool.core.pools import Pool
from pool.core.sessions import Session
from pool.work.steps import Host

REDRAWN = 1.0
"""Seconds after which what a terminal shows is drawn again: times count on though nothing changes."""


@dataclass(frozen=True)
class Seen:
    """A pool in one moment."""

    pool: Pool
    clusters: list[PooledCluster]
    sessions: list[Session]
    at: datetime
    grace: float

    def text(self, *, wide: bool) -> str:
        """As `status` prints it."""
        parts = [
            summary(ClusterPoolStats.of(self.clusters), self.pool),
            cluster_table(self.clusters, self.at, wide=wide),
            waiting_line(self.sessions, self.at, self.grace),
        ]
        return "\n".join(part for part in parts if part)


async def follow(host: Host, pool: str, *, wide: bool) -> None:
    """Show the pool until it is gone, the watch fails (ApiError), or somebody has seen enough."""
    async with aclosing(looks(host, pool)) as seen:
        if sys.stdout.isatty():
            await _in_place(seen, wide=wide)
        else:
            await in_lines(seen)
    say(f"pool {pool} is gone")


async def looks(host: Host, pool: str) -> AsyncGenerator[Seen, None]:
    """The pool now, and again whenever something changed, at least each REDRAWN seconds; ends once it is gone."""
    view = host.state.view
    async with host.state.following() as failing:
        with view.news() as news:
            while (found := view.pools.get(pool)) is not None:
                news.clear()
                clusters = [one for one in view.clusters.values() if one.spec.pool == pool]
                clusters.sort(key=lambda cluster: (len(cluster.name), cluster.name))
                waiting = [one for one in view.sessions.values() if one.spec.pool == pool]
                yield Seen(found, clusters, waiting, host.now(), host.settings.queue_grace)
                changed = asyncio.create_task(news.wait())
                try:
                    await asyncio.wait({changed, failing}, timeout=REDRAWN, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    changed.cancel()
                if failing.done():
                    await failing


async def _in_place(seen: AsyncIterator[Seen], *, wide: bool) -> None:
    from rich.live import Live
    from rich.text import Text

    with Live(auto_refresh=False) as live:
        async for look in seen:
            live.update(Text(look.text(wide=wide), no_wrap=True, overflow="ellipsis"), refresh=True)


async def in_lines(seen: AsyncIterator[Seen]) -> None:
    before: Mapping[str, str] = {}
    async for look in seen:
        now = lines_of(look)
        for name in before.keys() - now.keys():
            say(f"{clock(look.at)}  {name}  gone")
        for name, line in now.items():
            if before.get(name) != line:
                say(f"{clock(look.at)}  {name}  {line}")
        sys.stdout.flush()
        before = now


def lines_of(look: Seen) -> dict[str, str]:
    """Each cluster in a line that changes only with what is true of it, not with time. Pure."""
    return {cluster.name: _line(cluster) for cluster in look.clusters}


def _line(cluster: PooledCluster) -> str:
    status = cluster.status
    parts = [phase_of(cluster)]
    if status.assigned_session and status.expires_at:
        parts.append(f"session {status.assigned_session} until {clock(status.expires_at)}")
    if status.operation:
        parts.append(f"{status.operation.kind}, attempt {status.operation.attempt}")
    if status.failure:
        parts.append(status.failure.message)
    return "  ".join(parts)
