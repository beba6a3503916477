"""A session's place in the queue: taken by creating the Session, kept, lengthened, given up without a trace."""

from __future__ import annotations

import logging
from datetime import timedelta

from pool.core.clusters import PooledCluster
from pool.core.errors import AlreadyExists, Conflict, UnknownCluster, UnknownSession
from pool.core.lifecycle import ClusterPhase, SessionPhase
from pool.core.queue import holds, patience_ends
from pool.core.resource import Metadata
from pool.core.sessions import Session, SessionSpec
from pool.state.binder import Binder
from pool.state.leases import Leases
from pool.state.store import Store

logger = logging.getLogger(__name__)


class Places:
    """Sessions on their way into the queue, and out of it unserved."""

    def __init__(self, store: Store, binder: Binder, leases: Leases) -> None:
        self._store = store
        self._binder = binder
        self._leases = leases

    async def take(self, session_id: str, spec: SessionSpec) -> tuple[Session, bool]:
        """The session, pending or active with a cluster that is truly its own, and whether this call made it."""
        wanted = Session(metadata=Metadata(name=session_id, namespace=self._store.namespace), spec=spec)
        while True:
            try:
                return await self._store.create_session(wanted), True
            except AlreadyExists:
                session = await self._store.find_session(session_id)
            try:
                if session is not None and (kept := await self._keep(session, spec)) is not None:
                    return kept, False
            except (Conflict, UnknownSession):
                logger.debug("session %s changed while it was claimed", session_id)

    async def _keep(self, session: Session, spec: SessionSpec) -> Session | None:
        """The session if it is still good; None after clearing away one that is over, so that its ID is free."""
        if session.phase is SessionPhase.PENDING:
            return await self._keep_waiting(session, timedelta(seconds=spec.wait_seconds or 0))
        if session.phase.ended:
            await self._store.remove_session(session)
            return None
        if not await self._still_holds(session):
            await self._binder.settle(session.with_status(assigned_cluster=None), "its cluster was taken from it")
            return None
        await self._leases.expire(session.name)
        now = await self._store.find_session(session.name)
        return now if now is not None and now.phase is SessionPhase.ACTIVE else None

    async def _still_holds(self, session: Session) -> bool:
        try:
            return holds(await self._store.cluster(session.status.assigned_cluster or ""), session)
        except UnknownCluster:
            return False

    async def _keep_waiting(self, session: Session, wait: timedelta) -> Session | None:
        """The pending session, for which somebody now waits so long; None after removing one that lost its place."""
        now, end = self._store.now(), patience_ends(session, timedelta())
        if end is None or end >= now + wait or await self._locked_for(session):
            return session
        if end + self._store.queue_grace <= now:
            await self._store.remove_session(session)
            return None
        return await self._store.lengthen_wait(session, wait + (now - end))

    async def _locked_for(self, session: Session) -> PooledCluster | None:
        locked = (c for c in await self._store.clusters() if c.phase is ClusterPhase.LOCKED)
        return next((cluster for cluster in locked if holds(cluster, session)), None)

    async def give_up(self, session: Session, *, made: bool) -> Session | None:
        """Leave the queue without a trace. The session if it was served just now, else None.

        Only a session that this caller `made` is removed: somebody else may wait for another.
        """
        while True:
            now = await self._store.find_session(session.name)
            if now is not None and now.phase is SessionPhase.ACTIVE and now.metadata.uid == session.metadata.uid:
                return now
            try:
                if made and now is not None and now.metadata.uid == session.metadata.uid:
                    await self._store.remove_session(now)
            except Conflict:
                continue
            return None

    async def withdraw(self, session_id: str, spec: SessionSpec) -> None:
        """Give up what was asked for with this very `spec`, as far as it was made and has not been served."""
        session = await self._store.find_session(session_id)
        if session is not None and session.phase is SessionPhase.PENDING and session.spec == spec:
            await self.give_up(session, made=True)
