"""Handing clusters to sessions in two writes, each a compare-and-swap.

    create the Session (a name is unique: the claim)
    lock a cluster:    available -> locked, assignedSession and its UID, epoch + 1, lockTime, expiresAt
    mark the session:  Pending -> Active, with the cluster, its epoch and end

What holds at every moment, whoever does which step and wherever a process dies:

* A session turns Active only for a cluster that is locked for it, by name and UID; and once only, since that write
  needs it to be Pending. So it has one cluster, however many were locked for it by helpers who raced.
* A lock takes `clean` away, so a surplus one ends in a reset. That can cost a reset nobody needed, when helpers raced.
* The cluster gives way first: its lock is gone before its session ends. So a lock in the name of an ended session was
  never the one handed out, unless somebody edited by hand; then it is reset.
* A namesake made later has another UID: it never inherits a lock.
* The queue is judged by everybody alike (`pool.core.queue`). A newcomer that sees a cluster which has rested longer
  than `GLANCE` (pool.state.candidates) takes it without reading the queue: whoever waited would have taken it. The
  price, and its bound: a session whose caller died before locking can be passed by newcomers while clusters are free;
  the next reset or maintenance serves it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from pool.core import inputs
from pool.core.clusters import PooledCluster
from pool.core.errors import Conflict, NotHolder, UnknownCluster, UnknownSession
from pool.core.lifecycle import ClusterPhase, SessionPhase
from pool.core.operation_rules import unlocked
from pool.core.queue import Activate, Binding, Repair, Settle, Sync, TakeBack, holds
from pool.core.sessions import Session
from pool.state.history import Why
from pool.state.store import Store

logger = logging.getLogger(__name__)


def end_of(lock_time: datetime, ttl: timedelta) -> datetime:
    """When a session that got its cluster at `lock_time` ends, in whole seconds."""
    return (lock_time + ttl).replace(microsecond=0)


def ended(session: Session, phase: SessionPhase, now: datetime, message: str) -> Session:
    """The session, over."""
    return session.with_status(phase=phase, ended_at=now, message=message)


class Binder:
    """The writes of a handover, and of its repair."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def lock(self, cluster: PooledCluster, session: Session) -> PooledCluster:
        """Lock the free cluster, as read, for the session. Raises Conflict if it changed since."""
        now = self.store.now()
        after = cluster.with_status(
            phase=ClusterPhase.LOCKED,
            assigned_session=session.name,
            assigned_session_uid=session.metadata.uid,
            lock_time=now,
            expires_at=end_of(now, inputs.time_to_live(session.spec.ttl_seconds, self.store.settings)),
            epoch=cluster.status.epoch + 1,
            clean=False,
        )
        return await self.store.write_cluster(cluster, after, Why("assigned", f"session {session.name}"))

    async def activate(self, session: Session, cluster: PooledCluster) -> Session:
        """Mark the pending session Active with the cluster locked for it; takes the lock back if it is surplus.

        Returns the session as it is then: Active with this cluster or, when a helper was faster, with another.
        Raises UnknownSession if it was removed, NotHolder if it ended, before it got the cluster; Conflict if a lock
        whose time had run out before it was handed out changed meanwhile.
        """
        end = cluster.status.expires_at
        if end is not None and end <= self.store.now():
            # Left by a crash long ago: the time to live starts now. The lock stays, so nobody else can be handed it.
            cluster = await self._renew(cluster, session)
        while True:
            try:
                return await self.store.write_session(_active(session, cluster, self.store.now()))
            except Conflict:
                found = await self.store.find_session(session.name)
            except UnknownSession:
                found = None
            if found is None or found.metadata.uid != session.metadata.uid:
                await self.take_back(cluster, f"session {session.name} was removed before it got it")
                raise UnknownSession(f"session {session.name} was removed while it waited", cure="assign it anew")
            if found.phase is SessionPhase.PENDING:
                session = found
                continue
            if found.status.assigned_cluster != cluster.name:
                await self.take_back(cluster, f"session {session.name} was not handed this cluster")
            if found.phase.ended:
                raise NotHolder(
                    f"session {session.name} ended while it waited", actual=found.phase, cure="assign it anew"
                )
            return found

    async def _renew(self, cluster: PooledCluster, session: Session) -> PooledCluster:
        now = self.store.now()
        end = end_of(now, inputs.time_to_live(session.spec.ttl_seconds, self.store.settings))
        after = cluster.with_status(lock_time=now, expires_at=end)
        return await self.store.write_cluster(cluster, after, Why("assigned", f"session {session.name}"))

    async def bind(self, binding: Binding) -> Session | None:
        """Both writes. Returns None if the cluster was lost to somebody else."""
        try:
            cluster = await self.lock(binding.cluster, binding.session)
        except (Conflict, UnknownCluster):
            return None
        return await self.activate(binding.session, cluster)

    async def take_back(self, cluster: PooledCluster, reason: str) -> None:
        """Send a cluster that may have been used to its reset, unless anything happened to it since it was read."""
        await self._unless_changed(cluster, unlocked(cluster, ClusterPhase.RESETTING), Why(reason))

    async def _unless_changed(self, before: PooledCluster, after: PooledCluster, why: Why) -> None:
        try:
            await self.store.write_cluster(before, after, why)
        except (Conflict, UnknownCluster):
            # Whoever wrote saw the same lock and decided alike, or it was released: nothing is left to do here.
            logger.info("%s changed meanwhile, not done: %s", before.name, why.reason)

    async def settle(self, session: Session, message: str) -> Session:
        """End an active session that holds no cluster, as it was read. Raises Conflict, UnknownSession."""
        now, end = self.store.now(), session.status.expires_at
        phase = SessionPhase.EXPIRED if end is not None and end <= now else SessionPhase.RELEASED
        return await self.store.write_session(ended(session, phase, now, message))

    async def repair(self, repairs: Sequence[Repair]) -> int:
        """Carry out repairs; each looks again first where its finding could be older than the truth.

        Returns how many were done; what somebody else changed meanwhile is left to the next observation.
        """
        done = 0
        for repair in repairs:
            try:
                await self._repair(repair)
                done += 1
            except (Conflict, UnknownSession, UnknownCluster, NotHolder) as error:
                logger.info("repair overtaken: %s", error)
        return done

    async def _repair(self, repair: Repair) -> None:
        match repair:
            case Activate(session, cluster):
                await self.activate(session, cluster)
            case TakeBack(cluster, reason):
                await self._take_back_if_over(cluster, reason)
            case Settle(session, reason, clear):
                await self.settle(session.with_status(assigned_cluster=None) if clear else session, reason)
            case Sync(session, cluster):
                status = cluster.status
                await self.store.write_session(session.with_status(epoch=status.epoch, expires_at=status.expires_at))

    async def _take_back_if_over(self, cluster: PooledCluster, reason: str) -> None:
        session = await self.store.find_session(cluster.status.assigned_session or "")
        pending = session is not None and session.phase is SessionPhase.PENDING
        if session is None or not holds(cluster, session) or not (pending or _is_on(session, cluster)):
            await self.take_back(cluster, reason)


def _is_on(session: Session, cluster: PooledCluster) -> bool:
    return session.phase is SessionPhase.ACTIVE and session.status.assigned_cluster == cluster.name


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
