"""The pool's state, as everybody uses it: sessions get clusters, operations work on them, nothing is held twice."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import datetime

from pool.core import inputs
from pool.core.clusters import ClusterCondition, OperationKind, PooledCluster
from pool.core.contract import ClusterPoolStats
from pool.core.errors import PoolError
from pool.core.forecast import expected_at
from pool.core.lifecycle import ClusterPhase, SessionPhase
from pool.core.operation_rules import Request
from pool.core.pools import DEFAULT_POOL, Pool, PoolSpec, PoolStatus, SessionTimes
from pool.core.queue import Place, in_words, place, queue
from pool.core.sessions import Session, SessionSpec
from pool.core.settings import Settings
from pool.kube.client import Kube
from pool.kube.watching import Watching
from pool.state import operations
from pool.state.assigning import Asked, Assigning
from pool.state.events import Events, Listener
from pool.state.handover import Handover
from pool.state.helping import Helping
from pool.state.membership import Membership
from pool.state.operations import OperationHandle
from pool.state.running import keeping_alive
from pool.state.sessions import Extension, Released, Sessions
from pool.state.silence import Silence
from pool.state.store import Store
from pool.state.view import WAITING, PoolView

logger = logging.getLogger(__name__)


class PoolState:
    """The compare-and-swap protocol on the Pools, PooledClusters and Sessions of a namespace.

    `now` is the clock (UTC), one for everybody: the host API's (`Kube.now`). `watching` is shared with other waits of
    the process (None: its own); `events` is told each transition after it was written; `monotonic` (seconds) is what
    silence is measured by. Every method may raise ApiError.
    """

    def __init__(
        self,
        kube: Kube,
        settings: Settings,
        *,
        now: Callable[[], datetime],
        watching: Watching | None = None,
        events: Listener | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.now = now
        self.events = Events(kube, settings.namespace, events)
        self._silence = Silence(settings.operation_grace, monotonic)
        self.view = PoolView(kube, settings.namespace, watching, self._silence)
        """The pool as watches show it while it is followed."""
        self._store = Store(kube, settings, now, self.events, self.view, self._silence)
        self._sessions = Sessions(self._store)
        handover = Handover(self._store)
        self._helping = Helping(self._store, handover)
        self._assigning = Assigning(self._store, handover, self._sessions, self._helping)
        self._membership = Membership(self._store)

    @asynccontextmanager
    async def following(self) -> AsyncIterator[asyncio.Task[None]]:
        """While entered, the pool is followed by watches: an assignment reads nothing, at any size of the pool.

        Yields, once the pool was seen, a task that ends only by failing (ApiError).
        """
        async with self.view.following():
            task = asyncio.create_task(self.view.failure(), name="following the pool")
            try:
                yield task
            finally:
                task.cancel()
                await asyncio.wait([task])
                await self.events.drain()

    async def aclose(self) -> None:
        """Before the connection is closed: nothing that was started here runs on after it."""
        await self.events.aclose()

    async def pool_names(self) -> list[str]:
        """Names of all Pools of the namespace, of unreadable ones too. An outage raises; it is never empty."""
        return await self._membership.pool_names()

    async def pool(self, name: str = DEFAULT_POOL) -> Pool:
        """One Pool. Raises UnknownPool."""
        return await self._store.read_pool(inputs.pool_name(name))

    async def ensure_pool(self, name: str = DEFAULT_POOL, spec: PoolSpec | None = None) -> Pool:
        """The Pool of that name, made with this `spec` (None: all defaults) if there is none."""
        return await self._membership.ensure_pool(name, spec or PoolSpec())

    async def hold_pool(self, name: str) -> Pool:
        """The Pool, with the finalizer that keeps it until its clusters are gone. Raises UnknownPool."""
        return await self._membership.hold_pool(name)

    async def let_pool_go(self, name: str) -> None:
        """Let a Pool that is being removed go, once its clusters have; nothing for one that is gone."""
        await self._membership.let_pool_go(name)

    async def resize(self, pool: str, size: int) -> Pool:
        """Set how many clusters the Pool is to have; maintenance makes or removes them.

        Raises InvalidInput (0 to 500), UnknownPool, IllegalTransition if the Pool is being removed.
        """
        return await self._membership.resize(inputs.pool_name(pool), inputs.pool_size(size))

    async def cordon(self, cluster_id: str, cordoned: bool) -> PooledCluster:
        """Keep a cluster from new sessions, or no longer. Its holder keeps it. Raises InvalidInput, UnknownCluster."""
        return await self._membership.cordon(inputs.cluster_id(cluster_id), cordoned=cordoned)

    async def write_pool_status(self, pool: Pool, status: PoolStatus) -> Pool:
        """Write what is said of the Pool, as it was read, if it changed. Raises Conflict, UnknownPool."""
        return await self._membership.write_pool_status(pool, status)

    async def note_maintenance(self, pool: str) -> None:
        """Say that maintenance of the Pool came to its end now; nothing for one that is gone."""
        now = self.now()

        def change(status: PoolStatus) -> PoolStatus:
            return status.changed(last_maintenance=max(now, status.last_maintenance or now))

        await self._membership.change_pool_status(pool, change)

    async def note_swept(self, pool: str, leftovers: int) -> None:
        """Count leftover disks that were removed; nothing for a Pool that is gone."""

        def change(status: PoolStatus) -> PoolStatus:
            return status.changed(leftovers_swept=status.leftovers_swept + leftovers)

        await self._membership.change_pool_status(pool, change)

    async def clusters(self, pool: str | None = None) -> list[PooledCluster]:
        """All clusters, or those of one Pool, by name. An outage raises; it is never an empty pool."""
        return sorted(await self._store.clusters(pool), key=lambda cluster: (len(cluster.name), cluster.name))

    async def cluster(self, cluster_id: str) -> PooledCluster:
        """One cluster. Raises InvalidInput, UnknownCluster."""
        return await self._store.cluster(inputs.cluster_id(cluster_id))

    def silent(self, clusters: Iterable[PooledCluster]) -> frozenset[str]:
        """Names of those whose run seems to be silent: worth a try to take it over, which watches it first."""
        return frozenset(one.name for one in clusters if self._silence.seems(one, self.now()))

    def until_silent(self, clusters: Iterable[PooledCluster]) -> float | None:
        """Seconds until the first of their runs is silent, should no more be heard of it; None: there is none."""
        left = [self._silence.left(one) for one in clusters if one.status.operation is not None]
        return min((seconds for seconds in left if seconds > 0), default=None)

    async def stats(self, pool: str | None = None) -> ClusterPoolStats:
        """The counts of all clusters, or of one Pool's; they add up."""
        return ClusterPoolStats.of(await self.clusters(pool))

    async def last_session(self, cluster: PooledCluster) -> Session | None:
        """Whose the cluster is, or was, at its epoch; None if that is forgotten."""
        found = await self._store.sessions(f"status.assignedCluster={cluster.name}")
        return next((one for one in found if one.status.epoch == cluster.status.epoch), None)

    async def sessions(self, pool: str | None = None) -> list[Session]:
        """All sessions, or those of one Pool, ended ones too, by name."""
        found = await self._store.sessions(f"spec.pool={pool}" if pool else "")
        return sorted(found, key=lambda session: session.name)

    async def session(self, session_id: str) -> Session:
        """One session; if it waits, its message tells its place in the queue. Raises InvalidInput, UnknownSession."""
        session = await self._store.session(inputs.session_id(session_id))
        if session.phase is not SessionPhase.PENDING:
            return session
        return session.with_status(message=in_words((await self.standing(session))[0]))

    async def standing(self, session: Session) -> tuple[Place | None, datetime | None]:
        """A pending session's place in the queue, and when the next cluster of its Pool is expected, as far as known.

        From the view where the pool is followed, so a moment old; else it is read.
        """
        now = self._store.now()
        if self.view.current:
            sessions = list(self.view.sessions.values())
            clusters = [one for one in self.view.clusters.values() if one.spec.pool == session.spec.pool]
        else:
            sessions = await self._store.sessions(WAITING)
            clusters = await self._store.clusters(session.spec.pool)
        return place(session, queue(sessions, now, self._store.queue_grace)), expected_at(clusters, now)

    async def ensure_cluster(self, pool: Pool, cluster_id: str) -> PooledCluster:
        """The resource of a cluster of this Pool, `creating` if just made; its namespace is named as it is.

        Raises InvalidInput (a bad name, another Pool's cluster), IllegalTransition if the Pool is being removed.
        """
        return await self._membership.ensure_cluster(pool, inputs.cluster_id(cluster_id))

    async def delete_cluster(self, cluster: PooledCluster, *, as_read: bool = False) -> None:
        """Ask for this very cluster's removal: it is there until its teardown, which waits for its session.

        `as_read`: only if nothing about it has changed since. Raises Conflict.
        """
        await self._membership.delete_cluster(cluster, as_read=as_read)

    async def set_condition(
        self, cluster_id: str, condition: ClusterCondition, *, seen: PooledCluster | None = None
    ) -> PooledCluster:
        """Note a health check's result; it changes no phase. Not if the cluster is not as it was `seen` any more.

        Raises UnknownCluster.
        """
        return await operations.set_condition(self._store, inputs.cluster_id(cluster_id), condition, seen)

    async def assign(
        self,
        session_id: str,
        pool: str = DEFAULT_POOL,
        *,
        ttl_seconds: int | None = None,
        priority: int = 0,
        wait_seconds: float | None = None,
        heartbeat_timeout_seconds: int | None = None,
    ) -> Session:
        """Hand the session a cluster of the Pool; again for the same session it is the same cluster.

        `ttl_seconds`: the Pool's default if None, cut to its maximum; it starts at the assignment. `wait_seconds`: how
        long to wait in the queue, None or 0: not at all. `heartbeat_timeout_seconds`: after so long without a heartbeat
        the session ends; None expects none. A session that was released or expired begins anew.
        Raises InvalidInput; UnknownPool; NoClusterAvailable (nothing is left behind); IllegalTransition if the Pool is
        being removed; UnknownSession, NotHolder if the session is removed or ended while it waits.
        """
        name, whole = inputs.session_id(session_id), math.ceil(wait_seconds or 0)
        spec = self._spec(pool, ttl_seconds, priority, whole, heartbeat_timeout_seconds)
        try:
            return await self._assigning.assign(name, spec, wait_seconds or 0)
        finally:
            await self._written_down()

    async def request(
        self,
        session_id: str,
        pool: str = DEFAULT_POOL,
        *,
        ttl_seconds: int | None = None,
        priority: int = 0,
        wait_seconds: int = 0,
        heartbeat_timeout_seconds: int | None = None,
        key: str = "",
        of_its_pool: bool = False,
    ) -> Asked:
        """As `assign`, but never waits: with `wait_seconds` the session stays in the queue, and is served by whoever
        comes by. Asked for again, its wait is prolonged. A session that is over does not begin anew with the `key` that
        it was asked for with (NotHolder). `of_its_pool`: nor one that was another Pool's (InvalidInput), for a caller
        who may use this one only.
        """
        name = inputs.session_id(session_id)
        spec = self._spec(pool, ttl_seconds, priority, wait_seconds, heartbeat_timeout_seconds)
        try:
            return await self._assigning.request(name, spec, key, of_its_pool=of_its_pool)
        finally:
            await self._written_down()

    def _spec(
        self, pool: str, ttl_seconds: int | None, priority: int, wait_seconds: int, heartbeat_timeout: int | None
    ) -> SessionSpec:
        """What is asked for. Raises InvalidInput."""
        inputs.time_to_live(ttl_seconds, SessionTimes())
        return SessionSpec(
            pool=inputs.pool_name(pool),
            requested_at=self._store.now(),
            ttl_seconds=inputs.stored_ttl(ttl_seconds),
            priority=inputs.priority(priority),
            wait_seconds=wait_seconds,
            heartbeat_timeout_seconds=inputs.heartbeat_timeout(heartbeat_timeout),
        )

    async def _written_down(self) -> None:
        """Who follows the pool stays: its events are written beside the next call."""
        if not self.view.current:
            await self.events.drain()

    async def serve_queue(self) -> int:
        """Finish half-done handovers and bind whom there are clusters for. Returns how much was done."""
        try:
            return await self._helping.serve_queue()
        finally:
            await self.events.drain()

    async def release(self, session_id: str, *, uid: str | None = None, epoch: int | None = None) -> Released:
        """Take the session's cluster back; it is `resetting` then. Raises UnknownSession; NotHolder if it is another
        session of that name by now (`uid`), or was handed the cluster again (`epoch`)."""
        try:
            return await self._sessions.release(inputs.session_id(session_id), uid=uid, epoch=epoch)
        finally:
            await self.events.drain()

    async def extend(
        self,
        session_id: str,
        seconds: int,
        *,
        key: str | None = None,
        uid: str | None = None,
        epoch: int | None = None,
    ) -> Extension:
        """Give an active session more time, cut to its Pool's maximum; once, if asked again with the same `key`.

        Raises UnknownSession; NotHolder, also as `release` does for `uid` and `epoch`.
        """
        return await self._sessions.extend(inputs.session_id(session_id), seconds, key, uid=uid, epoch=epoch)

    async def heartbeat_session(self, session_id: str, *, uid: str | None = None, epoch: int | None = None) -> Session:
        """Note that the session's user is there. Raises UnknownSession; NotHolder, also as `release` does."""
        return await self._sessions.heartbeat(inputs.session_id(session_id), uid=uid, epoch=epoch)

    async def expire(self, session_id: str) -> Released:
        """End the session if its time is over or it is silent too long, else nothing. Raises UnknownSession."""
        try:
            return await self._sessions.expire(session_id)
        finally:
            await self.events.drain()

    async def turn_away(self, session: Session, why: str) -> None:
        """End a session that waits, as read; nothing if it got a cluster or ended meanwhile."""
        await self._sessions.turn_away(session, why)

    async def remove_ended_session(self, session: Session) -> bool:
        """Remove an ended session, as read. False if it is gone or in use again."""
        return await self._sessions.remove_ended(session)

    @asynccontextmanager
    async def operation(
        self,
        cluster_id: str,
        kind: OperationKind,
        run_id: str,
        *,
        session_id: str | None = None,
        epoch: int | None = None,
        force: bool = False,
        if_waiting: bool = False,
        unless_cordoned: bool = False,
    ) -> AsyncIterator[OperationHandle]:
        """Own the cluster for a run, and keep that alive by heartbeats in the background while the body runs.

        `session_id` asks for a reset in place; `force` takes a held cluster from its session, which is ended; both only
        if the cluster was not handed over since `epoch`, if that is known. `if_waiting` begins only on one that waits
        for its reset, `unless_cordoned` on none that is cordoned. Raises UnknownCluster, IllegalTransition, NotHolder,
        OperationInProgress; and StaleOperation out of the body as soon as the run is found overtaken. A cluster that
        became available goes to the queue's head.
        """
        asked = {"force": force, "if_waiting": if_waiting, "unless_cordoned": unless_cordoned}
        request = Request(kind, run_id, session_id=session_id, epoch=epoch, **asked)
        handle = await operations.begin(self._store, inputs.cluster_id(cluster_id), request)
        async with keeping_alive(handle):
            yield handle
        if handle.left is not None and handle.left.phase is ClusterPhase.AVAILABLE:
            try:
                await self._helping.serve_queue(cluster_id)
            except PoolError as error:
                # The operation is done whatever comes of it.
                logger.warning("queue not served after %s became available: %s", cluster_id, error)
        await self.events.drain()


__all__ = ["Asked", "Extension", "OperationHandle", "PoolState", "Released"]
