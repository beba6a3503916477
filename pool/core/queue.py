"""Who gets which cluster: decisions only, on what was observed.

`bindings` pairs the queue with the free clusters, each Pool's apart; every process that sees the same computes the
same pairs, so they do not collide, and nobody passes who waits longer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pool.core.clusters import ConditionType, PooledCluster
from pool.core.lifecycle import ClusterPhase, SessionPhase
from pool.core.resource import ConditionStatus
from pool.core.sessions import Session

LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Binding:
    """This pending session gets this free cluster."""

    session: Session
    cluster: PooledCluster


def holds(cluster: PooledCluster, session: Session) -> bool:
    """Whether the cluster is locked for (or being reset in place for) this very session, not a namesake."""
    status = cluster.status
    return status.assigned_session == session.name and status.assigned_session_uid in (session.metadata.uid, None)


def patience_ends(session: Session, grace: timedelta) -> datetime | None:
    """When a pending session loses its place because nobody waits for it any more; None: never."""
    created, wait = session.metadata.creation_timestamp, session.spec.wait_seconds
    return None if created is None or wait is None else created + timedelta(seconds=wait) + grace


def queue(sessions: Iterable[Session], now: datetime, grace: timedelta) -> list[Session]:
    """The pending sessions that somebody still waits for: by priority, then age."""
    return sorted((session for session in sessions if _waits(session, now, grace)), key=_rank)


def _waits(session: Session, now: datetime, grace: timedelta) -> bool:
    if session.phase is not SessionPhase.PENDING or session.metadata.deletion_timestamp:
        return False
    end = patience_ends(session, grace)
    return end is None or now < end


def _rank(session: Session) -> tuple[int, datetime, datetime, str]:
    spec, created = session.spec, session.metadata.creation_timestamp or LONG_AGO
    return -spec.priority, created, spec.requested_at or created, session.name


def free(clusters: Iterable[PooledCluster]) -> list[PooledCluster]:
    """The clusters that may be assigned, the longest-rested first."""
    return sorted((cluster for cluster in clusters if is_free(cluster)), key=rested)


def is_free(cluster: PooledCluster) -> bool:
    """Available and clean, not cordoned, not known to be unhealthy, not being removed."""
    if cluster.phase is not ClusterPhase.AVAILABLE or not cluster.status.clean or cluster.spec.cordoned:
        return False
    health = cluster.status.condition(ConditionType.GUEST_HEALTHY)
    return not cluster.removing and (health is None or health.status is not ConditionStatus.FALSE)


def rested(cluster: PooledCluster) -> tuple[datetime, str]:
    """What free clusters are ordered by: since when they rest, then their name."""
    return cluster.status.last_reset or LONG_AGO, cluster.name


def bindings(
    sessions: Iterable[Session], clusters: Iterable[PooledCluster], now: datetime, grace: timedelta = timedelta()
) -> list[Binding]:
    """First in the queue gets the longest-rested cluster of its Pool, and so on; nobody twice, nothing twice.

    Sessions a cluster is locked for already are left out: they need `Activate`, not another cluster.
    """
    clusters = list(clusters)
    held = [cluster for cluster in clusters if cluster.status.assigned_session is not None]
    rested_first: dict[str, list[PooledCluster]] = defaultdict(list)
    for cluster in reversed(free(clusters)):
        rested_first[cluster.spec.pool].append(cluster)
    waiting = [one for one in queue(sessions, now, grace) if not any(holds(cluster, one) for cluster in held)]
    return [Binding(one, rested_first[one.spec.pool].pop()) for one in waiting if rested_first[one.spec.pool]]


@dataclass(frozen=True)
class Place:
    """The `number`th of `length` who wait for a Pool, from 1."""

    number: int
    length: int


def place(session: Session, waiting: Iterable[Session]) -> Place | None:
    """The session's place in the queue for its Pool; None for one that lost it."""
    return places(waiting).get(session.name)


def places(waiting: Iterable[Session]) -> dict[str, Place]:
    """The places of all who wait, each in the queue for its Pool, by the sessions' names."""
    names: dict[str, list[str]] = defaultdict(list)
    for session in waiting:
        names[session.spec.pool].append(session.name)
    return {name: Place(number, len(of)) for of in names.values() for number, name in enumerate(of, 1)}


def in_words(place: Place | None) -> str:
    """As a session's message tells it."""
    return f"place {place.number} of {place.length} in the queue" if place else "not in the queue"
