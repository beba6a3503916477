"""Long operations on a cluster: one at a time, alive by heartbeat, every write checked against its run and epoch.

A run claims a cluster by writing `status.operation`. As long as its heartbeat is fresh nobody else gets it; once that
is older than the grace, another run takes over, and the first one's next write raises `StaleOperation` and changes
nothing. A locked cluster is only touched for its own session (reset in place) or when an operator forces it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pool.errors import AttestationFailed, IllegalTransition, NotHolder, OperationInProgress, StaleOperation
from pool.kube.resources import POOLED_CLUSTERS
from pool.lifecycle import ClusterPhase, SessionPhase
from pool.models import (
    Condition,
    ConditionStatus,
    ConditionType,
    Failure,
    Golden,
    Operation,
    OperationKind,
    PooledCluster,
)
from pool.state.binder import unlocked
from pool.state.history import Why
from pool.state.store import Store

logger = logging.getLogger(__name__)

_C, _K = ClusterPhase, OperationKind

BEGINS: dict[tuple[OperationKind, ClusterPhase], ClusterPhase] = {
    (_K.BOOTSTRAP, _C.CREATING): _C.CREATING,
    (_K.GOLDEN, _C.CREATING): _C.CREATING,
    (_K.GOLDEN, _C.AVAILABLE): _C.RESETTING,
    (_K.GOLDEN, _C.RESETTING): _C.RESETTING,
    (_K.RESET, _C.RESETTING): _C.RESETTING,
    (_K.RESET, _C.AVAILABLE): _C.RESETTING,
    (_K.RESET, _C.ERROR): _C.RESETTING,
    (_K.REBUILD, _C.CREATING): _C.CREATING,
    (_K.REBUILD, _C.AVAILABLE): _C.CREATING,
    (_K.REBUILD, _C.ERROR): _C.CREATING,
    (_K.TEARDOWN, _C.CREATING): _C.CREATING,
    (_K.TEARDOWN, _C.AVAILABLE): _C.RESETTING,
    (_K.TEARDOWN, _C.RESETTING): _C.RESETTING,
    (_K.TEARDOWN, _C.ERROR): _C.ERROR,
}
"""From which phase an operation may begin, and the phase it puts the cluster into: never one that is assignable.

A locked cluster is not in it: see `begin`.
"""


@dataclass(frozen=True)
class Claim:
    """What a run holds: the cluster, the kind of operation, its run ID, the epoch at the beginning, the attempt."""

    cluster_id: str
    kind: OperationKind
    run_id: str
    epoch: int
    attempt: int


class Operations:
    """The writes of operations; `pool.state.running` keeps one alive."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def begin(
        self,
        cluster_id: str,
        kind: OperationKind,
        run_id: str,
        *,
        session_id: str | None = None,
        epoch: int | None = None,
        force: bool = False,
    ) -> Claim:
        """Claim the cluster for a run; again by the same run it only renews the claim.

        `session_id` (and its `epoch`, if known) asks for a reset in place: the session keeps its locked cluster.
        `force` takes a locked cluster from its session, an operator's explicit wish.
        Raises UnknownCluster, IllegalTransition, NotHolder, OperationInProgress.
        """
        taken: list[str] = []

        def change(cluster: PooledCluster) -> PooledCluster:
            taken.clear()
            now = self.store.now()
            if session_id is not None:
                _check_holder(cluster, session_id, epoch)
            attempt = self._attempt(cluster, kind, run_id, now)
            if cluster.phase is ClusterPhase.LOCKED:
                cluster = self._begin_locked(cluster, kind, in_place=session_id is not None, force=force, taken=taken)
            phase = _begin_phase(cluster, kind)
            before = cluster.status.operation
            started = before.started_at if before is not None and before.run_id == run_id else now
            operation = Operation(kind=kind, run_id=run_id, started_at=started, heartbeat_at=now, attempt=attempt)
            return cluster.with_status(phase=phase, operation=operation)

        who = f"session {session_id}" if session_id else ""
        after = await self.store.change_cluster(cluster_id, change, Why(f"{kind} begins", who, run_id))
        for name in taken:
            await self._end_session(name, cluster_id, "taken back by an operator")
        operation = after.status.operation
        assert operation is not None
        return Claim(cluster_id, kind, run_id, after.status.epoch, operation.attempt)

    def _attempt(self, cluster: PooledCluster, kind: OperationKind, run_id: str, now: datetime) -> int:
        """Which attempt a new claim is. Raises OperationInProgress if another run works on the cluster and lives."""
        operation, failure = cluster.status.operation, cluster.status.failure
        if operation is None:
            return (failure.attempts if failure else 0) + 1
        if operation.run_id == run_id and operation.kind is kind:
            return operation.attempt
        silence = now - operation.heartbeat_at
        if silence < timedelta(seconds=self.store.settings.operation_grace):
            raise OperationInProgress(
                f"{cluster.name} is being worked on",
                expected="no live operation",
                actual=f"{operation.kind} by run {operation.run_id}, heartbeat {silence.total_seconds():.0f} s ago",
                cure=f"wait for it; a silent run is taken over after {self.store.settings.operation_grace:g} s",
            )
        logger.warning(
            "%s: taking over %s of run %s, silent for %s", cluster.name, operation.kind, operation.run_id, silence
        )
        return operation.attempt + 1

    def _begin_locked(
        self, cluster: PooledCluster, kind: OperationKind, *, in_place: bool, force: bool, taken: list[str]
    ) -> PooledCluster:
        if in_place and kind is OperationKind.RESET:
            return cluster.with_status(phase=ClusterPhase.RESETTING)
        if not force:
            raise IllegalTransition(
                f"{cluster.name} is locked",
                expected=f"a cluster nobody holds, for {kind}",
                actual=f"locked by session {cluster.status.assigned_session}",
                cure="release the session, or force it",
            )
        taken.append(cluster.status.assigned_session or "")
        return unlocked(cluster, ClusterPhase.RESETTING)

    async def heartbeat(self, claim: Claim) -> PooledCluster:
        """Say that the run lives. Raises StaleOperation."""
        return await self.change(claim, lambda cluster: cluster, Why("heartbeat", run_id=claim.run_id))

    async def change(self, claim: Claim, change: Callable[[PooledCluster], PooledCluster], why: Why) -> PooledCluster:
        """One write of the run, a heartbeat too. Raises StaleOperation if the run does not own the cluster any more."""

        def guarded(cluster: PooledCluster) -> PooledCluster:
            operation = _owned(cluster, claim)
            beating = cluster.with_status(operation=operation.changed(heartbeat_at=self.store.now()))
            return change(beating)

        return await self.store.change_cluster(claim.cluster_id, guarded, why)

    async def transition(self, claim: Claim, to: ClusterPhase, reason: str, **fields: Any) -> PooledCluster:
        """Move the cluster to another phase that is not `available` or `locked`: those need `finish` and its proof."""
        if to in (ClusterPhase.AVAILABLE, ClusterPhase.LOCKED):
            raise IllegalTransition(f"{claim.cluster_id} becomes {to} only by finishing with an attestation", actual=to)
        why = Why(reason, run_id=claim.run_id)
        return await self.change(claim, lambda cluster: cluster.with_status(phase=to, **fields), why)

    async def update(self, claim: Claim, **fields: Any) -> PooledCluster:
        """Replace fields of the status (Python names), the phase excepted."""
        if "phase" in fields:
            raise TypeError("a phase is changed by transition, finish or fail")
        return await self.change(claim, lambda cluster: cluster.with_status(**fields), Why("", run_id=claim.run_id))

    async def record_golden(self, claim: Claim, golden: Golden, message: str) -> PooledCluster:
        """Record a verified golden generation, with its condition."""
        now = self.store.now()

        def change(cluster: PooledCluster) -> PooledCluster:
            held = cluster.status.golden
            if held is not None and golden.generation < held.generation:
                raise IllegalTransition(
                    f"golden generation of {cluster.name}",
                    expected=f"at least {held.generation}",
                    actual=golden.generation,
                )
            condition = _true(ConditionType.GOLDEN_READY, "Verified", message, now)
            return with_condition(cluster.with_status(golden=golden), condition)

        return await self.change(claim, change, Why("golden generation recorded", run_id=claim.run_id))

    async def finish(
        self, claim: Claim, *, attested: Mapping[ConditionType, str] | None = None, reason: str = ""
    ) -> PooledCluster:
        """End the operation well.

        With `attested`, evidence in words for every condition type, the cluster becomes `available`, or `locked` at a
        new epoch if a session kept it (a reset in place). Without, it stays in its phase, for the next operation.
        Raises StaleOperation; AttestationFailed if evidence or a golden generation is missing.
        """

        def change(cluster: PooledCluster) -> PooledCluster:
            started = _owned(cluster, claim).started_at
            cluster = cluster.with_status(operation=None, failure=None)
            return cluster if attested is None else self._attested(cluster, claim, attested, started)

        why = Why(reason or f"{claim.kind} done", run_id=claim.run_id)
        cluster = await self.change(claim, change, why)
        if cluster.phase is ClusterPhase.LOCKED:
            await self._renew_epoch(cluster)
        return cluster

    def _attested(
        self, cluster: PooledCluster, claim: Claim, attested: Mapping[ConditionType, str], started: datetime
    ) -> PooledCluster:
        now = self.store.now()
        missing = [str(kind) for kind in ConditionType if not attested.get(kind)]
        if cluster.status.golden is None:
            missing.append("a golden generation")
        if missing:
            raise AttestationFailed(f"{cluster.name} is not available", expected="evidence", actual=f"no {missing}")
        for kind, evidence in attested.items():
            cluster = with_condition(cluster, _true(kind, "Attested", evidence, now))
        fields: dict[str, Any] = {"last_reset": now, "last_health_check": now}
        if claim.kind is OperationKind.RESET:
            fields["last_reset_seconds"] = round((now - started).total_seconds())
        if cluster.status.assigned_session is None:
            return cluster.with_status(phase=ClusterPhase.AVAILABLE, **fields)
        return cluster.with_status(phase=ClusterPhase.LOCKED, epoch=cluster.status.epoch + 1, **fields)

    async def fail(self, claim: Claim, reason: str, message: str, *, final: bool = False) -> PooledCluster:
        """End the operation badly: `error` if it is `final` or its attempts are used up, else its phase for a retry.

        `reason` is one CamelCase word, `message` one line. A session that waited for a reset in place is ended when
        the cluster goes to `error`. Raises StaleOperation.
        """
        lost: list[str] = []

        def change(cluster: PooledCluster) -> PooledCluster:
            lost.clear()
            operation, before = _owned(cluster, claim), cluster.status.failure
            attempts = max(operation.attempt, (before.attempts if before else 0) + 1)
            since = before.since if before else self.store.now()
            text = " ".join(message.split())[:4096]
            failure = Failure(reason=reason, message=text, since=since, attempts=attempts)
            cluster = cluster.with_status(operation=None, failure=failure)
            if not final and attempts < self.store.settings.reset_attempts:
                return cluster
            if cluster.status.assigned_session:
                lost.append(cluster.status.assigned_session)
            return unlocked(cluster, ClusterPhase.ERROR)

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
        session = await self.store.find_session(name)
        if session is None:
            return

        def end(now_there: Any) -> Any:
            mine = now_there.phase is SessionPhase.ACTIVE and now_there.status.assigned_cluster == cluster_id
            if not mine:
                return now_there
            return now_there.with_status(phase=SessionPhase.RELEASED, ended_at=self.store.now(), message=message)

        await self.store.change_session(name, end)

    async def _renew_epoch(self, cluster: PooledCluster) -> None:
        """Tell the session its cluster's new epoch; should this not be reached, the next observation does it."""
        session = await self.store.find_session(cluster.status.assigned_session or "")
        if session is not None and session.metadata.uid == cluster.status.assigned_session_uid:
            epoch = cluster.status.epoch

            def renew(now_there: Any) -> Any:
                mine = now_there.phase is SessionPhase.ACTIVE and now_there.status.assigned_cluster == cluster.name
                return now_there.with_status(epoch=epoch) if mine else now_there

            await self.store.change_session(session.name, renew)

    async def set_condition(self, cluster_id: str, condition: Condition) -> PooledCluster:
        """Note a health check's result on a cluster, whoever holds it; it changes no phase."""
        now = self.store.now()

        def change(cluster: PooledCluster) -> PooledCluster:
            return with_condition(cluster, condition).with_status(last_health_check=now)

        return await self.store.change_cluster(cluster_id, change, Why("health check"))


def with_condition(cluster: PooledCluster, condition: Condition) -> PooledCluster:
    """The cluster with this condition; its time stays when its status did not change."""
    before = cluster.status.condition(condition.type)
    if before is not None and before.status is condition.status:
        condition = condition.changed(last_transition_time=before.last_transition_time)
    others = [other for other in cluster.status.conditions if other.type is not condition.type]
    return cluster.with_status(conditions=sorted([*others, condition], key=lambda one: one.type))


def _true(kind: ConditionType, reason: str, message: str, now: datetime) -> Condition:
    return Condition(type=kind, status=ConditionStatus.TRUE, reason=reason, message=message, last_transition_time=now)


def _owned(cluster: PooledCluster, claim: Claim) -> Operation:
    operation = cluster.status.operation
    # The session may leave during a reset in place: that changes no epoch, the reset goes on.
    if operation is None or operation.run_id != claim.run_id or cluster.status.epoch != claim.epoch:
        actual = "no operation" if operation is None else f"{operation.kind} of run {operation.run_id}"
        raise StaleOperation(
            f"run {claim.run_id} does not own {cluster.name} any more",
            expected=f"{claim.kind} of run {claim.run_id} at epoch {claim.epoch}",
            actual=f"{actual} at epoch {cluster.status.epoch}",
            cure="stop this run; the other one carries on",
        )
    return operation


def _begin_phase(cluster: PooledCluster, kind: OperationKind) -> ClusterPhase:
    phase = BEGINS.get((kind, cluster.phase))
    if phase is None:
        raise IllegalTransition(
            f"{cluster.name} is not in a phase for {kind}",
            expected=" or ".join(str(begin) for k, begin in BEGINS if k is kind),
            actual=cluster.phase,
        )
    return phase


def _check_holder(cluster: PooledCluster, session_id: str, epoch: int | None) -> None:
    status = cluster.status
    if status.assigned_session != session_id or epoch not in (None, status.epoch):
        raise NotHolder(
            f"{cluster.name} is not reset in place",
            expected=f"it to be held by session {session_id}" + (f" at epoch {epoch}" if epoch is not None else ""),
            actual=f"session {status.assigned_session} at epoch {status.epoch}",
        )
