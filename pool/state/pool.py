"""The pool's state, as everybody uses it: sessions get clusters, operations work on them, nothing is held twice."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from pool.core import inputs
from pool.core.clusters import ClusterCondition, ConditionType, Golden, OperationKind, PooledCluster
from pool.core.contract import ClusterPoolStats
from pool.core.errors import PoolError
from pool.core.lifecycle import ClusterPhase
from pool.core.operation_rules import Ownership, Request
from pool.core.planner import expired
from pool.core.pools import DEFAULT_POOL, Pool, PoolSpec, PoolStatus
from pool.core.sessions import Session
from pool.core.settings import Settings
from pool.kube.client import Kube
from pool.kube.watching import Watching
from pool.state.assigning import Assigning, spec_of
from pool.state.binder import Binder
from pool.state.history import History, Listener, Transition
from pool.state.leases import Extension, Leases, Released
from pool.state.membership import Membership
from pool.state.operations import Operations
from pool.state.running import OperationHandle, keeping_alive
from pool.state.store import Store

logger = logging.getLogger(__name__)


class PoolState:
    """The compare-and-swap protocol on PooledClusters and Sessions.

    `now` is the clock (UTC); `watching` is shared with other waits of the process (None: each wait has its own);
    `events` is told every transition after it was written. Every method may raise ApiError.
    """

    def __init__(
        self,
        kube: Kube,
        settings: Settings,
        *,
        now: Callable[[], datetime],
        watching: Watching | None = None,
        events: Listener | None = None,
    ) -> None:
        self.settings = settings
        self.history = History(kube, settings.namespace, events)
        self._store = Store(kube, settings, now, self.history)
        self._leases = Leases(self._store)
        self._assigning = Assigning(self._store, Binder(self._store), self._leases, watching)
        self._operations = Operations(self._store)
        self._membership = Membership(self._store)

    @asynccontextmanager
    async def following(self) -> AsyncIterator[asyncio.Task[None]]:
        """While entered, free clusters are found through a watch: an assignment reads nothing, at any pool size.

        Yields the task that follows, once it has seen the pool; it ends only by failing (ApiError).
        """
        listed = asyncio.Event()
        async with self._assigning.mirror.following(lambda _: listed.set()) as following:
            first = asyncio.create_task(listed.wait())
            await asyncio.wait([first, following], return_when=asyncio.FIRST_COMPLETED)
            first.cancel()
            if following.done():
                await following
            yield following

    async def clusters(self) -> list[PooledCluster]:
        """All clusters by name. An outage raises; it is never an empty pool."""
        return sorted(await self._store.clusters(), key=lambda cluster: (len(cluster.name), cluster.name))

    async def cluster(self, cluster_id: str) -> PooledCluster:
        """One cluster. Raises InvalidInput, UnknownCluster."""
        return await self._store.cluster(inputs.cluster_id(cluster_id))

    async def sessions(self) -> list[Session]:
        """All sessions, ended ones too, by name."""
        return sorted(await self._store.sessions(), key=lambda session: session.name)

    async def session(self, session_id: str) -> Session:
        """One session. Raises InvalidInput, UnknownSession."""
        return await self._store.session(inputs.session_id(session_id))

    async def stats(self) -> ClusterPoolStats:
        """The counts of the pool; they add up."""
        return ClusterPoolStats.of(await self.clusters())

    async def pools(self) -> list[Pool]:
        """All Pools of the namespace, by name. An outage raises; it is never empty."""
        return await self._membership.pools()

    async def pool(self, name: str = DEFAULT_POOL) -> Pool:
        """One Pool. Raises UnknownPool."""
        return await self._membership.pool(name)

    async def ensure_pool(self, name: str = DEFAULT_POOL, spec: PoolSpec | None = None) -> Pool:
        """The Pool of that name, made with this `spec` (None: all defaults) if there is none."""
        return await self._membership.ensure_pool(name, spec or PoolSpec())

    async def hold_pool(self, name: str) -> Pool:
        """The Pool, with the finalizer that keeps it until its clusters are gone. Raises UnknownPool."""
        return await self._membership.hold_pool(name)

    async def let_pool_go(self, name: str) -> None:
        """Let a Pool that is being removed go, once its clusters have; nothing for one that is gone."""
        await self._membership.let_pool_go(name)

    async def write_pool_status(self, pool: Pool, status: PoolStatus) -> Pool:
        """Write what is said of the Pool, as it was read, if it changed. Raises Conflict, UnknownPool."""
        return await self._membership.write_pool_status(pool, status)

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

    async def turn_away(self, session: Session, why: str) -> None:
        """End a session that waits, as read; nothing if it got a cluster or ended meanwhile."""
        await self._leases.turn_away(session, why)

    async def assign(
        self,
        session_id: str,
        *,
        ttl_seconds: int | None = None,
        priority: int = 0,
        wait_seconds: float | None = None,
        heartbeat_timeout_seconds: int | None = None,
    ) -> Session:
        """Hand the session a cluster; again for the same session it is the same cluster.

        `ttl_seconds`: the pool's default if None, cut to its maximum; it starts at the assignment. `wait_seconds`: how
        long to wait in the queue, None or 0: not at all. `heartbeat_timeout_seconds`: after so long without a heartbeat
        the session ends; None expects none. A session that was released or expired begins anew.
        Raises InvalidInput; NoClusterAvailable (nothing is left behind); UnknownPool if there are no clusters at all.
        """
        name = inputs.session_id(session_id)
        inputs.time_to_live(ttl_seconds, self.settings)
        longest = timedelta(seconds=self.settings.max_ttl_seconds)
        now = self._store.now()
        spec = spec_of(ttl_seconds, priority, wait_seconds, heartbeat_timeout_seconds, longest=longest, now=now)
        try:
            return await self._assigning.assign(name, spec, wait_seconds)
        finally:
            # Who follows the clusters stays: its events are written beside the next call.
            if not self._assigning.mirror.current:
                await self.history.drain()

    async def serve_queue(self) -> int:
        """Finish half-done handovers and bind whom there are clusters for. Returns how much was done."""
        try:
            return await self._assigning.serve_queue()
        finally:
            await self.history.drain()

    async def release(self, session_id: str, *, epoch: int | None = None) -> Released:
        """Take the session's cluster back; it is `resetting` then. Raises UnknownSession, NotHolder (old `epoch`)."""
        try:
            return await self._leases.release(inputs.session_id(session_id), epoch=epoch)
        finally:
            await self.history.drain()

    async def extend(self, session_id: str, seconds: int) -> Extension:
        """Give an active session more time, cut to the pool's maximum. Raises UnknownSession, NotHolder."""
        return await self._leases.extend(inputs.session_id(session_id), seconds)

    async def heartbeat_session(self, session_id: str) -> Session:
        """Note that the session's user is there. Raises UnknownSession, NotHolder."""
        return await self._leases.heartbeat(inputs.session_id(session_id))

    async def expire(self, session_id: str) -> Released:
        """End the session if its time is over or it is silent too long, else nothing. Raises UnknownSession."""
        try:
            return await self._leases.expire(session_id)
        finally:
            await self.history.drain()

    async def expire_due(self) -> list[Released]:
        """End every session whose time is over, or that is silent. Returns the clusters that wait for a reset now."""
        sessions = await self._store.sessions()
        due = [one.session_id for one in expired(sessions, await self._store.clusters(), self._store.now())]
        ended = [await self.expire(name) for name in due if await self._store.find_session(name) is not None]
        return [released for released in ended if released.cluster_id is not None]

    async def remove_ended_session(self, session: Session) -> bool:
        """Remove an ended session, as read. False if it is gone or in use again."""
        return await self._leases.remove_ended(session)

    async def begin(
        self,
        cluster_id: str,
        kind: OperationKind,
        run_id: str,
        *,
        session_id: str | None = None,
        epoch: int | None = None,
        force: bool = False,
    ) -> OperationHandle:
        """Own the cluster for a run; see pool.state.operations. It has no heartbeat of its own: see `operation`."""
        request = Request(kind, run_id, session_id=session_id, epoch=epoch, force=force)
        owner = await self._operations.begin(inputs.cluster_id(cluster_id), request)
        return OperationHandle(self._operations, owner)

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
    ) -> AsyncIterator[OperationHandle]:
        """Own the cluster and keep that alive by heartbeats in the background while the body runs.

        Raises what `begin` raises, and StaleOperation out of the body as soon as the run is found overtaken. A cluster
        that became available is handed to the queue's head at once.
        """
        begun = await self.begin(cluster_id, kind, run_id, session_id=session_id, epoch=epoch, force=force)
        async with keeping_alive(self._operations, begun.ownership) as handle:
            yield handle
        if handle.left is not None:
            await self._after(handle.left)

    async def _claim(self, cluster_id: str, run_id: str) -> Ownership:
        """The run's ownership as the cluster has it, for writes by name. Anything else is found stale by the write."""
        cluster = await self.cluster(cluster_id)
        operation = cluster.status.operation
        kind = operation.kind if operation else OperationKind.RESET
        return Ownership(cluster_id, kind, run_id, cluster.status.epoch, operation.attempt if operation else 1)

    async def heartbeat(self, cluster_id: str, run_id: str) -> PooledCluster:
        """Say that the run lives. Raises StaleOperation."""
        return await self._operations.heartbeat(await self._claim(cluster_id, run_id))

    async def transition(
        self, cluster_id: str, to: ClusterPhase, *, run_id: str, reason: str, **fields: Any
    ) -> PooledCluster:
        """Move the cluster to another phase, for the run that works on it. Raises StaleOperation, IllegalTransition."""
        return await self._operations.transition(await self._claim(cluster_id, run_id), to, reason, **fields)

    async def record_golden(self, cluster_id: str, golden: Golden, *, run_id: str, message: str = "") -> PooledCluster:
        """Record a verified golden generation. Raises StaleOperation."""
        return await self._operations.record_golden(await self._claim(cluster_id, run_id), golden, message)

    async def finish(
        self, cluster_id: str, run_id: str, *, attested: Mapping[ConditionType, str] | None = None, reason: str = ""
    ) -> PooledCluster:
        """End the operation; with evidence the cluster becomes available. Raises StaleOperation, AttestationFailed."""
        owner = await self._claim(cluster_id, run_id)
        cluster = await self._operations.finish(owner, attested=attested, reason=reason)
        await self._after(cluster)
        return cluster

    async def fail(
        self, cluster_id: str, run_id: str, reason: str, message: str, *, final: bool = False
    ) -> PooledCluster:
        """End the run's operation badly. Raises StaleOperation."""
        return await self._operations.fail(await self._claim(cluster_id, run_id), reason, message, final=final)

    async def _after(self, cluster: PooledCluster) -> None:
        """Hand a cluster that became available to whoever waits. The operation is done whatever comes of it."""
        try:
            if cluster.phase is ClusterPhase.AVAILABLE:
                await self._assigning.serve_queue(cluster.name)
        except PoolError as error:
            logger.warning("queue not served after %s became available: %s", cluster.name, error)
        await self.history.drain()

    async def set_condition(
        self, cluster_id: str, condition: ClusterCondition, *, seen: PooledCluster | None = None
    ) -> PooledCluster:
        """Note a health check's result; it changes no phase. Not if the cluster is not as it was `seen` any more.

        Raises UnknownCluster.
        """
        return await self._operations.set_condition(inputs.cluster_id(cluster_id), condition, seen=seen)

    async def remove_cluster(self, cluster_id: str, run_id: str) -> None:
        """Let the cluster's resource go at the end of its teardown. Raises StaleOperation, Conflict."""
        await self._operations.remove(await self._claim(cluster_id, run_id))


__all__ = ["Extension", "OperationHandle", "PoolState", "Released", "Transition"]
