"""What sessions need: an end on time, a cluster for those who wait, and to be forgotten."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from pool.core.clusters import PooledCluster
from pool.core.lifecycle import SessionPhase
from pool.core.planner.actions import BindPending, EndWaiting, Expire, ForgetSessions
from pool.core.planner.observed import Observed, PlanConfig
from pool.core.queue import free, patience_ends, queue
from pool.core.repairs import repairs
from pool.core.sessions import Session, silence_ends

FORGOTTEN_AT_MOST = 1000
"""Sessions that one plan forgets: a few seconds' work at the rate at which an API server deletes."""


def expired(sessions: Sequence[Session], clusters: Sequence[PooledCluster], now: datetime) -> Iterator[Expire]:
    """The sessions to end now."""
    silent = {one.name for one in sessions if (end := silence_ends(one)) is not None and end <= now}
    silent -= {one.name for one in sessions if one.unreadable}
    for cluster in clusters:
        if cluster.unreadable:
            continue
        name, end = cluster.status.assigned_session, cluster.status.expires_at
        if name is not None and ((end is not None and end <= now) or name in silent):
            yield Expire(name, cluster.name)


def served(observed: Observed, config: PlanConfig, now: datetime) -> Iterator[BindPending | EndWaiting]:
    """What those who wait get; nobody waits for a pool that is being removed."""
    half_done = repairs(observed.sessions, observed.clusters)
    waiting = queue(observed.sessions, now, config.queue_grace)
    if half_done:
        yield BindPending(f"{len(half_done)} half-done handovers")
    if observed.pool.removing:
        yield from (EndWaiting(session.name, session) for session in waiting)
    elif waiting and not half_done and (rested := free(observed.clusters)):
        yield BindPending(f"{len(waiting)} sessions wait, {len(rested)} clusters are free")


def forgotten(observed: Observed, config: PlanConfig, now: datetime) -> Iterator[ForgetSessions]:
    """The sessions to remove, those that ended first: all in one action, so that plans of any pool stay short."""
    over = [session for session in observed.sessions if _is_over(session, config, now)]
    over.sort(key=lambda session: (session.status.ended_at or now, session.name))
    if over:
        yield ForgetSessions(tuple(over[:FORGOTTEN_AT_MOST]), max(0, len(over) - FORGOTTEN_AT_MOST))


def _is_over(session: Session, config: PlanConfig, now: datetime) -> bool:
    """Whether the session ended long ago, or nobody waits for it any more."""
    ended = session.status.ended_at or session.metadata.creation_timestamp
    if session.phase.ended:
        return ended is not None and now - ended >= config.ended_session_age
    patience = patience_ends(session, config.queue_grace)
    return session.phase is SessionPhase.PENDING and patience is not None and patience <= now
