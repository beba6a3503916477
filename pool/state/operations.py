"""The writes of operations: every one a compare-and-swap of what `pool.core.operation_rules` says it may be."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from pool.core.clusters import ClusterCondition, ConditionType, Golden, PooledCluster
from pool.core.errors import IllegalTransition, PoolError, StaleOperation
from pool.core.lifecycle import ClusterPhase, SessionPhase
from pool.core.operation_rules import Claim, Wish, begun, failed, finished, owned, with_condition, with_golden
from pool.core.sessions import Session
from pool.kube.resources import POOLED_CLUSTERS
from pool.state.history import Why
from pool.state.store import Store

logger = logging.getLogger(__name__)


class Operations:
    """Operations on clusters; `pool.state.running` keeps one alive."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def begin(self, cluster_id: str, wish: Wish) -> Claim:
        """Claim the cluster for a run; again by the same run it only renews the claim.

        Raises UnknownCluster, IllegalTransition, NotHolder, OperationInProgress.
        """
        grace = timedelta(seconds=self.store.settings.operation_grace)
        taken: list[str] = []

        def change(cluster: PooledCluster) -> PooledCluster:
            after = begun(cluster, wish, self.store.now(), grace)
            taken[:] = _lost(cluster, after)
            return after

        who = f"session {wish.session_id}" if wish.session_id else ""
        cluster = await self.store.change_cluster(cluster_id, change, Why(f"{wish.kind} begins", who, wish.run_id))
        await self.store.history.drain()
        for name in taken:
            await self._end_session(name, cluster_id, "taken back by an operator")
        attempt = cluster.status.operation.attempt if cluster.status.operation else 1
        return Claim(cluster_id, wish.kind, wish.run_id, cluster.status.epoch, attempt)

    async def heartbeat(self, claim: Claim) -> PooledCluster:
        """Say that the run lives. Raises StaleOperation."""
        return await self.change(claim, lambda cluster: cluster, Why("heartbeat", run_id=claim.run_id))

    async def change(self, claim: Claim, change: Callable[[PooledCluster], PooledCluster], why: Why) -> PooledCluster:
        """One write of the run, a heartbeat too. Raises StaleOperation if the run does not own the cluster any more."""

        def guarded(cluster: PooledCluster) -> PooledCluster:
            operation = owned(cluster, claim).changed(heartbeat_at=self.store.now())
            return change(cluster.with_status(operation=operation))

        after = await self.store.change_cluster(claim.cluster_id, guarded, why)
        await self.store.history.drain()
        return after

    async def transition(self, claim: Claim, to: ClusterPhase, reason: str, **fields: Any) -> PooledCluster:
        """Move the cluster to another phase that is not `available` or `locked`: those need `finish` and its proof."""
        if to in (ClusterPhase.AVAILABLE, ClusterPhase.LOCKED):
            raise IllegalTransition(f"{claim.cluster_id} becomes {to} only by finishing with an attestation", actual=to)
        why = Why(reason, run_id=claim.run_id)
        return await self.change(claim, lambda cluster: cluster.with_status(phase=to, **fields), why)

    async def update(self, claim: Claim, **fields: Any) -> PooledCluster:
        """Replace fields of the status (Python names), those excepted that only a transition may change."""
        if refused := fields.keys() & {"phase", "epoch", "operation", "assigned_session", "assigned_session_uid"}:
            raise TypeError(f"{', '.join(sorted(refused))} changed by transition, finish or fail only")
        return await self.change(claim, lambda cluster: cluster.with_status(**fields), Why("", run_id=claim.run_id))

    async def record_golden(self, claim: Claim, golden: Golden, message: str) -> PooledCluster:
        """Record a verified golden generation, with its condition. Raises StaleOperation."""
        now = self.store.now()
        why = Why("golden generation recorded", run_id=claim.run_id)
        return await self.change(claim, lambda cluster: with_golden(cluster, golden, message, now), why)

    async def finish(
        self, claim: Claim, *, attested: Mapping[ConditionType, str] | None = None, reason: str = ""
    ) -> PooledCluster:
        """End the operation well.

        With `attested`, evidence in words for every condition type, the cluster becomes `available`, or `locked` at a
        new epoch if a session kept it (a reset in place). Without, it stays in its phase, for the next operation.
        Raises StaleOperation; AttestationFailed if evidence or a golden generation is missing.
        """
        why = Why(reason or f"{claim.kind} done", run_id=claim.run_id)
        now = self.store.now()
        try:
            cluster = await self.change(claim, lambda cluster: finished(cluster, claim, attested, now), why)
        except StaleOperation:
            # The answer to our own write may have been lost, and the cluster handed on before we looked again.
            cluster = await self.store.cluster(claim.cluster_id)
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
        self, claim: Claim, reason: str, message: str, *, final: bool = False, outage: bool = False
    ) -> PooledCluster:
        """End the operation badly: `error` if it is `final` or its attempts are used up, else its phase for a retry.

        `reason` is one CamelCase word, `message` one line; an `outage` of the host's API uses up no attempt. A session
        that waited for a reset in place is ended when the cluster goes to `error`. Raises StaleOperation.
        """
        last = 0 if final else self.store.settings.reset_attempts
        lost: list[str] = []

        def change(cluster: PooledCluster) -> PooledCluster:
            after = failed(cluster, claim, reason, message, self.store.now(), last=last, outage=outage)
            lost[:] = _lost(cluster, after)
            return after

        why = Why(f"{claim.kind} failed, {reason}: {message}", run_id=claim.run_id)
        cluster = await self.change(claim, change, why)
        for name in lost:
            await self._end_session(name, claim.cluster_id, f"its cluster failed: {reason}")
        return cluster

    async def remove(self, claim: Claim) -> None:
        """Remove the cluster's resource, at the end of its teardown. Raises StaleOperation, Conflict."""
        cluster = await self.heartbeat(claim)
        metadata = cluster.metadata
        await self.store.kube.delete(
            POOLED_CLUSTERS,
            cluster.name,
            metadata.namespace,
            uid=metadata.uid,
            resource_version=metadata.resource_version,
        )

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
