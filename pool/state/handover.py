"""Handing clusters to sessions in two writes, each a compare-and-swap.

    create the Session (a name is unique: the claim)
    lock a cluster:    available -> locked, assignedSession and its UID, epoch + 1, lockTime, expiresAt, not clean
    mark the session:  Pending -> Active, with the cluster, its epoch and end

What holds at every moment, whoever does which step and wherever a process dies:

* A session turns Active only for a cluster that is locked for it, by name and UID; and once only, since that write
  needs it to be Pending. So it has one cluster, however many were locked for it by helpers who raced.
* Who marks a session Active with a lock that is not of these moments looks at the cluster once more afterwards.
* A surplus lock ends in a reset: whoever wrote it could have used the cluster.
* Who takes a cluster from its session writes to the session, too, afterwards. So whoever marks it Active, and read the
  session before the lock was written or last looked at, finds out: the write conflicts, and he looks again.
* The cluster gives way first: its lock is gone before its session ends. So a lock in the name of an ended session was
  never the one handed out, unless somebody edited by hand; then it is reset.
* A namesake made later has another UID: it never inherits a lock.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta

from pool.core import inputs
from pool.core.clusters import PooledCluster
from pool.core.errors import Conflict, NotHolder, UnknownCluster, UnknownSession
from pool.core.lifecycle import ClusterPhase, SessionPhase
from pool.core.operation_rules import unlocked
from pool.core.pools import SessionTimes
from pool.core.queue import holds
from pool.core.sessions import Session
from pool.state.events import Why
from pool.state.store import Store

logger = logging.getLogger(__name__)


OF_THESE_MOMENTS = timedelta(seconds=5)
"""A lock so young cannot have been taken by force, reset and handed on: a VM does not restart in that time."""


def end_of(lock_time: datetime, ttl: timedelta) -> datetime:
    """When a session that got its cluster at `lock_time` ends, in whole seconds."""
    return (lock_time + ttl).replace(microsecond=0)


def ended(session: Session, phase: SessionPhase, now: datetime, message: str) -> Session:
    """The session, over."""
    return session.with_status(phase=phase, ended_at=now, message=message)


class Handover:
    """The writes of a handover, and of taking back what was not handed out."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.turn = asyncio.Lock()
        """Held while a cluster is chosen and locked: the next caller of this process sees what was taken."""

    async def lock(
        self, cluster: PooledCluster, session: Session, times: SessionTimes | None = None
    ) -> PooledCluster | None:
        """Lock the free cluster, as read, for the session. None if it was lost to somebody else.

        `times` are its Pool's; read if left out.
        """
        locked = (await self._timed(cluster, session, times)).with_status(
            phase=ClusterPhase.LOCKED,
            assigned_session=session.name,
            assigned_session_uid=session.metadata.uid,
            epoch=cluster.status.epoch + 1,
            clean=False,
            extension_keys=[],
        )
        try:
            return await self.store.write_cluster(cluster, locked, Why("assigned", f"session {session.name}"))
        except (Conflict, UnknownCluster):
            return None

    async def _timed(
        self, cluster: PooledCluster, session: Session, times: SessionTimes | None = None
    ) -> PooledCluster:
        """The cluster with the session's time beginning now."""
        now, times = self.store.now(), times or await self.store.times(session)
        return cluster.with_status(
            lock_time=now, expires_at=end_of(now, inputs.time_to_live(session.spec.ttl_seconds, times))
        )

    async def activate(self, session: Session, cluster: PooledCluster) -> Session | None:
        """Mark the pending session, read before the cluster was locked or last read, Active with it.

        Returns the session as it is then: Active with this cluster or, when a helper was faster, with another (this one
        is taken back). None if the cluster was taken from it meanwhile. Raises UnknownSession if it was removed,
        NotHolder if it ended, before it got the cluster.
        """
        end = cluster.status.expires_at
        if end is not None and end <= self.store.now():
            # Left by a crash long ago: the time to live starts now. The lock stays, so nobody else can be handed it.
            renewed = await self._timed(cluster, session)
            try:
                cluster = await self.store.write_cluster(cluster, renewed, Why("assigned", f"session {session.name}"))
            except (Conflict, UnknownCluster):
                return None
        while True:
            try:
                return await self._still_its(
                    await self.store.write_session(_active(session, cluster, self.store.now())), cluster
                )
            except (Conflict, UnknownSession):
                found = await self.store.find_session(session.name)
            if found is None or found.metadata.uid != session.metadata.uid:
                await self.take_back(cluster, f"session {session.name} was removed before it got it")
                raise UnknownSession(f"session {session.name} was removed while it waited", cure="assign it anew")
            if found.phase is not SessionPhase.PENDING:
                if found.status.assigned_cluster != cluster.name:
                    await self.take_back(cluster, f"session {session.name} was not handed this cluster")
                if found.phase.ended:
                    raise ended_waiting(found)
                return found
            now = await self.store.find_cluster(cluster.name)
            if now is None or not holds(now, found):
                return None
            session, cluster = found, now

    async def _still_its(self, session: Session, cluster: PooledCluster) -> Session:
        """The active session, if its lock is of these moments, or still there when looked at again.

        Whoever took the cluster by force may have died before he told the session; with an old lock it may even have
        been reset and handed on since. Raises NotHolder then, the session having ended.
        """
        locked = cluster.status.lock_time
        if locked is not None and self.store.now() - locked < OF_THESE_MOMENTS:
            return session
        now = await self.store.find_cluster(cluster.name)
        if now is not None and holds(now, session):
            return session
        lost = f"{cluster.name} was taken from it before it got it"
        over = ended(session, SessionPhase.RELEASED, self.store.now(), lost).with_status(assigned_cluster=None)
        raise ended_waiting(await self.store.write_session(over))

    async def take_back(self, cluster: PooledCluster, reason: str) -> None:
        """Send a cluster that may have been used to its reset, unless anything happened to it since it was read."""
        try:
            await self.store.write_cluster(cluster, unlocked(cluster, ClusterPhase.RESETTING), Why(reason))
        except (Conflict, UnknownCluster):
            # Whoever wrote saw the same lock and decided alike, or it was released: nothing is left to do here.
            logger.info("%s changed meanwhile, not taken back: %s", cluster.name, reason)


def ended_waiting(session: Session) -> NotHolder:
    """The error of a session that ended before it got a cluster."""
    why = f"{session.phase}, {session.status.message}"
    return NotHolder(f"session {session.name} ended while it waited", actual=why, cure="assign it anew")


def _active(session: Session, cluster: PooledCluster, now: datetime) -> Session:
    status = cluster.status
    # Counted from here: the lock may be old, left by a crash, and nobody could have sent a heartbeat.
    first = now if session.spec.heartbeat_timeout_seconds is not None else None
    return session.with_status(
        phase=SessionPhase.ACTIVE,
        assigned_cluster=cluster.name,
        cluster_lock_time=status.lock_time,
        expires_at=status.expires_at,
        epoch=status.epoch,
        last_heartbeat=first,
        message=f"holds {cluster.name}",
    )
