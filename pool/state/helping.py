"""What anybody does for the queue: binding others, and carrying out what half-done handovers need.

Who comes by acts on what was read or seen a while ago. So he looks at each session and cluster again first.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from pool.core.errors import Conflict, InvalidInput, NotHolder, UnknownCluster, UnknownSession
from pool.core.lifecycle import SessionPhase
from pool.core.queue import Binding, bindings
from pool.core.repairs import Activate, Repair, Settle, Sync, TakeBack, repairs
from pool.core.sessions import Session
from pool.state.handover import Handover, ended
from pool.state.store import Store

logger = logging.getLogger(__name__)


class Helping:
    """Maintenance, whoever made a cluster available, and who waits for long without news."""

    def __init__(self, store: Store, handover: Handover) -> None:
        self._store, self._handover = store, handover

    async def serve_queue(self, only: str = "") -> int:
        """Repair what is half done, and bind every pending session there is a cluster for. Returns how much was done.

        `only` binds this one cluster and repairs nothing: several who made one available each do not collide.
        """
        async with self._handover.turn:
            sessions, clusters = await self._store.sessions(), await self._store.clusters()
            pairs = bindings(sessions, clusters, self._store.now(), self._store.queue_grace)
            locked = [await self._lock(pair) for pair in pairs if only in ("", pair.cluster.name)]
        bound = [await self._activate(pair) for pair in locked if pair is not None]
        repaired = 0 if only else await self.repair(repairs(sessions, clusters))
        return sum(bound) + repaired

    async def _lock(self, pair: Binding) -> Binding | None:
        """The pair once its cluster is locked. None if the session, looked at again, needs none, or it was lost."""
        try:
            session = await self._store.find_session(pair.session.name)
            times = await self._store.times(pair.session)
        except InvalidInput as unreadable:
            logger.warning("session %s waits on: %s", pair.session.name, unreadable)
            return None
        if session is None or session.metadata.uid != pair.session.metadata.uid:
            return None
        if session.phase is not SessionPhase.PENDING:
            return None
        locked = await self._handover.lock(pair.cluster, session, times)
        return Binding(session, locked) if locked is not None else None

    async def _activate(self, pair: Binding) -> bool:
        try:
            return await self._handover.activate(pair.session, pair.cluster) is not None
        except (UnknownSession, NotHolder, Conflict) as error:
            logger.info("no cluster needed any more: %s", error)
            return False

    async def repair(self, found: Iterable[Repair]) -> int:
        """Carry out repairs. Returns how many; what somebody else changed meanwhile is left to the next look."""
        done = 0
        for repair in found:
            try:
                for still in await self._look_again(repair):
                    await self._carry_out(still)
                    done += 1
            except (Conflict, UnknownSession, UnknownCluster, NotHolder, InvalidInput) as error:
                logger.info("repair overtaken: %s", error)
        return done

    async def _look_again(self, repair: Repair) -> list[Repair]:
        """What is still to be done about the two, read in the order that `repairs` wants."""
        match repair:
            case Settle(session):
                names = session.name, session.status.assigned_cluster or ""
            case TakeBack(cluster):
                names = cluster.status.assigned_session or "", cluster.name
            case Activate(session, cluster) | Sync(session, cluster):
                names = session.name, cluster.name
        one = await self._store.find_session(names[0])
        other = await self._store.find_cluster(names[1])
        still = repairs([one] if one else [], [other] if other else [])
        return [now for now in still if type(now) is type(repair) and _lock_of(now) == _lock_of(repair)]

    async def _carry_out(self, repair: Repair) -> None:
        match repair:
            case Activate(session, cluster):
                await self._handover.activate(session, cluster)
            case TakeBack(cluster, reason):
                await self._handover.take_back(cluster, reason)
            case Settle(session, reason, clear):
                await self.settle(session.with_status(assigned_cluster=None) if clear else session, reason)
            case Sync(session, cluster):
                status = cluster.status
                await self._store.write_session(session.with_status(epoch=status.epoch, expires_at=status.expires_at))

    async def settle(self, session: Session, message: str) -> Session:
        """End an active session that holds no cluster, as it was read. Raises Conflict, UnknownSession."""
        now, end = self._store.now(), session.status.expires_at
        phase = SessionPhase.EXPIRED if end is not None and end <= now else SessionPhase.RELEASED
        return await self._store.write_session(ended(session, phase, now, message))


def _lock_of(repair: Repair) -> str | None:
    """Whose lock is surplus: one that came since is not, however long ago its session was looked for."""
    return repair.cluster.status.assigned_session_uid if isinstance(repair, TakeBack) else None
