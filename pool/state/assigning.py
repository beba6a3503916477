"""Assigning: claim, serve at once if a cluster is free, else wait in the queue or give up without a trace."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from pool import inputs
from pool.bindings import Binding, bindings, choose, free, holds, patience_ends, place, queue, repairs
from pool.errors import (
    AlreadyExists,
    Conflict,
    NoClusterAvailable,
    NotHolder,
    PoolError,
    UnknownCluster,
    UnknownSession,
    WaitTimeout,
)
from pool.forecast import expected_at
from pool.kube.client import Object
from pool.kube.resources import SESSIONS
from pool.kube.watching import Watching
from pool.lifecycle import ClusterPhase, SessionPhase
from pool.models import Metadata, PooledCluster, Session, SessionSpec
from pool.state.binder import GLANCE, Binder
from pool.state.leases import Leases
from pool.state.mirror import Mirror
from pool.state.queue import Usher
from pool.state.store import Store

logger = logging.getLogger(__name__)

SPREAD = 64
"""Free clusters, the longest-rested, among which writers part ways; more than any burst of lost races asks for."""


class Assigning:
    """Who wants a cluster comes here."""

    def __init__(self, store: Store, binder: Binder, leases: Leases, watching: Watching | None) -> None:
        self._store = store
        self._binder = binder
        self._leases = leases
        self._watching = watching
        self.mirror = Mirror(store)
        self._usher = Usher(self.mirror, self._serve_queue)
        self._trying: set[str] = set()
        # Races lost lately, less those won: how far newcomers spread over the free clusters.
        self._contention = 0

    async def assign(self, session_id: str, spec: SessionSpec, wait_seconds: float | None) -> Session:
        """The session, Active with its cluster.

        Raises NoClusterAvailable if none is free (within `wait_seconds`, None: now), UnknownPool if there are none.
        """
        # A free one in the mirror is enough to begin with; that there is none is only believed when read.
        candidates = self._mirrored()
        if not candidates:
            clusters = await self._store.clusters()
            if not clusters:
                raise self._store.unknown_pool("no clusters")
            candidates = self._not_tried(free(clusters))
            known = any(cluster.status.assigned_session == session_id for cluster in clusters)
            if not (wait_seconds or known or candidates):
                raise self._none_available(session_id, clusters)
        session, made = await self._claim(session_id, spec)
        if session.phase is SessionPhase.ACTIVE:
            return session
        served = await self._serve_newcomer(session, candidates) if made else None
        served = served or await self._serve(session)
        if served is None and wait_seconds:
            try:
                served = await self._wait(session, wait_seconds)
            except BaseException:
                # Nobody waits any more: left behind, the claim would take a cluster for nobody.
                if made:
                    with suppress(PoolError):
                        await asyncio.shield(self._give_up(session, made))
                raise
        return served or await self._give_up(session, made)

    def _mirrored(self) -> list[PooledCluster]:
        return self._not_tried(self.mirror.free(SPREAD))

    def _not_tried(self, candidates: list[PooledCluster]) -> list[PooledCluster]:
        """Without those another call of this process is about to lock, unless there are no others."""
        return [c for c in candidates if c.name not in self._trying] or candidates

    async def _claim(self, session_id: str, spec: SessionSpec) -> tuple[Session, bool]:
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

    async def _serve_newcomer(self, session: Session, candidates: list[PooledCluster]) -> Session | None:
        """Try one of the candidates without reading the queue, if that is fair. None if it was lost, or is not."""
        if not candidates or self._trying:
            # Several at once part ways by their places in the queue, not by losing races.
            return None
        cluster = choose(candidates, session.name, self._contention)
        if not self._rested(cluster):
            return None
        return await self._try(Binding(session, cluster))

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
            pairs = self._bindings(sessions, clusters)
            own = next((pair for pair in pairs if pair.session.name == session.name), None)
            if own is None:
                return None
            served = await self._try(own)
            if served is not None:
                return served

    def _rested(self, cluster: PooledCluster) -> bool:
        since = cluster.status.last_reset
        return since is None or self._store.now() - since > GLANCE

    async def _try(self, binding: Binding) -> Session | None:
        name = binding.cluster.name
        self._trying.add(name)
        try:
            served = await self._binder.bind(binding)
        finally:
            self._trying.discard(name)
        self._contention = max(0, self._contention - 1) if served else min(4, self._contention + 1)
        return served

    def _bindings(self, sessions: Sequence[Session], clusters: Sequence[PooledCluster]) -> list[Binding]:
        return bindings(sessions, clusters, self._store.now(), self._store.queue_grace)

    async def serve_queue(self, only: str | None = None) -> int:
        """Finish what is half done and bind every pending session there is a cluster for. Returns how much was done.

        `only` binds this one cluster and repairs nothing: several who made one available each do not collide.
        """
        sessions = await self._store.sessions()
        clusters = await self._store.clusters()
        done = 0 if only else await self._binder.repair(repairs(sessions, clusters))
        for pair in self._bindings(sessions, clusters):
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
        pairs = self._bindings(sessions, clusters)
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

    async def _give_up(self, session: Session, made: bool) -> Session:
        """Leave the queue without a trace and raise NoClusterAvailable, unless the session was served just now."""
        while True:
            now = await self._store.find_session(session.name)
            if now is not None and now.phase is SessionPhase.ACTIVE and now.metadata.uid == session.metadata.uid:
                return now
            try:
                if made and now is not None and now.metadata.uid == session.metadata.uid:
                    await self._store.remove_session(now)
            except Conflict:
                continue
            raise self._none_available(session.name, await self._store.clusters())

    def _none_available(self, session_id: str, clusters: Sequence[PooledCluster]) -> NoClusterAvailable:
        counts = {str(phase): sum(c.phase is phase for c in clusters) for phase in ClusterPhase}
        return NoClusterAvailable(session_id, counts, expected_at(clusters, self._store.now()))


def spec_of(
    ttl_seconds: int | None, priority: int, wait_seconds: float | None, *, longest: timedelta, now: datetime
) -> SessionSpec:
    """What is asked for `now`, checked. `longest` bounds the time to live. Raises InvalidInput."""
    ttl = None if ttl_seconds is None else min(ttl_seconds, int(longest.total_seconds()))
    return SessionSpec(
        requested_at=now, ttl_seconds=ttl, priority=inputs.priority(priority), wait_seconds=math.ceil(wait_seconds or 0)
    )
