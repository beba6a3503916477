"""Sessions get, keep and give back clusters: the pool-state module, as flows.

An assignment takes milliseconds in the pool's state; as a flow run it also has a line, a log and an artifact in the
UI. The reset that follows a release is a flow run of its own, started at once.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from prefect import flow, get_run_logger, task
from prefect.states import Completed
from pydantic import Field

from flows.clusters import OfPool
from flows.dispatch import start_given_back
from flows.names import run_named
from flows.runtime import connected
from flows.tasks import EFFECT
from pool.core.contract import SessionLease
from pool.core.fields import HeartbeatTimeout, SessionId, TtlSeconds
from pool.core.pools import DEFAULT_POOL
from pool.core.sessions import Session

Wait = Annotated[
    float, Field(ge=0, le=3600, description="Seconds to wait in the queue; 0 fails at once if none is free.")
]


@task(**EFFECT, task_run_name="assign-{session_id}")
async def assign(
    pool: str,
    session_id: str,
    ttl_seconds: int | None,
    priority: int,
    wait_seconds: float,
    heartbeat_timeout: int | None,
) -> Session:
    """Bind the session to a cluster, waiting up to `wait_seconds` in the queue."""
    async with connected() as host:
        return await host.state.assign(
            session_id,
            pool=pool,
            ttl_seconds=ttl_seconds,
            priority=priority,
            wait_seconds=wait_seconds or None,
            heartbeat_timeout_seconds=heartbeat_timeout,
        )


@flow(name="assign-session", flow_run_name=run_named("assign-session"))
async def assign_session(
    session_id: SessionId,
    ttl_seconds: TtlSeconds | None = None,
    priority: Annotated[int, Field(ge=-100, le=100, description="Higher is served first; then by age.")] = 0,
    wait_seconds: Wait = 0,
    heartbeat_timeout_seconds: HeartbeatTimeout | None = None,
    pool: OfPool = DEFAULT_POOL,
) -> Any:
    """Hand a session a cluster; asking again with the same session gives the same cluster.

    Args:
        session_id: The session's ID, a DNS name, for example alice; it is also the name of the Session resource.
        ttl_seconds: How long the session may keep the cluster, in seconds; the pool's default if left out.
        priority: Higher is served first among those who wait.
        wait_seconds: How long to wait in the queue when no cluster is free.
        heartbeat_timeout_seconds: End the session after so long without a heartbeat; left out, none are expected.
        pool: The Pool, by name.
    """
    session = await assign(pool, session_id, ttl_seconds, priority, wait_seconds, heartbeat_timeout_seconds)
    status = session.status
    message = f"{session_id} has {status.assigned_cluster} until {status.expires_at:%Y-%m-%d %H:%M:%S} UTC"
    get_run_logger().info(message)
    return Completed(message=message, data=SessionLease.of(session))


@flow(name="release-session", flow_run_name=run_named("release-session"))
async def release_session(
    session_id: SessionId,
    epoch: Annotated[
        int | None, Field(description="Refuse unless the session holds the cluster at this epoch.")
    ] = None,
) -> Any:
    """Take the session's cluster back and start its reset; one that is to go is removed instead.

    Args:
        session_id: The session that gives its cluster back, for example alice.
        epoch: The epoch the caller was given; a stale one is refused. Left out, it is not checked.
    """
    cluster_id = await release(session_id, epoch)
    if cluster_id is None:
        return Completed(message=f"{session_id} held no cluster; nothing to reset")
    async with connected() as host:
        run = await start_given_back(host, cluster_id)
    after = f"flow run {run} goes on with it" if run else "nothing is started on it: it is cordoned, or worked on"
    message = f"{session_id} gave {cluster_id} back; {after}"
    get_run_logger().info(message)
    return Completed(message=message, data={"clusterId": cluster_id, "reset": run})


@task(**EFFECT, task_run_name="release-{session_id}")
async def release(session_id: str, epoch: int | None) -> str | None:
    """Mark the session Released and its cluster `resetting`. Returns the cluster's ID, if there was one."""
    async with connected() as host:
        return (await host.state.release(session_id, epoch=epoch)).cluster_id


@flow(name="extend-session", flow_run_name=run_named("extend-session"))
async def extend_session(
    session_id: SessionId,
    seconds: Annotated[int, Field(ge=60, le=28800, description="Seconds to add to the session's time.")] = 1800,
) -> Any:
    """Give an active session more time, cut to the pool's maximum.

    Args:
        session_id: An active session, for example alice.
        seconds: How much longer, in seconds, than now agreed.
    """
    message, expires_at = await extend(session_id, seconds)
    get_run_logger().info(message)
    return Completed(message=message, data={"expiresAt": expires_at})


@task(**EFFECT, task_run_name="extend-{session_id}")
async def extend(session_id: str, seconds: int) -> tuple[str, str]:
    """Extend the session. Returns what was agreed, in words, and the new end (RFC 3339)."""
    async with connected() as host:
        extension = await host.state.extend(session_id, seconds)
        return extension.message, extension.expires_at.isoformat()


@flow(name="heartbeat-session", flow_run_name=run_named("heartbeat-session"))
async def heartbeat_session(session_id: SessionId) -> Any:
    """Say that the session's user is there; one that promised heartbeats ends without them.

    Args:
        session_id: An active session, for example alice.
    """
    at = await beat(session_id)
    return Completed(message=f"{session_id} was heard of at {at:%H:%M:%S} UTC", data={"lastHeartbeat": at.isoformat()})


@task(**EFFECT, task_run_name="heartbeat-{session_id}")
async def beat(session_id: str) -> datetime:
    """Note the heartbeat. Returns when it was noted."""
    async with connected() as host:
        session = await host.state.heartbeat_session(session_id)
    return session.status.last_heartbeat or host.now()
