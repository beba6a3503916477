"""Operations on clusters: the writes of a run, every one a compare-and-swap of what `pool.core.operation_rules` allows.

A run begins, and writes through the handle it got. `pool.state.running` keeps the operation alive meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from pool.core.clusters import TEARDOWN_FINALIZER, ClusterCondition, ConditionType, Golden, PooledCluster
from pool.core.errors import Conflict, NotFound, OperationInProgress, PoolError, StaleOperation, UnknownSession
from pool.core.lifecycle import ClusterPhase, SessionPhase
from pool.core.operation_rules import (
    Ownership,
    Request,
    begun,
    failed,
    finished,
    interrupted,
    owned,
    with_condition,
    with_golden,
)
from pool.core.queue import holds
from pool.core.sessions import Session
from pool.kube.resources import POOLED_CLUSTERS
from pool.state.events import Why
from pool.state.handover import ended
from pool.state.store import Store

logger = logging.getLogger(__name__)

FIXED = {"phase", "epoch", "clean", "operation", "assigned_session", "assigned_session_uid"}
"""Fields that only the beginning and the end of an operation, and sessions, change."""


async def begin(store: Store, cluster_id: str, request: Request) -> OperationHandle:
    """Own the cluster for a run; again by the same run it only renews that, and whoever began before is stale.

    Another run that does not look alive, and that this process has not watched yet, is watched for the grace first. A
    session that the cluster is taken from by force is ended. Raises UnknownCluster, IllegalTransition, NotHolder,
    OperationInProgress.
    """
    who = f"session {request.session_id}" if request.session_id else ""
    why = Why(f"{request.kind} begins", who, request.run_id)
    # One for all tries: what was written by one whose answer was lost is this beginning's own.
    word = secrets.token_hex(4)
    while True:
        try:
            before, cluster = await store.change_cluster(cluster_id, partial(_begun, store, request, word), why)
            break
        except OperationInProgress:
            if not await _fell_silent(store, cluster_id):
                raise
    await store.events.drain()
    await _tell_holder(store, before, cluster, "taken back by an operator")
    attempt = cluster.status.operation.attempt if cluster.status.operation else 1
    owner = Ownership(cluster_id, request.kind, request.run_id, word, cluster.status.epoch, attempt)
    return OperationHandle(store, owner, cluster)


def _begun(store: Store, request: Request, word: str, cluster: PooledCluster) -> PooledCluster:
    return begun(cluster, request, store.now(), word=word, silent=store.silence.left(cluster) <= 0)


async def _fell_silent(store: Store, cluster_id: str) -> bool:
    """Watch a run that does not look alive until it has been silent for the grace, or ended; False once it lives."""
    while True:
        cluster = await store.cluster(cluster_id)
        if cluster.status.operation is None or (left := store.silence.left(cluster)) <= 0:
            return True
        if not store.silence.seems(cluster, store.now()):
            return False
        await asyncio.sleep(min(left, store.settings.operation_heartbeat))


class OperationHandle:
    """What a run works with: every write is checked against its ownership, and raises StaleOperation if overtaken."""

    def __init__(self, store: Store, ownership: Ownership, cluster: PooledCluster) -> None:
        self.store = store
        self.ownership = ownership
        self.cluster = cluster
        """The cluster as it was when the operation began."""
        self.settled = False
        """It is being ended: a heartbeat that finds it ended is no alarm."""
        self.left: PooledCluster | None = None
        """The cluster as the operation left it, once it ended."""

    @property
    def cluster_id(self) -> str:
        """The cluster worked on."""
        return self.ownership.cluster_id

    @property
    def run_id(self) -> str:
        """The run that works on it."""
        return self.ownership.run_id

    @property
    def word(self) -> str:
        """What tells this beginning from any other, even of the same run."""
        return self.ownership.word

    @property
    def epoch(self) -> int:
        """The cluster's epoch when the operation began."""
        return self.ownership.epoch

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return self.ownership.attempt

    async def heartbeat(self) -> PooledCluster:
        """Say that the run lives. Raises StaleOperation."""
        return (await self._change(lambda cluster: cluster, "heartbeat"))[1]

    async def update(self, **fields: Any) -> PooledCluster:
        """Replace fields of the status (Python names), but for FIXED ones. Raises StaleOperation."""
        if refused := fields.keys() & FIXED:
            raise TypeError(f"{', '.join(sorted(refused))} changed by beginning, finishing or failing only")
        return (await self._change(lambda cluster: cluster.with_status(**fields), ""))[1]

    async def note(self, condition: ClusterCondition) -> PooledCluster:
        """Note what was seen of the cluster, as a condition of it. Raises StaleOperation."""
        return (await self._change(lambda cluster: with_condition(cluster, condition), ""))[1]

    async def record_golden(self, golden: Golden, message: str = "") -> PooledCluster:
        """Record a verified golden generation, with its condition. Raises StaleOperation."""
        now = self.store.now()
        recorded = await self._change(lambda one: with_golden(one, golden, message, now), "golden generation recorded")
        return recorded[1]

    async def finish(self, *, attested: Mapping[ConditionType, str] | None = None, reason: str = "") -> PooledCluster:
        """End the operation well; the handle is of no use afterwards.

        With `attested`, evidence in words for every condition type, the cluster becomes clean and `available`, or
        `locked` at a new epoch if a session kept it (a reset in place). Without, it stays in its phase, for the next
        operation. Raises StaleOperation; AttestationFailed if evidence or a golden generation is missing.
        """
        with self._settling():
            self.left = await self._finish(attested, reason or f"{self.ownership.kind} done")
        return self.left

    async def _finish(self, attested: Mapping[ConditionType, str] | None, reason: str) -> PooledCluster:
        now = self.store.now()
        try:
            _, cluster = await self._change(lambda one: finished(one, self.ownership, attested, now), reason)
        except StaleOperation:
            # The answer to our own write may have been lost, and the cluster handed on before we looked again.
            cluster = await self.store.cluster(self.cluster_id)
            if attested is None or cluster.status.last_reset != now:
                raise
        if cluster.phase is ClusterPhase.LOCKED:
            try:
                await _renew_epoch(self.store, cluster)
            except PoolError as error:
                # The reset is done and the session has its cluster: that its copy lags must not have it done again.
                logger.warning("%s: its session's epoch is not renewed yet: %s", cluster.name, error)
        return cluster

    async def fail(self, reason: str, message: str, *, final: bool = False, outage: bool = False) -> PooledCluster:
        """End the operation badly: `error` if it is `final` or its attempts are used up, else its phase for a retry.

        `reason` is one CamelCase word, `message` one line; an `outage` of the host's API uses up no attempt. A session
        that waited for a reset in place is ended when the cluster goes to `error`. The handle is of no use afterwards.
        Raises StaleOperation.
        """
        last = 0 if final else self.store.settings.reset_attempts
        now, owner = self.store.now(), self.ownership

        def change(cluster: PooledCluster) -> PooledCluster:
            if outage:
                return interrupted(cluster, owner, message, now)
            return failed(cluster, owner, reason, message, now, last=last)

        with self._settling():
            before, self.left = await self._change(change, f"{owner.kind} failed, {reason}: {message}")
        await _tell_holder(self.store, before, self.left, f"its cluster failed: {reason}")
        return self.left

    async def remove(self) -> None:
        """Let the deleted cluster's resource go, at the end of its teardown; the handle is of no use afterwards.

        Raises StaleOperation, Conflict.
        """
        with self._settling():
            metadata = (await self.heartbeat()).metadata
            kept = [name for name in metadata.finalizers if name != TEARDOWN_FINALIZER]
            guard = {"uid": metadata.uid, "resourceVersion": metadata.resource_version}
            try:
                patch = {"metadata": guard | {"finalizers": kept}}
                await self.store.kube.patch(POOLED_CLUSTERS, self.cluster_id, patch, metadata.namespace)
            except NotFound:
                logger.info("%s is gone already", self.cluster_id)
            except Conflict:
                # Perhaps of our own first try, whose answer was lost.
                now = await self.store.find_cluster(self.cluster_id)
                left = now.metadata if now is not None else None
                if left is not None and left.uid == metadata.uid and TEARDOWN_FINALIZER in left.finalizers:
                    raise

    async def _change(
        self, change: Callable[[PooledCluster], PooledCluster], reason: str
    ) -> tuple[PooledCluster, PooledCluster]:
        """One write of the run, a heartbeat too. Returns the cluster before and after. Raises StaleOperation."""

        def guarded(cluster: PooledCluster) -> PooledCluster:
            operation = owned(cluster, self.ownership).changed(heartbeat_at=self.store.now())
            return change(cluster.with_status(operation=operation))

        changed = await self.store.change_cluster(self.cluster_id, guarded, Why(reason, run_id=self.run_id))
        await self.store.events.drain()
        return changed

    @contextmanager
    def _settling(self) -> Iterator[None]:
        """From here on the operation counts as ended, unless its end could not be written."""
        self.settled = True
        try:
            yield
        except BaseException:
            self.settled = False
            raise


async def _tell_holder(store: Store, before: PooledCluster, after: PooledCluster, message: str) -> None:
    """Tell the session that lost the cluster by this write; should this not be reached, the next repair does it.

    An active one is ended. One that is to be marked Active by somebody just now is written to as well: so that write
    conflicts, and whoever makes it finds the cluster gone (pool.state.handover).
    """
    name, uid = before.status.assigned_session, before.status.assigned_session_uid
    if name is None or after.status.assigned_session is not None:
        return

    def change(session: Session) -> Session:
        if uid not in (None, session.metadata.uid):
            return session
        if session.phase is SessionPhase.PENDING:
            return session.with_status(message=f"lost {after.name}, epoch {after.status.epoch}: {message}")
        if session.phase is SessionPhase.ACTIVE and session.status.assigned_cluster == after.name:
            return ended(session, SessionPhase.RELEASED, store.now(), message)
        return session

    try:
        await store.change_session(name, change)
    except UnknownSession:
        logger.info("session %s, which held %s, is gone", name, after.name)


async def _renew_epoch(store: Store, cluster: PooledCluster) -> None:
    """Tell the session its cluster's new epoch; should this not be reached, the next repair does it."""

    def change(session: Session) -> Session:
        if session.phase is not SessionPhase.ACTIVE or not holds(cluster, session):
            return session
        return session.with_status(epoch=max(session.status.epoch or 0, cluster.status.epoch))

    await store.change_session(cluster.status.assigned_session or "", change)


async def set_condition(
    store: Store, cluster_id: str, condition: ClusterCondition, seen: PooledCluster | None
) -> PooledCluster:
    """Note a health check's result on a cluster, whoever holds it; it changes no phase. Raises UnknownCluster.

    With `seen`, the cluster before the look, nothing is noted if it was handed on or reset meanwhile.
    """
    now = store.now()

    def change(cluster: PooledCluster) -> PooledCluster:
        if seen is not None and _life(cluster) != _life(seen):
            return cluster
        return with_condition(cluster, condition).with_status(last_health_check=now)

    return (await store.change_cluster(cluster_id, change, Why("health check")))[1]


def _life(cluster: PooledCluster) -> tuple[object, ...]:
    """What changes when a cluster is handed on, worked on or reset: a guest seen before then is another one's."""
    status = cluster.status
    return cluster.metadata.uid, status.phase, status.epoch, status.last_reset, status.operation is None
