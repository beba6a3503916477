"""What happens to a session, told as it happens. All streams live on the one view of the pool.

What is told follows from how it is now and what was told last, so nothing is told twice, and a client that comes back
learns from the first event what it missed.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from gateway.gateway import Gateway
from gateway.sessions.models import SessionView
from gateway.streaming import Events
from pool.core.clusters import PooledCluster
from pool.core.errors import ApiError, UnknownSession
from pool.core.lifecycle import ClusterPhase, SessionPhase
from pool.core.queue import Place, holds
from pool.core.sessions import Session
from pool.work.steps import Host

logger = logging.getLogger(__name__)

ENDING = timedelta(minutes=10)
"""How long before its end a session is told of it."""
AGAIN = 1.0
"""Seconds after which a read that failed is tried again."""
LONGEST = 30.0
"""Seconds after which it is looked at without news: places are lost by time, too."""


class What(StrEnum):
    """What is told."""

    QUEUED = "queued"
    ASSIGNED = "assigned"
    RESETTING = "resetting"
    ENDING = "ending"
    ENDED = "ended"


@dataclass(frozen=True)
class Told:
    """What was told last: which event, at which place or epoch; and of which end it was warned."""

    what: What | None = None
    place: Place | None = None
    epoch: int | None = None
    warned: datetime | None = None


def news_of(
    session: Session, cluster: PooledCluster | None, place: Place | None, now: datetime, told: Told
) -> tuple[list[What], Told]:
    """What is to be told of a session that is not over, and what was told then. Pure.

    `cluster`: the one that it says it has, as far as seen.
    """
    events: list[What] = []
    if session.phase is SessionPhase.PENDING:
        if (told.what, told.place) != (What.QUEUED, place):
            events.append(What.QUEUED)
        return events, Told(What.QUEUED, place)
    if session.phase is not SessionPhase.ACTIVE or cluster is None or not holds(cluster, session):
        # Between two writes: the next look shows what becomes of it.
        return events, told
    status = cluster.status
    what = What.RESETTING if cluster.phase is ClusterPhase.RESETTING else What.ASSIGNED
    if (told.what, told.epoch) != (what, status.epoch):
        events.append(what)
    end, warned = status.expires_at, told.warned
    if what is What.ASSIGNED and end is not None and end - now <= ENDING and warned != end:
        events.append(What.ENDING)
        warned = end
    return events, Told(what, None, status.epoch, warned)


async def follow_session(gateway: Gateway, host: Host, session: Session) -> Events:
    """The events of the session, which was just read, until it is over."""
    uid, told = session.metadata.uid, Told()
    view = host.state.view
    with view.news() as news:
        while gateway.host is host:
            news.clear()
            seen = view.sessions.get(session.name)
            if seen is None or seen.metadata.uid != uid or seen.phase.ended:
                # Not in view: over, or not seen yet. The former is not concluded from the latter.
                over = await _if_over(host, session)
                if over is not None:
                    yield What.ENDED, SessionView.told(over)
                    return
            else:
                session = seen
                cluster = view.clusters.get(session.status.assigned_cluster or "")
                place, expected = await _standing(gateway, session)
                events, told = news_of(session, cluster, place, host.now(), told)
                for event in events:
                    yield event, _as_held(SessionView.told(session, place, expected), cluster, event)
            until = _until_next(seen, view.clusters.get(session.status.assigned_cluster or ""), host.now())
            with suppress(TimeoutError):
                async with asyncio.timeout(until):
                    await news.wait()


def _as_held(view: SessionView, cluster: PooledCluster | None, event: What) -> SessionView:
    """The cluster's end and epoch count; the session's copies may be a write behind."""
    if event is What.QUEUED or cluster is None:
        return view
    return view.changed(expires_at=cluster.status.expires_at, epoch=cluster.status.epoch)


def _until_next(seen: Session | None, cluster: PooledCluster | None, now: datetime) -> float:
    """Seconds until something is to be told, or looked at, without news."""
    if seen is None:
        return AGAIN
    end = cluster.status.expires_at if cluster is not None else None
    until = (end - ENDING - now).total_seconds() if end else LONGEST
    return min(until, LONGEST) if until > 0 else LONGEST


async def _standing(gateway: Gateway, session: Session) -> tuple[Place | None, datetime | None]:
    if session.phase is not SessionPhase.PENDING:
        return None, None
    try:
        return await gateway.the_queues().standing(session)
    except ApiError as error:
        logger.info("the place of %s is not known: %s", session.name, error)
        return None, None


async def _if_over(host: Host, session: Session) -> Session | None:
    """The session as it ended; None if it has not, as far as is known."""
    try:
        now = await host.state.session(session.name)
    except UnknownSession:
        return _removed(session, host.now())
    except ApiError as error:
        logger.info("whether %s is over is not known: %s", session.name, error)
        return None
    if now.metadata.uid != session.metadata.uid:
        return _removed(session, host.now())
    return now if now.phase.ended else None


def _removed(session: Session, now: datetime) -> Session:
    """One that is gone: it lost its place, or its end was forgotten since."""
    gone = session.with_status(message="it is gone: nobody waited for it, or it ended long ago")
    return gone if gone.phase.ended else gone.with_status(phase=SessionPhase.RELEASED, ended_at=now)
