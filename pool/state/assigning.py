"""Assigning: create the session, look at the queue as of then, take the cluster that is its own by the queue, or wait.

A session created before is seen by every later one, so a newcomer never takes a cluster that is due to who waits
longer. Callers of one process choose and lock one at a time, and see each other's locks at once: they do not race.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from pool.core.clusters import PooledCluster
from pool.core.errors import (
    AlreadyExists,
    ApiUnavailable,
    Conflict,
    IllegalTransition,
    InvalidInput,
    NoClusterAvailable,
    NotHolder,
    PoolError,
    UnknownSession,
)
from pool.core.forecast import expected_at
from pool.core.lifecycle import ClusterPhase, SessionPhase
from pool.core.pools import SessionTimes
from pool.core.queue import bindings, free, holds
from pool.core.resource import Metadata
from pool.core.sessions import IDEMPOTENCY_KEY, Session, SessionSpec
from pool.state.handover import Handover, ended_waiting
from pool.state.helping import Helping
from pool.state.sessions import Sessions
from pool.state.store import Store
from pool.state.view import WAITING

logger = logging.getLogger(__name__)

LOOK_AGAIN = 5.0
"""Seconds without news after which who waits looks at the whole queue: a helper that died mid-way makes no news."""


@dataclass(frozen=True)
class Asked:
    """What came of asking without waiting: the session, Active or Pending; and whether it `had` its cluster already."""

    session: Session
    had: bool = False


class Assigning:
    """Who wants a cluster comes here."""

    def __init__(self, store: Store, handover: Handover, sessions: Sessions, helping: Helping) -> None:
        self._store, self._handover, self._sessions, self._helping = store, handover, sessions, helping
        self._looked_at = 0.0

    async def assign(self, session_id: str, spec: SessionSpec, wait_seconds: float) -> Session:
        """The session, Active with its cluster.

        Raises UnknownPool; IllegalTransition if the Pool is being removed; NoClusterAvailable if none is free within
        `wait_seconds`, and then nothing is left behind.
        """
        times = await self._times(spec)
        if not wait_seconds:
            await self._refuse_if_none(session_id, spec.pool)
        mine = spec
        try:
            session, mine = await self._claim(session_id, spec)
            served = await self._serve(session, times, thorough=True)
            if served is None and wait_seconds:
                served = await self._wait(session, wait_seconds)
            served = served or await self._leave(session, mine)
        except ApiUnavailable:
            # Leaving would fail alike; the claim loses its place by itself, or a retry goes on with it.
            raise
        except BaseException:
            # Nobody waits any more: left behind, the claim would take a cluster for nobody.
            with suppress(PoolError):
                await asyncio.shield(self._withdraw(session_id, mine))
            raise
        if served is None:
            raise self._none_available(session_id, await self._store.clusters(spec.pool))
        return served

    async def request(self, session_id: str, spec: SessionSpec, key: str = "", *, of_its_pool: bool = False) -> Asked:
        """As `assign`, at once: where `spec.wait_seconds` says that somebody waits, the session stays in the queue.

        Asked for with the `key` that it was made with, a session that is over does not begin anew (NotHolder), nor for
        a caller who is only for one Pool (`of_its_pool`) where it was another's (InvalidInput).
        """
        times, stays = await self._times(spec), bool(spec.wait_seconds)
        seen = self._store.view.sessions.get(session_id)
        if not stays and (seen is None or seen.phase is not SessionPhase.PENDING):
            await self._refuse_if_none(session_id, spec.pool)
        mine = spec
        try:
            session, mine = await self._claim(session_id, spec, key, of_its_pool=of_its_pool)
            had = session.phase is SessionPhase.ACTIVE
            served = await self._serve(session, times, thorough=not stays)
            if served is None and (stays or mine != session.spec):
                # Whoever comes by serves it.
                return Asked(session)
            served = served or await self._leave(session, mine)
        except ApiUnavailable:
            raise
        except BaseException:
            # One that waits keeps its place, whatever becomes of the call: it is asked for again, or loses it in time.
            if not stays:
                with suppress(PoolError):
                    await asyncio.shield(self._withdraw(session_id, mine))
            raise
        if served is None:
            raise self._none_available(session_id, await self._store.clusters(spec.pool))
        return Asked(served, had)

    async def _times(self, spec: SessionSpec) -> SessionTimes:
        pool = await self._store.pool(spec.pool)
        if pool.removing:
            raise IllegalTransition(f"pool {spec.pool} is being removed", expected="a Pool that stays")
        return pool.spec.sessions

    async def _refuse_if_none(self, session_id: str, pool: str) -> None:
        """Fail before anything is written if the view shows nothing free, and reading the pool says the same."""
        if self._store.view.current and not self._store.view.has_free(pool):
            clusters = await self._store.clusters(pool)
            if not free(clusters) and not any(one.status.assigned_session == session_id for one in clusters):
                raise self._none_available(session_id, clusters)

    def _none_available(self, session_id: str, clusters: list[PooledCluster]) -> NoClusterAvailable:
        counts = {str(phase): sum(c.phase is phase for c in clusters) for phase in ClusterPhase}
        return NoClusterAvailable(session_id, counts, expected_at(clusters, self._store.now()))

    async def _claim(
        self, session_id: str, spec: SessionSpec, key: str = "", *, of_its_pool: bool = False
    ) -> tuple[Session, SessionSpec]:
        """The session, pending or active with a cluster that is truly its own; and the spec that this call wrote.

        It is another's if the session does not have it: made by somebody else, or waited for by somebody else longer.
        """
        noted = {IDEMPOTENCY_KEY: key} if key else {}
        named = Metadata(name=session_id, namespace=self._store.namespace, annotations=noted)
        wanted = Session(metadata=named, spec=spec)
        while True:
            try:
                return await self._store.create_session(wanted), spec
            except AlreadyExists:
                session = await self._store.find_session(session_id)
            try:
                if session is not None and session.spec.pool != spec.pool and (of_its_pool or not session.phase.ended):
                    raise _of_another_pool(session, spec)
                if session is not None and (kept := await self._keep(session, spec, key)) is not None:
                    return kept, spec if kept.spec == session.spec else kept.spec
            except (Conflict, UnknownSession):
                logger.debug("session %s changed while it was claimed", session_id)

    async def _keep(self, session: Session, spec: SessionSpec, key: str) -> Session | None:
        """The session if it is still good; None after clearing away one that is over, so that its ID is free.

        Raises NotHolder if it is the very one that was asked for with this `key`.
        """
        if session.phase.ended:
            if key and session.idempotency_key == key:
                raise NotHolder(
                    f"session {session.name} has ended",
                    expected="another key for a session that begins anew",
                    actual=f"{session.phase}, {session.status.message}",
                    cure="ask with another Idempotency-Key, or for another session",
                )
            await self._store.remove_session(session)
            return None
        if session.phase is SessionPhase.PENDING:
            return await self._sessions.wait_longer(session, timedelta(seconds=spec.wait_seconds or 0))
        cluster = await self._store.find_cluster(session.status.assigned_cluster or "")
        if cluster is None or not holds(cluster, session):
            await self._helping.settle(session.with_status(assigned_cluster=None), "its cluster was taken from it")
            return None
        await self._sessions.expire(session.name)
        now = await self._store.find_session(session.name)
        return now if now is not None and now.phase is SessionPhase.ACTIVE else None

    async def _serve(self, session: Session, times: SessionTimes | None = None, *, thorough: bool) -> Session | None:
        """Hand the session the cluster that is its own by the queue. None if there is none; `thorough`: when read."""
        if session.phase is SessionPhase.ACTIVE:
            return session
        fresh = not await self._store.view.shows(session)
        while True:
            async with self._handover.turn:
                own = await self._own(session, fresh=fresh)
                locked = own if own is None or holds(own, session) else await self._handover.lock(own, session, times)
            if own is None and (fresh or not thorough):
                return None
            if locked is not None and (served := await self._handover.activate(session, locked)) is not None:
                return served
            # Nothing in view, or lost to somebody else: look freshly.
            fresh, session = True, session if own is None else await self._still(session)
            if session.phase is SessionPhase.ACTIVE:
                return session

    async def _own(self, session: Session, *, fresh: bool) -> PooledCluster | None:
        """The cluster that is locked for the session, or the free one that is its own by the queue."""
        pool = session.spec.pool
        if fresh:
            clusters = await self._store.clusters(pool)
            waiting = await self._store.sessions(WAITING) if free(clusters) else []
        else:
            waiting, clusters = self._store.view.of_interest(pool)
            if session.name not in {other.name for other in waiting}:
                return None
        held = next((cluster for cluster in clusters if holds(cluster, session)), None)
        if held is not None:
            # Read after the session was, so that who marks it Active does not rely on a lock that is gone.
            now = await self._store.find_cluster(held.name)
            if now is not None and holds(now, session):
                return now
            clusters = [cluster for cluster in clusters if cluster is not held]
        # Whose turn it is, is asked by who waits for it: it has not lost its place, whatever the clocks say.
        asking = session.changed(spec=session.spec.changed(wait_seconds=None))
        others = [other for other in waiting if other.name != session.name]
        pairs = bindings([*others, asking], clusters, self._store.now(), self._store.queue_grace)
        return next((pair.cluster for pair in pairs if pair.session is asking), None)

    async def _still(self, session: Session) -> Session:
        """The session as it is now. Raises UnknownSession, NotHolder if it ended."""
        now = await self._store.find_session(session.name)
        if now is None or now.metadata.uid != session.metadata.uid:
            raise UnknownSession(f"session {session.name} was removed while it waited", cure="assign it anew")
        if now.phase.ended:
            raise ended_waiting(now)
        return now

    async def _wait(self, session: Session, seconds: float) -> Session | None:
        """Wait in the queue. None if the time is over."""
        loop, view = asyncio.get_running_loop(), self._store.view
        end = loop.time() + seconds
        try:
            # Only the waits have a deadline: a handover that has begun is not cut off.
            async with asyncio.timeout_at(end) as opening, view.following():
                opening.reschedule(None)
                with view.news() as news:
                    while loop.time() < end:
                        news.clear()
                        if (served := await self._step(session)) is not None:
                            return served
                        with suppress(TimeoutError):
                            async with asyncio.timeout_at(min(end, loop.time() + LOOK_AGAIN)):
                                await news.wait()
        except TimeoutError:
            logger.debug("session %s: the pool was not seen in time", session.name)
        return None

    async def _step(self, session: Session) -> Session | None:
        """What who waits does at news, and when there are none. An outage does not end a wait."""
        now, view = asyncio.get_running_loop().time(), self._store.view
        in_queue = session.metadata.uid, SessionPhase.PENDING
        try:
            seen = view.sessions.get(session.name)
            if not view.current or seen is None or (seen.metadata.uid, seen.phase) != in_queue:
                session = await self._still(session)
            if session.phase is SessionPhase.ACTIVE:
                return session
            if now - self._looked_at > LOOK_AGAIN:
                self._looked_at = now
                await self._helping.serve_queue()
            elif not view.current or not view.has_free(session.spec.pool):
                # Nothing to be had, as far as is seen. Looking again is done by one for all who wait.
                return None
            return await self._serve(session, thorough=False)
        except (ApiUnavailable, Conflict) as error:
            logger.warning("session %s waits on: %s", session.name, error)
            return None

    async def _leave(self, session: Session, mine: SessionSpec) -> Session | None:
        """Leave the queue without a trace. The session if it was served just now, else None.

        Only a session with the spec that this caller wrote is removed: somebody else waits for another.
        """
        now: Session | None = session
        while now is not None and now.metadata.uid == session.metadata.uid:
            if now.phase is SessionPhase.ACTIVE:
                return now
            try:
                if now.spec == mine:
                    await self._store.remove_session(now)
                return None
            except Conflict:
                now = await self._store.find_session(session.name)
        return None

    async def _withdraw(self, session_id: str, mine: SessionSpec) -> None:
        """Give up what was asked for with this very spec, as far as it was made and has not been served."""
        session = await self._store.find_session(session_id)
        if session is not None and session.phase is SessionPhase.PENDING:
            await self._leave(session, mine)


def _of_another_pool(session: Session, spec: SessionSpec) -> InvalidInput:
    """Its Pool is not named: whoever asks may have nothing to do with it."""
    return InvalidInput(
        f"session {session.name}",
        expected=f"an ID that is of pool {spec.pool}, or of nobody",
        actual="another pool's",
        cure="choose another ID; that of a session that has ended is free again after a day",
    )
