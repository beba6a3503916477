"""What an operation may do to a cluster: pure functions from a cluster, as read, to the cluster to write.

A run owns a cluster by its `status.operation`. As long as it lives nobody else gets it; once it is silent (which
`pool.state.silence` judges) another run takes over, and everything the first one still tries raises `StaleOperation`. A
locked cluster is only touched for its own session (reset in place) or when an operator forces it.

Three things are told apart and counted apart since the last success: failures (`failure.attempts`, which are limited),
outages of the host's API (`outage.count`) and runs that were taken over (`takeovers`), which use up nothing.

What an operation may have used is not clean: `clean` goes when one begins, and comes back with the attestation at the
end of one. A cluster on its way out is torn down and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pool.core.clusters import (
    ClusterCondition,
    ConditionType,
    Failure,
    Golden,
    Operation,
    OperationKind,
    Outage,
    PooledCluster,
)
from pool.core.errors import AttestationFailed, IllegalTransition, NotHolder, OperationInProgress, StaleOperation
from pool.core.lifecycle import ClusterPhase
from pool.core.resource import ConditionStatus

_C, _K = ClusterPhase, OperationKind

BEGINS: dict[tuple[OperationKind, ClusterPhase], ClusterPhase] = {
    (_K.BOOTSTRAP, _C.CREATING): _C.CREATING,
    (_K.GOLDEN, _C.CREATING): _C.CREATING,
    (_K.GOLDEN, _C.AVAILABLE): _C.RESETTING,
    (_K.RESET, _C.RESETTING): _C.RESETTING,
    (_K.RESET, _C.AVAILABLE): _C.RESETTING,
    (_K.RESET, _C.ERROR): _C.RESETTING,
    (_K.REBUILD, _C.CREATING): _C.CREATING,
    (_K.REBUILD, _C.AVAILABLE): _C.CREATING,
    (_K.REBUILD, _C.RESETTING): _C.CREATING,
    (_K.REBUILD, _C.ERROR): _C.CREATING,
    (_K.TEARDOWN, _C.CREATING): _C.CREATING,
    (_K.TEARDOWN, _C.AVAILABLE): _C.RESETTING,
    (_K.TEARDOWN, _C.RESETTING): _C.RESETTING,
    (_K.TEARDOWN, _C.ERROR): _C.ERROR,
}
"""From which phase an operation may begin, and the phase it puts the cluster into: never one that is assignable.

Three things are not in it, see `begun`: a held cluster is taken from its session first, or kept for it; the golden
snapshots of a cluster taken out of service for them are carried on by a run that takes over (any other `resetting`
cluster may have been used, and what was used never becomes golden); a teardown wants a cluster that is being removed,
and the others one that is not.
"""


@dataclass(frozen=True)
class Ownership:
    """What a run holds: the cluster, the kind of operation, its run ID, the word of this beginning, the epoch then, the
    attempt."""

    cluster_id: str
    kind: OperationKind
    run_id: str
    word: str
    epoch: int
    attempt: int


@dataclass(frozen=True)
class Request:
    """What a run wants to do. `session_id` asks for a reset in place; `force` takes a locked cluster from its session;
    both only at `epoch`, if one is given. `if_waiting` refuses a cluster that does not wait for a reset, or is
    cordoned; `unless_cordoned` refuses one that is cordoned."""

    kind: OperationKind
    run_id: str
    session_id: str | None = None
    epoch: int | None = None
    force: bool = False
    if_waiting: bool = False
    unless_cordoned: bool = False


def unlocked(cluster: PooledCluster, phase: ClusterPhase) -> PooledCluster:
    """The cluster in `phase`, nobody's and worked on by nobody. The epoch stays: it counts handovers, not returns.

    A reset in place ends with it: its session may have used what was restored already.
    """
    return cluster.with_status(
        phase=phase, assigned_session=None, assigned_session_uid=None, lock_time=None, expires_at=None, operation=None
    )


def begun(cluster: PooledCluster, request: Request, now: datetime, *, word: str, silent: bool) -> PooledCluster:
    """The cluster claimed by the run; for the run that has it already, its ownership renewed.

    `word`: this beginning's own. What began under another is stale from here on, even if it is the same run, which is
    carried out again while its first process only stood still.
    `silent`: whether the run that works on it was watched and gave no sign of life, if there is one.
    Raises NotHolder, OperationInProgress (another run works on it and is not silent), IllegalTransition.
    """
    _check_removal(cluster, request)
    if request.if_waiting and not waits(cluster):
        raise IllegalTransition(
            f"{cluster.name} does not wait for a reset",
            expected="resetting, and not cordoned",
            actual=f"{cluster.phase}{', cordoned' if cluster.spec.cordoned else ''}",
        )
    if request.unless_cordoned and cluster.spec.cordoned:
        raise IllegalTransition(
            f"{cluster.name} was cordoned",
            expected="one on which work that was planned may begin",
            actual="cordoned",
            cure=f"uncordon it, or start {request.kind} by hand",
        )
    if request.session_id is not None:
        _check_holder(cluster, request)
    before = cluster.status.operation
    own = before is not None and (before.run_id, before.kind) == (request.run_id, request.kind)
    if before is not None and not own:
        if not silent:
            raise _in_progress(cluster, before)
        cluster = cluster.with_status(takeovers=cluster.status.takeovers + 1)
    if cluster.status.assigned_session is not None:
        cluster = _begun_held(cluster, request)
    phase = BEGINS.get((request.kind, cluster.phase))
    if before is not None and before.kind is request.kind is OperationKind.GOLDEN:
        phase = cluster.phase
    if phase is None:
        raise IllegalTransition(
            f"{cluster.name} is not in a phase for {request.kind}",
            expected=" or ".join(str(begin) for kind, begin in BEGINS if kind is request.kind),
            actual=cluster.phase,
        )
    started = before.started_at if before is not None and before.run_id == request.run_id else now
    if cluster.status.rebuilding and request.kind in (OperationKind.BOOTSTRAP, OperationKind.GOLDEN):
        raise IllegalTransition(
            f"{cluster.name} is half rebuilt", expected="a rebuild", actual=request.kind, cure="run rebuild-cluster"
        )
    if request.kind is OperationKind.REBUILD and (before is None or before.run_id != request.run_id):
        # The snapshots go with the VMs they were taken of, and with them all that was known.
        cluster = cluster.with_status(golden=None, conditions=[], rebuilding=True)
    if cluster.phase is ClusterPhase.ERROR:
        # A repair starts counting anew; what failed before is in the cluster's events.
        cluster = cluster.with_status(failure=None, outage=None, takeovers=0)
    failures = cluster.status.failure.attempts if cluster.status.failure else 0
    operation = Operation(
        kind=request.kind,
        run_id=request.run_id,
        word=word,
        started_at=started,
        heartbeat_at=now,
        attempt=failures + 1,
    )
    return cluster.with_status(phase=phase, operation=operation, clean=False)


def waits(cluster: PooledCluster) -> bool:
    """Whether the cluster is out of service until it is reset, and nobody wants it left as it is, or gone."""
    return cluster.phase is ClusterPhase.RESETTING and not cluster.removing and not cluster.spec.cordoned


def _check_removal(cluster: PooledCluster, request: Request) -> None:
    if cluster.removing and request.kind is not OperationKind.TEARDOWN:
        raise IllegalTransition(
            f"{cluster.name} is being removed",
            expected="a teardown",
            actual=request.kind,
            cure="once it is gone, bootstrap-pool makes it anew",
        )
    if request.kind is OperationKind.TEARDOWN and not cluster.removing:
        raise IllegalTransition(
            f"{cluster.name} is not being removed",
            expected="a deleted PooledCluster",
            actual="one that is wanted",
            cure=f"delete it: kubectl -n {cluster.metadata.namespace} delete pcl {cluster.name}",
        )


def _check_holder(cluster: PooledCluster, request: Request) -> None:
    status = cluster.status
    if status.assigned_session != request.session_id or request.epoch not in (None, status.epoch):
        at = f" at epoch {request.epoch}" if request.epoch is not None else ""
        raise NotHolder(
            f"{cluster.name} is not reset in place",
            expected=f"it to be held by session {request.session_id}{at}",
            actual=f"session {status.assigned_session} at epoch {status.epoch}",
        )


def _in_progress(cluster: PooledCluster, operation: Operation) -> OperationInProgress:
    return OperationInProgress(
        f"{cluster.name} is being worked on",
        expected="no live operation",
        actual=f"{operation.kind} by run {operation.run_id}, heartbeat at {operation.heartbeat_at:%H:%M:%S} UTC",
        cure="wait for it; a run that gives no sign of life any more is taken over",
    )


def _begun_held(cluster: PooledCluster, request: Request) -> PooledCluster:
    in_place = request.kind is OperationKind.RESET and not request.force
    if in_place and (request.session_id is not None or cluster.phase is ClusterPhase.RESETTING):
        # A reset in place begins, or is carried on: whoever does that keeps the cluster for its session.
        return cluster.with_status(phase=ClusterPhase.RESETTING)
    if request.force:
        if request.epoch not in (None, cluster.status.epoch):
            raise NotHolder(
                f"{cluster.name} is not taken from its session",
                expected=f"it at epoch {request.epoch}, as when that was asked for",
                actual=f"held by session {cluster.status.assigned_session} at epoch {cluster.status.epoch}",
                cure="look who holds it now, and ask again",
            )
        return unlocked(cluster, ClusterPhase.RESETTING)
    raise IllegalTransition(
        f"{cluster.name} is locked",
        expected=f"a cluster nobody holds, for {request.kind}",
        actual=f"locked by session {cluster.status.assigned_session}",
        cure="release the session, or force it",
    )


def owned(cluster: PooledCluster, owner: Ownership) -> Operation:
    """The operation, if it still is the run's. Raises StaleOperation.

    A session that leaves during a reset in place ends it: the run is stale, and the cluster waits for another reset.
    """
    operation, epoch = cluster.status.operation, cluster.status.epoch
    if operation is None or (operation.run_id, operation.word, epoch) != (owner.run_id, owner.word, owner.epoch):
        actual = "no operation" if operation is None else f"{operation.kind} of run {operation.run_id}"
        if operation is not None and operation.run_id == owner.run_id and operation.word != owner.word:
            actual += ", carried out twice and begun again since,"
        raise StaleOperation(
            f"run {owner.run_id} does not own {cluster.name} any more",
            expected=f"{owner.kind} of run {owner.run_id} at epoch {owner.epoch}",
            actual=f"{actual} at epoch {epoch}",
            cure="stop this run; the other one carries on",
        )
    return operation


def finished(
    cluster: PooledCluster, owner: Ownership, attested: Mapping[ConditionType, str] | None, now: datetime
) -> PooledCluster:
    """The cluster after the operation's good end; with evidence of every condition it is assignable again.

    Raises StaleOperation, AttestationFailed.
    """
    started = owned(cluster, owner).started_at
    rebuilding = cluster.status.rebuilding and owner.kind is not OperationKind.REBUILD
    cluster = cluster.with_status(operation=None, failure=None, outage=None, takeovers=0, rebuilding=rebuilding)
    if attested is None:
        return cluster
    missing = [str(kind) for kind in ConditionType if not attested.get(kind)]
    missing += [] if cluster.status.golden is not None else ["golden generation"]
    if missing:
        raise AttestationFailed(
            f"{cluster.name} does not become available", expected="evidence", actual=f"none of {', '.join(missing)}"
        )
    for kind, evidence in attested.items():
        cluster = with_condition(cluster, true(kind, "Attested", evidence, now))
    fields: dict[str, Any] = {"last_reset": now, "last_health_check": now}
    if owner.kind is OperationKind.RESET:
        fields["last_reset_seconds"] = max(0, round((now - started).total_seconds()))
    if cluster.status.assigned_session is None:
        return cluster.with_status(phase=ClusterPhase.AVAILABLE, clean=True, **fields)
    return cluster.with_status(phase=ClusterPhase.LOCKED, epoch=cluster.status.epoch + 1, **fields)


def failed(
    cluster: PooledCluster, owner: Ownership, reason: str, message: str, now: datetime, *, last: int
) -> PooledCluster:
    """The cluster after a failed attempt: `error` and held by nobody from the `last` attempt on, else as it is.

    Raises StaleOperation.
    """
    owned(cluster, owner)
    before = cluster.status.failure
    failure = Failure(
        reason=reason,
        message=_line(message),
        since=before.since if before else now,
        last_time=now,
        attempts=(before.attempts if before else 0) + 1,
    )
    cluster = cluster.with_status(operation=None, failure=failure)
    return cluster if failure.attempts < last else unlocked(cluster, ClusterPhase.ERROR)


def interrupted(cluster: PooledCluster, owner: Ownership, message: str, now: datetime) -> PooledCluster:
    """The cluster after a run that an outage of the host's API ended: as it is, for the next run.

    That says nothing about the cluster, so it uses up no attempt however often it happens. Raises StaleOperation.
    """
    owned(cluster, owner)
    before = cluster.status.outage
    outage = Outage(
        message=_line(message),
        since=before.since if before else now,
        last_time=now,
        count=before.count + 1 if before else 1,
    )
    return cluster.with_status(operation=None, outage=outage)


def _line(message: str) -> str:
    return " ".join(message.split())[:4096]


def last_failed(failure: Failure) -> datetime:
    """When the last of the attempts failed."""
    return failure.last_time or failure.since


def with_golden(cluster: PooledCluster, golden: Golden, message: str, now: datetime) -> PooledCluster:
    """The cluster with a verified golden generation. Raises IllegalTransition for one older than it has."""
    held = cluster.status.golden
    if held is not None and golden.generation < held.generation:
        raise IllegalTransition(
            f"golden generation of {cluster.name}", expected=f"at least {held.generation}", actual=golden.generation
        )
    condition = true(ConditionType.GOLDEN_READY, "Verified", message, now)
    return with_condition(cluster.with_status(golden=golden), condition)


def with_condition(cluster: PooledCluster, condition: ClusterCondition) -> PooledCluster:
    """The cluster with this condition; its time stays when its status did not change."""
    before = cluster.status.condition(condition.type)
    if before is not None and before.status is condition.status:
        condition = condition.changed(last_transition_time=before.last_transition_time)
    others = [other for other in cluster.status.conditions if other.type is not condition.type]
    return cluster.with_status(conditions=sorted([*others, condition], key=lambda one: one.type))


def true(kind: ConditionType, reason: str, message: str, now: datetime) -> ClusterCondition:
    """The condition, True, with its evidence."""
    return ClusterCondition(
        type=kind, status=ConditionStatus.TRUE, reason=reason, message=message, last_transition_time=now
    )
