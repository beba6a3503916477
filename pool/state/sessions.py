"""What happens to sessions that have a cluster: release, extension, expiry, heartbeats; and the end of ended ones.

The cluster's `expiresAt` decides, the session's is a copy: an extension and an expiry meet in one compare-and-swap on
the cluster, so one of them wins and the other sees it. The cluster always gives way first, then its session ends; a
crash in between leaves an active session without a cluster, which the next caller or maintenance ends.
"""

from __future__ import annotations

import logging
import math
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from pool.core.clusters import MOST_KEYS, PooledCluster
from pool.core.errors import Conflict, InvalidInput, NotFound, NotHolder, UnknownCluster, UnknownSession
from pool.core.lifecycle import ClusterPhase, SessionPhase
from pool.core.operation_rules import unlocked
from pool.core.queue import holds, patience_ends
from pool.core.sessions import Session, silence_ends
from pool.kube.resources import SESSIONS
from pool.state.events import Why
from pool.state.handover import end_of, ended
from pool.state.store import Store

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Released:
    """What a release gave back: the cluster now `resetting`, or None if the session held none; and its epoch.

    `removing`: the cluster is on its way out, and waits for its teardown instead of a reset.
    """

    cluster_id: str | None
    epoch: int = 0
    removing: bool = False


@dataclass(frozen=True)
class Extension:
    """What an extension agreed: the new end, whether it was cut to the pool's maximum, and that in words."""

    expires_at: datetime
    cut: bool
    message: str


class Sessions:
    """Sessions from their assignment to their removal."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def release(self, session_id: str, *, uid: str | None = None, epoch: int | None = None) -> Released:
        """Take the session's cluster back. Doing it again gives the same answer until the reset begins.

        Raises UnknownSession; NotHolder if the session has not this `uid`, or was not given this `epoch`. Nothing is
        changed then.
        """
        session = await self.store.session(session_id)
        _check_hold(session, uid, epoch, "released")
        return await self.end(session, SessionPhase.RELEASED, "released by its owner")

    async def end(self, session: Session, phase: SessionPhase, reason: str) -> Released:
        """End the session, its cluster first. An expiry is given up if the session was extended meanwhile."""
        if session.phase.ended:
            return await self._given_back(session)
        cluster = None
        if session.phase is SessionPhase.ACTIVE:
            cluster = await self._vacate(session, phase, Why(reason, f"session {session.name}"))
            if phase is SessionPhase.EXPIRED and cluster is not None and holds(cluster, session):
                return Released(None)
        uid = session.metadata.uid

        def finish(now: Session) -> Session:
            if now.metadata.uid != uid or now.phase.ended:
                return now
            if now.phase is SessionPhase.ACTIVE and session.phase is SessionPhase.PENDING:
                raise _Activated
            return ended(now, phase, self.store.now(), reason)

        try:
            await self.store.change_session(session.name, finish)
        except UnknownSession:
            logger.info("session %s was removed while it ended", session.name)
        except _Activated:
            # It got a cluster between our read and our write: that one is given back too.
            return await self.end(await self.store.session(session.name), phase, reason)
        if cluster is None or not _awaits_reset(cluster):
            return Released(None)
        return Released(cluster.name, cluster.status.epoch, cluster.removing)

    async def _vacate(self, session: Session, phase: SessionPhase, why: Why) -> PooledCluster | None:
        """Take the session's hold off its cluster. None if it held none, and none it gave back waits for its reset."""
        now = self.store.now()

        def change(cluster: PooledCluster) -> PooledCluster:
            if not holds(cluster, session):
                return cluster
            if phase is SessionPhase.EXPIRED and not _is_expired(cluster, session, now):
                return cluster
            # A reset in place ends here too: what it had restored may have been used already.
            return unlocked(cluster, ClusterPhase.RESETTING)

        try:
            before, after = await self.store.change_cluster(session.status.assigned_cluster or "", change, why)
        except UnknownCluster:
            return None
        given_back = _awaits_reset(after) and after.status.epoch == session.status.epoch
        return after if holds(before, session) or given_back else None

    async def _given_back(self, session: Session) -> Released:
        """The answer for a session that ended already: its cluster as long as that waits for its reset."""
        try:
            cluster = await self.store.cluster(session.status.assigned_cluster or "")
        except UnknownCluster:
            return Released(None)
        status = cluster.status
        if not _awaits_reset(cluster) or status.epoch != session.status.epoch:
            return Released(None)
        return Released(cluster.name, status.epoch, cluster.removing)

    async def turn_away(self, session: Session, why: str) -> None:
        """End a session that waits, as read; nothing if it got a cluster or ended meanwhile."""

        def turned_away(now: Session) -> Session:
            if now.metadata.uid != session.metadata.uid or now.phase is not SessionPhase.PENDING:
                return now
            return ended(now, SessionPhase.RELEASED, self.store.now(), why)

        with suppress(UnknownSession):
            await self.store.change_session(session.name, turned_away)

    async def extend(
        self,
        session_id: str,
        seconds: int,
        key: str | None = None,
        *,
        uid: str | None = None,
        epoch: int | None = None,
    ) -> Extension:
        """Add `seconds` to what is agreed, at most to the pool's maximum counted from the assignment.

        Nothing is added if one of the last MOST_KEYS extensions had this `key`: its answer was lost, and it is told
        again.
        Raises InvalidInput, UnknownSession, and NotHolder if the session is not active or its time is over, or if it
        has not this `uid` or `epoch`.
        """
        if seconds <= 0:
            raise InvalidInput("extension", expected="more than 0 s", actual=f"{seconds} s", cure="ask for more")
        session = await self.store.session(session_id)
        _check_hold(session, uid, epoch, "extended")
        if session.phase is not SessionPhase.ACTIVE:
            raise NotHolder(f"session {session_id} is not extended", expected="Active", actual=session.phase)
        more = timedelta(seconds=seconds)
        longest = timedelta(seconds=(await self.store.times(session)).max_ttl_seconds)

        def change(cluster: PooledCluster) -> PooledCluster:
            if not holds(cluster, session) or _is_over(cluster, self.store.now()):
                raise NotHolder(f"session {session_id} is not extended", actual=f"its time on {cluster.name} is over")
            agreed, locked = cluster.status.expires_at, cluster.status.lock_time
            if agreed is None or locked is None:
                raise NotHolder(f"session {session_id} is not extended", actual=f"{cluster.name} has no end to extend")
            keys = cluster.status.extension_keys
            if key in keys:
                return cluster
            later = max(agreed, min(agreed + more, end_of(locked, longest)))
            known = [key, *keys][:MOST_KEYS] if key is not None else keys
            return cluster.with_status(expires_at=later, extension_keys=known)

        why = Why("extended", f"session {session_id}")
        before, cluster = await self.store.change_cluster(session.status.assigned_cluster or "", change, why)
        agreed, expires_at = before.status.expires_at, cluster.status.expires_at
        assert agreed is not None
        assert expires_at is not None
        told_again = key in before.status.extension_keys
        cut = expires_at < agreed + more and not told_again
        await self._copy(session, cluster)
        until = f"{session_id} keeps {cluster.name} until {expires_at:%Y-%m-%d %H:%M:%S} UTC"
        limit = f", cut to the pool's maximum of {longest.total_seconds():.0f} s" if cut else ""
        return Extension(expires_at, cut, until + limit)

    async def _copy(self, session: Session, cluster: PooledCluster) -> None:
        """Bring the session's copy of end and epoch up to its cluster's, at the word of the session's user."""

        def copy(now: Session) -> Session:
            if now.phase is not SessionPhase.ACTIVE or not holds(cluster, now):
                return now
            # Who extends is there, so it is a heartbeat too.
            fields = {"expires_at": cluster.status.expires_at, "epoch": cluster.status.epoch}
            return now.with_status(**fields, last_heartbeat=self.store.now())

        await self.store.change_session(session.name, copy)

    async def heartbeat(self, session_id: str, *, uid: str | None = None, epoch: int | None = None) -> Session:
        """Note a sign of life of the session's user.

        Raises UnknownSession; NotHolder if the session is over, or if it has not this `uid` or `epoch`.
        """

        def beat(session: Session) -> Session:
            _check_hold(session, uid, epoch, "heard of")
            if session.phase is not SessionPhase.ACTIVE:
                raise NotHolder(f"session {session_id} has no heartbeat", expected="Active", actual=session.phase)
            return session.with_status(last_heartbeat=self.store.now())

        return await self.store.change_session(session_id, beat)

    async def expire(self, session_id: str) -> Released:
        """End the session if its time is over or it is silent too long, else change nothing. Raises UnknownSession.

        A heartbeat that comes while a silent session is being ended may be noted and still be too late.
        """
        session = await self.store.session(session_id)
        if session.phase is not SessionPhase.ACTIVE:
            return Released(None)
        reason = "its time was over"
        if _is_silent(session, self.store.now()):
            reason = f"no sign of life for {session.spec.heartbeat_timeout_seconds} s"
        return await self.end(session, SessionPhase.EXPIRED, reason)

    async def wait_longer(self, session: Session, wait: timedelta) -> Session | None:
        """The pending session, as read, for which somebody now waits so long. Raises Conflict, UnknownSession.

        None after removing one that lost its place, for nobody waited for it any more.
        """
        now, end = self.store.now(), patience_ends(session, timedelta())
        if end is None or end >= now + wait:
            return session
        if any(holds(cluster, session) for cluster in await self.store.clusters(session.spec.pool)):
            return session
        if end + self.store.queue_grace <= now:
            await self.store.remove_session(session)
            return None
        seconds = (session.spec.wait_seconds or 0) + math.ceil((wait + (now - end)).total_seconds())
        longer = session.changed(spec=session.spec.changed(wait_seconds=seconds))
        try:
            return Session.from_object(await self.store.kube.replace(SESSIONS, longer.to_object()))
        except NotFound:
            raise UnknownSession(f"session {session.name} was removed meanwhile") from None

    async def remove_ended(self, session: Session) -> bool:
        """Remove an ended session as it was read; its ID may be in use again, then nothing happens."""
        try:
            return await self.store.remove_session(session)
        except Conflict:
            return False


class _Activated(Exception):
    """A pending session became active while it was being ended."""


def _check_hold(session: Session, uid: str | None, epoch: int | None, done: str) -> None:
    """Raises NotHolder if the session is not the one that is meant, or its hold is another. None is not compared."""
    if uid not in (None, session.metadata.uid):
        raise NotHolder(
            f"session {session.name} is not {done}",
            expected=f"the session of that name with UID {session.metadata.uid}",
            actual=f"UID {uid}",
            cure="that one has ended, and this one was asked for since; ask how it is now",
        )
    if epoch not in (None, session.status.epoch):
        raise NotHolder(
            f"session {session.name} is not {done}",
            expected=f"epoch {session.status.epoch}",
            actual=f"epoch {epoch}",
            cure="the cluster was handed over since; ask for the session's present epoch",
        )


def _awaits_reset(cluster: PooledCluster) -> bool:
    """Given back, and no reset has begun."""
    return cluster.phase is ClusterPhase.RESETTING and cluster.status.operation is None


def _is_expired(cluster: PooledCluster, session: Session, now: datetime) -> bool:
    """Whether the cluster's time is over, or its session silent; not if it was extended since the session was read."""
    extended = cluster.status.expires_at != session.status.expires_at
    return _is_over(cluster, now) or (_is_silent(session, now) and not extended)


def _is_silent(session: Session, now: datetime) -> bool:
    end = silence_ends(session)
    return end is not None and end <= now


def _is_over(cluster: PooledCluster, now: datetime) -> bool:
    end = cluster.status.expires_at
    return end is not None and end <= now
