"""Sessions get, keep and give back clusters, by the pool's state: Prefect is not asked."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import Annotated

from cyclopts import Parameter

from cks_pool.documents import of_session
from cks_pool.formats import clock, data, say, short
from cks_pool.hosts import host_at, pool_named, session_named
from cks_pool.options import HERE, DataOutput, NewSession, PoolName, SessionName, Where, seconds
from pool.core.pools import DEFAULT_POOL
from pool.core.sessions import Session


async def assign(
    session_id: NewSession,
    /,
    *,
    pool: PoolName = DEFAULT_POOL,
    ttl: Annotated[str | None, Parameter(help="How long it may keep the cluster, as 2h; the Pool's default.")] = None,
    wait: Annotated[str | None, Parameter(help="How long to wait in the queue, as 10m; not at all.")] = None,
    priority: Annotated[int, Parameter(help="Higher is served first, -100 to 100.")] = 0,
    heartbeat_timeout: Annotated[str | None, Parameter(help="End it after so long without a heartbeat.")] = None,
    output: DataOutput = None,
    where: Where = HERE,
) -> None:
    """Hand a session a cluster; again for the same session it is the same cluster."""
    patience = seconds(wait) if wait is not None else None
    lifetime = seconds(ttl) if ttl is not None else None
    timeout = seconds(heartbeat_timeout) if heartbeat_timeout is not None else None
    async with host_at(where) as host:
        await pool_named(host, pool)
        with _waiting(f"{session_id} waits for a cluster of {pool}, {wait} at most" if patience else ""):
            session = await host.state.assign(
                session_id,
                pool=pool,
                ttl_seconds=lifetime,
                priority=priority,
                wait_seconds=patience,
                heartbeat_timeout_seconds=timeout,
            )
        now = host.now()
    say(data(of_session(session), output) if output else held(session, now))


def held(session: Session, now: datetime) -> str:
    """What the session has, in a line. Pure."""
    status = session.status
    end = status.expires_at
    until = f" until {clock(end)} ({short(end - now)} left)" if end else ""
    return f"{session.name} has {status.assigned_cluster}{until}, epoch {status.epoch}"


def _waiting(text: str) -> AbstractContextManager[object]:
    """A line that shows on a terminal while something is waited for."""
    if not text or not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status(text)


async def release(
    session_id: SessionName,
    /,
    *,
    epoch: Annotated[int | None, Parameter(help="Refuse unless it holds the cluster at this epoch.")] = None,
    output: DataOutput = None,
    where: Where = HERE,
) -> None:
    """Take a session's cluster back; the worker that stands by resets it."""
    async with host_at(where) as host:
        await session_named(host, session_id)
        released = await host.state.release(session_id, epoch=epoch)
    if output:
        say(data({"sessionId": session_id, "clusterId": released.cluster_id}, output))
    elif released.cluster_id is None:
        say(f"{session_id} held no cluster; nothing to reset")
    else:
        say(f"{session_id} gave {released.cluster_id} back; the worker resets it")


async def extend(
    session_id: SessionName,
    by: Annotated[str, Parameter(help="How much longer, as 1800, 30m or 1h.")] = "30m",
    /,
    *,
    output: DataOutput = None,
    where: Where = HERE,
) -> None:
    """Give a session more time, cut to its Pool's maximum."""
    longer = seconds(by)
    async with host_at(where) as host:
        await session_named(host, session_id)
        extension = await host.state.extend(session_id, longer)
        session = await host.state.session(session_id)
    say(data(of_session(session), output) if output else extension.message)


async def heartbeat(session_id: SessionName, /, *, output: DataOutput = None, where: Where = HERE) -> None:
    """Say that a session's user is there; one that promised heartbeats ends without them."""
    async with host_at(where) as host:
        await session_named(host, session_id)
        session = await host.state.heartbeat_session(session_id)
        at = session.status.last_heartbeat or host.now()
    say(data(of_session(session), output) if output else f"{session_id} was heard of at {clock(at)}")
