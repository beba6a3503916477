"""A pool as its page shows it, at one moment: clusters, who waits, what happened last. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from heapq import nlargest
from typing import Any, Self

from pydantic import Field

from pool.core.clusters import ConditionType, OperationKind, PooledCluster
from pool.core.contract import ClusterPool
from pool.core.fields import Model, Time
from pool.core.resource import ConditionStatus
from pool.core.sessions import Session
from pool.kube.client import Object
from pool.kube.views import version_of

LAST_EVENTS = 20
"""How many of the last events are shown."""


class RunningOperation(Model):
    """What is being done with a cluster."""

    kind: OperationKind
    started_at: Time
    attempt: int
    """Which attempt, counting those that failed since the last success."""


class LastFailure(Model):
    """Why the last operation failed."""

    reason: str
    message: str
    since: Time
    attempts: int


class ClusterDetail(ClusterPool):
    """One cluster, with what an operator wants to see of it."""

    epoch: int
    cordoned: bool
    removing: bool
    operation: RunningOperation | None
    expires_at: Time | None
    """When its session's time ends."""
    last_reset_seconds: int | None
    """How long its last reset took: what the next one is expected to take."""
    healthy: bool | None
    """Whether the guest was healthy when it was looked at last; null: not known."""
    health_message: str
    failure: LastFailure | None

    @classmethod
    def of(cls, cluster: PooledCluster) -> Self:
        """The cluster as the page shows it."""
        status = cluster.status
        health = status.condition(ConditionType.GUEST_HEALTHY)
        known = health is not None and health.status is not ConditionStatus.UNKNOWN
        return cls.model_validate(
            dict(ClusterPool.of(cluster))
            | {
                "epoch": status.epoch,
                "cordoned": cluster.spec.cordoned,
                "removing": cluster.removing,
                "operation": _operation(cluster),
                "expires_at": status.expires_at,
                "last_reset_seconds": status.last_reset_seconds,
                "healthy": health.status is ConditionStatus.TRUE if health and known else None,
                "health_message": health.message if health else "",
                "failure": _failure(cluster),
            }
        )


class Waiting(Model):
    """A session that waits for a cluster."""

    session_id: str
    place: int
    """From 1, who is served first."""
    since: Time | None
    priority: int


class PoolEvent(Model):
    """One change of a cluster's phase."""

    at: Time
    cluster: str
    message: str
    warning: bool

    @classmethod
    def of(cls, event: Object) -> Self:
        """A Kubernetes Event as the page shows it."""
        at = event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"]
        about, message = event["involvedObject"]["name"], event.get("message", "")
        return cls.model_validate(
            {"at": at, "cluster": about, "message": message, "warning": event.get("type") == "Warning"}
        )


class PoolSnapshot(Model):
    """A pool at one moment."""

    pool: str
    pools: list[str]
    """All there are."""
    outage_since: Time | None = None
    """Since when the host's API does not answer: all else is the last that was seen. Null: it answers."""
    clusters: list[ClusterDetail] = Field(default_factory=list)
    queue: list[Waiting] = Field(default_factory=list)
    events: list[PoolEvent] = Field(default_factory=list)
    """The last ones, the newest first."""

    @classmethod
    def of(
        cls,
        pool: str,
        pools: Iterable[str],
        clusters: Iterable[PooledCluster],
        waiting: Sequence[Session],
        events: Iterable[Object],
        outage_since: datetime | None = None,
    ) -> Self:
        """The pool's part of what is given; `waiting` is the queue of all pools, in its order."""
        mine = sorted((one for one in clusters if one.spec.pool == pool), key=lambda one: (len(one.name), one.name))
        names = {one.name for one in mine}
        about = (event for event in events if event["involvedObject"]["name"] in names)
        newest = nlargest(LAST_EVENTS, about, key=version_of)
        places = enumerate((session for session in waiting if session.spec.pool == pool), start=1)
        return cls(
            pool=pool,
            pools=sorted(pools),
            outage_since=outage_since,
            clusters=[ClusterDetail.of(one) for one in mine],
            queue=[_waiting(session, place) for place, session in places],
            events=[PoolEvent.of(event) for event in newest],
        )


def _waiting(session: Session, place: int) -> Waiting:
    since = session.metadata.creation_timestamp
    return Waiting(session_id=session.name, place=place, since=since, priority=session.spec.priority)


def _operation(cluster: PooledCluster) -> dict[str, Any] | None:
    operation = cluster.status.operation
    if operation is None:
        return None
    return {"kind": operation.kind, "started_at": operation.started_at, "attempt": operation.attempt}


def _failure(cluster: PooledCluster) -> dict[str, Any] | None:
    failure = cluster.status.failure
    if failure is None:
        return None
    facts = {"reason": failure.reason, "message": failure.message}
    return facts | {"since": failure.since, "attempts": failure.attempts}
