"""What a change of a cluster or a session is worth telling, in numbers. Pure: the object before, and after.

Whoever makes the change, the view shows it: so a gateway counts the worker's operations and assignments as its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pool.core.clusters import Failure, OperationKind, PooledCluster
from pool.core.lifecycle import SessionPhase
from pool.core.sessions import Session

UNATTESTED = "AttestationFailed"
"""Reason of the failure of a cluster that could not be proved clean."""
NEAR = timedelta(seconds=5)
"""How far a Session's `requestedAt` may be from its creation, which says whole seconds only: it is the asker's word."""


class Outcome(StrEnum):
    """How a run's work on a cluster ended."""

    SUCCEEDED = "succeeded"
    """Well."""
    FAILED = "failed"
    """By a fault of its own: an attempt is used up."""
    INTERRUPTED = "interrupted"
    """By an outage of the host's API; no attempt is used up."""
    TAKEN_OVER = "taken-over"
    """It fell silent, and another run took over."""
    ABANDONED = "abandoned"
    """Its session left during a reset in place, or the cluster was removed."""


@dataclass(frozen=True)
class Operated:
    """A run ended its work on a cluster, `seconds` after it began."""

    pool: str
    kind: OperationKind
    outcome: Outcome
    seconds: float


@dataclass(frozen=True)
class Assigned:
    """A session got its cluster, `seconds` after it was asked for."""

    pool: str
    seconds: float


@dataclass(frozen=True)
class Unattested:
    """A cluster could not be proved clean."""

    pool: str


Observation = Operated | Assigned | Unattested


def of_cluster(before: PooledCluster | None, after: PooledCluster | None, now: datetime) -> Iterator[Observation]:
    """What is to be told of a change of a cluster. One seen for the first time, or unreadable, tells nothing."""
    if before is None or before.unreadable or (after is not None and after.unreadable):
        return
    if after is not None and after.metadata.uid != before.metadata.uid:
        after = None
    yield from _operated(before, after, now)
    if after is not None and _failed_anew(before, after) and _failure(after).reason == UNATTESTED:
        yield Unattested(after.spec.pool)


def _operated(before: PooledCluster, after: PooledCluster | None, now: datetime) -> Iterator[Operated]:
    operation = before.status.operation
    if operation is None:
        return
    if after is None:
        removed = operation.kind is OperationKind.TEARDOWN
        outcome, end = Outcome.SUCCEEDED if removed else Outcome.ABANDONED, now
    else:
        goes_on = after.status.operation
        if goes_on is not None and (goes_on.kind, goes_on.run_id) == (operation.kind, operation.run_id):
            return
        outcome = _outcome(before, after)
        end = _end(after, outcome, operation.started_at) or now
    seconds = max(0.0, (end - operation.started_at).total_seconds())
    yield Operated(before.spec.pool, operation.kind, outcome, seconds)


def _outcome(before: PooledCluster, after: PooledCluster) -> Outcome:
    was, now = before.status, after.status
    if now.takeovers > was.takeovers:
        return Outcome.TAKEN_OVER
    if _failed_anew(before, after):
        return Outcome.FAILED
    if now.outage is not None and now.outage != was.outage:
        return Outcome.INTERRUPTED
    if was.assigned_session != now.assigned_session:
        return Outcome.ABANDONED
    return Outcome.SUCCEEDED


def _end(after: PooledCluster, outcome: Outcome, started: datetime) -> datetime | None:
    """When it ended, as far as the cluster says: what is told after an interruption of the watch ended long before."""
    status = after.status
    if outcome is Outcome.FAILED:
        return _failure(after).last_time
    if outcome is Outcome.INTERRUPTED and status.outage is not None:
        return status.outage.last_time
    if outcome is Outcome.SUCCEEDED and status.last_reset is not None and status.last_reset >= started:
        return status.last_reset
    return None


def _failure(cluster: PooledCluster) -> Failure:
    assert cluster.status.failure is not None
    return cluster.status.failure


def _failed_anew(before: PooledCluster, after: PooledCluster) -> bool:
    was, now = before.status.failure, after.status.failure
    if now is None:
        return False
    return was is None or now.attempts > was.attempts or now.since != was.since


def of_session(before: Session | None, after: Session | None) -> Iterator[Observation]:
    """What is to be told of a change of a session: that it got its cluster, if it was seen to wait for one."""
    if before is None or after is None or before.phase is not SessionPhase.PENDING:
        return
    locked, asked = after.status.cluster_lock_time, _asked(after)
    if after.phase is SessionPhase.ACTIVE and locked is not None and asked is not None:
        yield Assigned(after.spec.pool, max(0.0, (locked - asked).total_seconds()))


def _asked(session: Session) -> datetime | None:
    """When the session was asked for, as finely as can be believed."""
    created, asked = session.metadata.creation_timestamp, session.spec.requested_at
    if created is None or asked is None or abs(asked - created) > NEAR:
        return created
    return asked


__all__ = ["Assigned", "Observation", "Operated", "Outcome", "Unattested", "of_cluster", "of_session"]
