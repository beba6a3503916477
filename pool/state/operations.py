"""The writes of operations: every one a compare-and-swap of what `pool.core.operation_rules` says it may be."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from pool.core.clusters import TEARDOWN_FINALIZER, ClusterCondition, ConditionType, Golden, PooledCluster
from pool.core.errors import Conflict, IllegalTransition, NotFound, PoolError, StaleOperation
from pool.core.lifecycle import ClusterPhase, SessionPhase
from pool.core.operation_rules import Ownership, Request, begun, failed, finished, owned, with_condition, with_golden
from pool.core.sessions import Session
from pool.kube.resources import POOLED_CLUSTERS
from pool.state.history import Why
from pool.state.store import Store

logger = logging.getLogger(__name__)


class Operations:
    """Operations on clusters; `pool.state.running` keeps one alive."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def begin(self, cluster_id: str, request: Request) -> Ownership:
        """Own the cluster for a run; again by the same run it only renews that.

        Raises UnknownCluster, IllegalTransition, NotHolder, OperationInProgress.
        """
        grace = timedelta(seconds=self.store.settings.operation_grace)
        taken: list[str] = []

        def change(cluster: PooledCluster) -> PooledCluster:
            after = begun(cluster, request, self.store.now(), grace)
            taken[:] = _lost(cluster, after)
            return after

        who = f"session {request.session_id}" if request.session_id else ""
        cluster = await self.store.change_cluster(
            cluster_id, change, Why(f"{request.kind} begins", who, request.run_id)
        )
        await self.store.history.drain()
        for name in taken:
            await self._end_session(name, cluster_id, "taken back by an operator")
        attempt = cluster.status.operation.attempt if cluster.status.operation else 1
        return Ownership(cluster_id, request.kind, request.run_id, cluster.status.epoch, attempt)

    async def heartbeat(self, owner: Ownership) -> PooledCluster:
        """Say that the run lives. Raises StaleOperation."""
        return await self.change(owner, lambda cluster: cluster, Why("heartbeat", run_id=owner.run_id))

    async def change(
        self, owner: Ownership, change: Callable[[PooledCluster], PooledCluster], why: Why
    ) -> PooledCluster:
        """One write of the run, a heartbeat too. Raises StaleOperation if the run does not own the cluster any more."""

        def guarded(cluster: PooledCluster) -> PooledCluster:
            operation = owned(cluster, owner).changed(heartbeat_at=self.store.now())
            return change(cluster.with_status(operation=operation))

        after = await self.store.change_cluster(owner.cluster_id, guarded, why)
        await self.store.history.drain()
        return after

    async def transition(self, owner: Ownership, to: ClusterPhase, reason: str, **fields: Any) -> PooledCluster:
        """Move the cluster to another phase that is not `available` or `locked`: those need `finish` and its proof."""
        if to in (ClusterPhase.AVAILABLE, ClusterPhase.LOCKED):
            raise IllegalTransition(f"{owner.cluster_id} becomes {to} only by finishing with an attestation", actual=to)
        why = Why(reason, run_id=owner.run_id)
        return await self.change(owner, lambda cluster: cluster.with_status(phase=to, **fields), why)

    async def update(self, owner: Ownership, **fields: Any) -> PooledCluster:
        """Replace fields of the status (Python names), those excepted that only a transition may change."""
        if refused := fields.keys() & {"phase", "epoch", "operation", "assigned_session", "assigned_session_uid"}:
            raise TypeError(f"{', '.join(sorted(refused))} changed by transition, finish or fail only")
        return await self.change(owner, lambda cluster: cluster.with_status(**fields), Why("", run_id=owner.run_id))

    async def record_golden(self, owner: Ownership, golden: Golden, message: str) -> PooledCluster:
        """Record a verified golden generation, with its condition. Raises StaleOperation."""
        now = self.store.now()
        why = Why("golden generation recorded", run_id=owner.run_id)
        return await self.change(owner, lambda cluster: with_golden(cluster, golden, message, now), why)

    async def finish(
        self, owner: Ownership, *, attested: Mapping[ConditionType, str] | None = None, reason: str = ""
    ) -> PooledCluster:
        """End the operation well.

        With `attested`, evidence in words for every condition type, the cluster becomes `available`, or `locked` at a
        new epoch if a session kept it (a reset in place). Without, it stays in its phase, for the next operation.
        Raises StaleOperation; AttestationFailed if evidence or a golden generation is missing.
        """
        why = Why(reason or f"{owner.kind} done", run_id=owner.run_id)
        now = self.store.now()
        try:
            cluster = await self.change(owner, lambda cluster: finished(cluster, owner, attested, now), why)
        except StaleOperation:
            # The answer to our own write may have been lost, and the cluster handed on before we looked again.
            cluster = await self.store.cluster(owner.cluster_id)
            if attested is None or cluster.status.last_reset != now:
                raise
        if cluster.phase is ClusterPhase.LOCKED:
            try:
                await self._renew_epoch(cluster)
            except PoolError as error:
                # The reset is done and the session has its cluster: that its copy lags must not have it done again.
                logger.warning("%s: its session's epoch is not renewed yet: %s", cluster.name, error)
        return cluster

    async def fail(
        self, owner: Ownership, reason: str, message: str, *, final: bool = False, outage: bool = False
    ) -> PooledCluster:
        """End the operation badly: `error` if it is `final` or its attempts are used up, else its phase for a retry.

        `reason` is one CamelCase word, `message` one line; an `outage` of the host's API uses up no attempt. A session
        that waited for a reset in place is ended when the cluster goes to `error`. Raises StaleOperation.
        """
        last = 0 if final else self.store.settings.reset_attempts
        lost: list[str] = []

        def change(cluster: PooledCluster) -> PooledCluster:
            after = failed(cluster, owner, reason, message, self.store.now(), last=last, outage=outage)
            lost[:] = _lost(cluster, after)
            return after

        why = Why(f"{owner.kind} failed, {reason}: {message}", run_id=owner.run_id)
        cluster = await self.change(owner, change, why)
        for name in lost:
            await self._end_session(name, owner.cluster_id, f"its cluster failed: {reason}")
        return cluster

    async def remove(self, owner: Ownership) -> None:
        """Let the deleted cluster's resource go, at the end of its teardown. Raises StaleOperation, Conflict."""
        metadata = (await self.heartbeat(owner)).metadata
        kept = [name for name in metadata.finalizers if name != TEARDOWN_FINALIZER]
        guard = {"uid": metadata.uid, "resourceVersion": metadata.resource_version}
        try:
            patch = {"metadata": guard | {"finalizers": kept}}
            await self.store.kube.patch(POOLED_CLUSTERS, owner.cluster_id, patch, metadata.namespace)
        except NotFound:
            logger.info("%s is gone already", owner.cluster_id)
        except Conflict:
            # Perhaps of our own first try, whose answer was lost.
            found = await self.store.kube.find(POOLED_CLUSTERS, owner.cluster_id, metadata.namespace)
            now = PooledCluster.from_object(found).metadata if found else None
            if now is not None and now.uid == metadata.uid and TEARDOWN_FINALIZER in now.finalizers:
                raise

    async def _end_session(self, name: str, cluster_id: str, message: str) -> None:
        """End the session whose cluster was taken; should this not be reached, the next observation does it."""
        now = self.store.now()
        await self._change_holder(name, cluster_id, phase=SessionPhase.RELEASED, ended_at=now, message=message)

    async def _renew_epoch(self, cluster: PooledCluster) -> None:
        """Tell the session its cluster's new epoch; should this not be reached, the next observation does it."""
        await self._change_holder(cluster.status.assigned_session or "", cluster.name, epoch=cluster.status.epoch)

    async def _change_holder(self, name: str, cluster_id: str, **fields: Any) -> None:
        def change(session: Session) -> Session:
            holds = session.phase is SessionPhase.ACTIVE and session.status.assigned_cluster == cluster_id
            return session.with_status(**fields) if holds else session

        if await self.store.find_session(name) is not None:
            await self.store.change_session(name, change)

    async def set_condition(
        self, cluster_id: str, condition: ClusterCondition, *, seen: PooledCluster | None = None
    ) -> PooledCluster:
        """Note a health check's result on a cluster, whoever holds it; it changes no phase.

        With `seen`, the cluster before the look, nothing is noted if it was handed on or reset meanwhile.
        """
        now = self.store.now()

        def change(cluster: PooledCluster) -> PooledCluster:
            if seen is not None and _life(cluster) != _life(seen):
                return cluster
            return with_condition(cluster, condition).with_status(last_health_check=now)

        return await self.store.change_cluster(cluster_id, change, Why("health check"))


def _life(cluster: PooledCluster) -> tuple[object, ...]:
    """What changes when a cluster is handed on, worked on or reset: a guest seen before then is another one's."""
    status = cluster.status
    return cluster.metadata.uid, status.phase, status.epoch, status.last_reset, status.operation is None


def _lost(before: PooledCluster, after: PooledCluster) -> list[str]:
    """The session, if any, that holds the cluster before and no more after."""
    name = before.status.assigned_session
    return [name] if name is not None and after.status.assigned_session is None else []
