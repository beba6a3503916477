"""Assigning: claim, serve at once if a cluster is free, else wait in the queue or give up without a trace."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from pool.core import inputs
from pool.core.clusters import PooledCluster
from pool.core.errors import Conflict, NoClusterAvailable, NotHolder, PoolError, UnknownSession, WaitTimeout
from pool.core.forecast import expected_at
from pool.core.lifecycle import ClusterPhase, SessionPhase
from pool.core.queue import Binding, holds, place, queue, repairs
from pool.core.sessions import Session, SessionSpec
from pool.kube.client import Object
from pool.kube.resources import SESSIONS
from pool.kube.watching import Watching
from pool.state.binder import Binder
from pool.state.candidates import Candidates
from pool.state.leases import Leases
from pool.state.mirror import Mirror
from pool.state.places import Places
from pool.state.queue import Usher
from pool.state.store import Store

logger = logging.getLogger(__name__)


class Assigning:
    """Who wants a cluster comes here."""

    def __init__(self, store: Store, binder: Binder, leases: Leases, watching: Watching | None) -> None:
        self._store = store
        self._binder = binder
        self._watching = watching
        self._places = Places(store, binder, leases)
        self.mirror = Mirror(store)
        self._candidates = Candidates(store, self.mirror)
        self._usher = Usher(self.mirror, self._serve_queue)

    async def assign(self, session_id: str, spec: SessionSpec, wait_seconds: float | None) -> Session:
        """The session, Active with its cluster.

        Raises NoClusterAvailable if none is free (within `wait_seconds`, None: now), UnknownPool if there are none.
        """
        try:
            return await self._assign(session_id, spec, wait_seconds)
        except asyncio.CancelledError:
            # Nobody waits any more: left behind, the claim would take a cluster for nobody.
            with suppress(PoolError):
                await asyncio.shield(self._places.withdraw(session_id, spec))
            raise

    async def _assign(self, session_id: str, spec: SessionSpec, wait_seconds: float | None) -> Session:
        async with self._candidates.turn:
            served, session, made = await self._serve_newcomer(session_id, spec, wait=bool(wait_seconds))
        if served is None and wait_seconds:
            served = await self._wait_or_leave(session, made, wait_seconds)
        served = served or await self._places.give_up(session, made=made)
        if served is None:
            raise self._none_available(session_id, await self._store.clusters())
        return served

    async def _serve_newcomer(
        self, session_id: str, spec: SessionSpec, *, wait: bool
    ) -> tuple[Session | None, Session, bool]:
        """The session served, if there was a cluster for it; its place in the queue, and whether this call made it."""
        cluster = await self._reserve(session_id, wait=wait)
        try:
            session, made = await self._places.take(session_id, spec)
            if session.phase is SessionPhase.ACTIVE:
                return session, session, made
            served = None
            if made and cluster is not None and self._may_take(cluster):
                served = await self._try(Binding(session, cluster))
            return served or await self._serve(session), session, made
        finally:
            if cluster is not None:
                self._candidates.let_go(cluster, session_id)

    def _may_take(self, cluster: PooledCluster) -> bool:
        """Whether a newcomer may take it without reading the queue."""
        return self._candidates.has_rested(cluster) and not self._candidates.is_outdated(cluster)

    async def _reserve(self, session_id: str, *, wait: bool) -> PooledCluster | None:
        """A cluster to try first; None if the queue must tell.

        Who does not wait, and finds none, fails before anything is written, but not while one is still being tried.
        """
        while True:
            busy = self._candidates.busy
            cluster = await self._candidates.reserve(session_id)
            if cluster is not None:
                return cluster
            if wait or not (busy or self._candidates.busy):
                break
            await self._candidates.until_tried()
        clusters = await self._store.clusters()
        if not clusters:
            raise self._store.unknown_pool("no clusters")
        if wait or any(cluster.status.assigned_session == session_id for cluster in clusters):
            return None
        raise self._none_available(session_id, clusters)

    async def _serve(self, session: Session) -> Session | None:
        """Get the session a cluster now, by the queue. None if there is none for it, or others are before it."""
        while True:
            sessions = await self._store.sessions()
            clusters = await self._store.clusters()
            now = next((s for s in sessions if s.metadata.uid == session.metadata.uid), session)
            if now.phase is SessionPhase.ACTIVE:
                return now
            mine = next((c for c in clusters if holds(c, session) and c.phase is ClusterPhase.LOCKED), None)
            if mine is not None:
                return await self._binder.activate(session, mine)
            pairs = self._candidates.pairs(sessions, clusters, session.name)
            own = next((pair for pair in pairs if pair.session.name == session.name), None)
            if own is None:
                return None
            served = await self._try(own)
            if served is not None:
                return served

    async def _try(self, pair: Binding) -> Session | None:
        """Hand the cluster over. None if it was lost to somebody else."""
        with self._candidates.trying(pair) as alone:
            served = await self._binder.bind(pair) if alone else None
        if alone:
            self._candidates.tell(pair.cluster, won=served is not None)
        return served

    async def serve_queue(self, only: str | None = None) -> int:
        """Finish what is half done and bind every pending session there is a cluster for. Returns how much was done.

        `only` binds this one cluster and repairs nothing: several who made one available each do not collide.
        """
        sessions = await self._store.sessions()
        clusters = await self._store.clusters()
        done = 0 if only else await self._binder.repair(repairs(sessions, clusters))
        for pair in self._candidates.pairs(sessions, clusters):
            done += only in (None, pair.cluster.name) and await self._help(pair)
        return done

    async def _help(self, pair: Binding) -> bool:
        try:
            return await self._try(pair) is not None
        except (UnknownSession, NotHolder) as error:
            logger.info("no cluster needed any more: %s", error)
            return False

    async def _serve_queue(self, mine: frozenset[str]) -> bool:
        """Serve the queue, if its head is among `mine` (or `mine` is empty). Returns False if it was left to others."""
        sessions = await self._store.sessions()
        clusters = await self._store.clusters()
        pairs = self._candidates.pairs(sessions, clusters)
        found = repairs(sessions, clusters)
        ours = [pair for pair in pairs if pair.session.name in mine] if mine else pairs
        for pair in ours:
            await self._help(pair)
        await self._tell_places(mine, sessions)
        if mine and (found or len(ours) < len(pairs)):
            return False
        await self._binder.repair(found)
        return True

    async def _tell_places(self, mine: frozenset[str], sessions: Sequence[Session]) -> None:
        waiting = queue(sessions, self._store.now(), self._store.queue_grace)
        for session in waiting:
            message = place(session, waiting)
            if session.name in mine and session.status.message != message:
                try:
                    await self._store.write_session(session.with_status(message=message))
                except (Conflict, UnknownSession):
                    logger.debug("session %s moved on while its place was written", session.name)

    async def _wait_or_leave(self, session: Session, made: bool, seconds: float) -> Session | None:
        try:
            return await self._wait(session, seconds)
        except PoolError:
            # Nobody waits any more, as when it is cancelled.
            with suppress(PoolError):
                await self._places.give_up(session, made=made)
            raise

    async def _wait(self, session: Session, seconds: float) -> Session | None:
        """Wait in the queue. None if the time is over."""
        try:
            if self._watching is not None:
                return await self._until_active(self._watching, session, seconds)
            async with Watching(self._store.kube) as watching:
                return await self._until_active(watching, session, seconds)
        except WaitTimeout:
            return None

    async def _until_active(self, watching: Watching, session: Session, seconds: float) -> Session:
        def active(obj: Object | None) -> Session | None:
            now = Session.from_object(obj) if obj else None
            if now is None or now.metadata.uid != session.metadata.uid:
                raise UnknownSession(f"session {session.name} was removed while it waited", cure="assign it anew")
            if now.phase.ended:
                raise NotHolder(f"session {session.name} ended while it waited", actual=now.phase)
            return now if now.phase is SessionPhase.ACTIVE else None

        async with self._usher.waiting(session.name) as usher:
            what = f"a cluster for session {session.name}"
            turn = asyncio.ensure_future(
                watching.until(SESSIONS, session.name, self._store.namespace, active, timeout=seconds, what=what)
            )
            try:
                await asyncio.wait([turn, usher], return_when=asyncio.FIRST_COMPLETED)
                if not turn.done():
                    await usher  # it ends only by failing; say so instead of waiting for nobody
                return await turn
            finally:
                turn.cancel()

    def _none_available(self, session_id: str, clusters: Sequence[PooledCluster]) -> NoClusterAvailable:
        counts = {str(phase): sum(c.phase is phase for c in clusters) for phase in ClusterPhase}
        return NoClusterAvailable(session_id, counts, expected_at(clusters, self._store.now()))


def spec_of(
    ttl_seconds: int | None,
    priority: int,
    wait_seconds: float | None,
    heartbeat_timeout_seconds: int | None,
    *,
    longest: timedelta,
    now: datetime,
) -> SessionSpec:
    """What is asked for `now`, checked. `longest` bounds the time to live. Raises InvalidInput."""
    ttl = None if ttl_seconds is None else min(ttl_seconds, int(longest.total_seconds()))
    return SessionSpec(
        requested_at=now,
        ttl_seconds=ttl,
        priority=inputs.priority(priority),
        wait_seconds=math.ceil(wait_seconds or 0),
        heartbeat_timeout_seconds=inputs.heartbeat_timeout(heartbeat_timeout_seconds),
    )
