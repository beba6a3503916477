"""Who gets which cluster, and what half-done handovers need: decisions only, on what was observed.

`bindings` pairs the queue with the free clusters; every process that sees the same pool computes the same pairs, so
helpers do not collide. `repairs` finds what a crash, a lost race or a hand-edited object left behind.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
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


@dataclass(frozen=True)
class Activate:
    """The cluster is locked for the pending session; only the session does not say so yet."""

    session: Session
    cluster: PooledCluster


@dataclass(frozen=True)
class TakeBack:
    """The lock is surplus, for its session was served elsewhere, or its session is over or gone: reset the cluster.

    Whoever wrote the lock could have used the cluster, so it is not clean any more.
    """

    cluster: PooledCluster
    reason: str


@dataclass(frozen=True)
class Settle:
    """The session says Active, but its cluster is not its own (any more): end it, leave the cluster alone.

    `clear`: the cluster is another's or gone, so the session must not name it any longer.
    """

    session: Session
    reason: str
    clear: bool


@dataclass(frozen=True)
class Sync:
    """The session's copy of epoch and end is behind its cluster's."""

    session: Session
    cluster: PooledCluster


Repair = Activate | TakeBack | Settle | Sync


def holds(cluster: PooledCluster, session: Session) -> bool:
    """Whether the cluster is locked for (or being reset in place for) this very session, not a namesake."""
    status = cluster.status
    return status.assigned_session == session.name and status.assigned_session_uid in (session.metadata.uid, None)


def patience_ends(session: Session, grace: timedelta) -> datetime | None:
    """When a pending session loses its place because nobody waits for it any more; None: never."""
    created, wait = session.metadata.creation_timestamp, session.spec.wait_seconds
    return None if created is None or wait is None else created + timedelta(seconds=wait) + grace


def silence_ends(session: Session) -> datetime | None:
    """When an active session that promised heartbeats counts as abandoned; None: never. The first is its assignment."""
    timeout, status = session.spec.heartbeat_timeout_seconds, session.status
    last = max((at for at in (status.last_heartbeat, status.cluster_lock_time) if at is not None), default=None)
    if session.phase is not SessionPhase.ACTIVE or timeout is None or last is None:
        return None
    return last + timedelta(seconds=timeout)


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
    health = cluster.status.condition(ConditionType.GUEST_HEALTHY)
    return (
        cluster.phase is ClusterPhase.AVAILABLE
        and cluster.status.clean
        and not cluster.spec.cordoned
        and (health is None or health.status is not ConditionStatus.FALSE)
        and not cluster.removing
    )


def rested(cluster: PooledCluster) -> tuple[datetime, str]:
    """What free clusters are ordered by: since when they rest, then their name."""
    return cluster.status.last_reset or LONG_AGO, cluster.name


def bindings(
    sessions: Iterable[Session], clusters: Iterable[PooledCluster], now: datetime, grace: timedelta = timedelta()
) -> list[Binding]:
    """First in the queue gets the longest-rested cluster, and so on; nobody twice, nothing twice.

    Sessions a cluster is locked for already are left out: they need `Activate`, not another cluster.
    """
    clusters = list(clusters)
    locked = {cluster.status.assigned_session for cluster in clusters}
    waiting = (session for session in queue(sessions, now, grace) if session.name not in locked)
    return [Binding(session, cluster) for session, cluster in zip(waiting, free(clusters), strict=False)]


def choose(candidates: Sequence[PooledCluster], session_id: str, losses: int) -> PooledCluster:
    """The candidate to try (longest-rested first): the first, or after lost races one spread by session ID.

    The spread doubles with every loss, so that many writers who saw the same pool soon part ways.
    """
    if not losses:
        return candidates[0]
    spread = min(len(candidates), 4 << losses)
    return candidates[zlib.crc32(f"{session_id}/{losses}".encode()) % spread]


def place(session: Session, waiting: Sequence[Session]) -> str:
    """The session's place in the queue, in words."""
    names = [other.name for other in waiting]
    if session.name not in names:
        return "not in the queue"
    return f"place {names.index(session.name) + 1} of {len(names)} in the queue"


def repairs(sessions: Iterable[Session], clusters: Iterable[PooledCluster]) -> list[Repair]:
    """What half-done handovers need. `sessions` must have been read before `clusters`.

    Then an active session whose cluster is not its own really lost it: a lock comes before `Active` and never after.
    A session that is missing may still have been created in between, so whoever acts on that reads it again.
    """
    sessions, clusters = list(sessions), list(clusters)
    by_name = {session.name: session for session in sessions}
    activated: set[str] = set()
    found: list[Repair] = []
    for cluster in sorted(clusters, key=lambda cluster: cluster.name):
        repair = _lock_repair(cluster, by_name)
        if isinstance(repair, Activate):
            # Two locks for one session: the second is surplus only once the first is Active.
            if repair.session.name in activated:
                continue
            activated.add(repair.session.name)
        found += [repair] if repair else []
    return [*found, *_lost(sessions, {cluster.name: cluster for cluster in clusters})]


def _lock_repair(cluster: PooledCluster, sessions: dict[str, Session]) -> Repair | None:
    name = cluster.status.assigned_session
    if name is None:
        return None
    session = sessions.get(name)
    if session is None or not holds(cluster, session):
        return TakeBack(cluster, f"session {name} is gone")
    used = session.status.assigned_cluster == cluster.name
    if session.phase is SessionPhase.PENDING:
        return Activate(session, cluster) if cluster.phase is ClusterPhase.LOCKED else None
    if used and session.phase is SessionPhase.ACTIVE:
        return None if _in_sync(session, cluster) else Sync(session, cluster)
    if used or cluster.phase is not ClusterPhase.LOCKED:
        return TakeBack(cluster, f"session {name} is {session.phase.lower()}")
    return TakeBack(cluster, f"session {name} was not handed this cluster")


def _in_sync(session: Session, cluster: PooledCluster) -> bool:
    return (session.status.epoch, session.status.expires_at) == (cluster.status.epoch, cluster.status.expires_at)


def _lost(sessions: Iterable[Session], clusters: dict[str, PooledCluster]) -> Iterator[Settle]:
    for session in sessions:
        if session.phase is SessionPhase.ACTIVE:
            cluster = clusters.get(session.status.assigned_cluster or "")
            if cluster is None or not holds(cluster, session):
                clear = cluster is None or cluster.status.assigned_session is not None
                yield Settle(session, f"{session.status.assigned_cluster} is not its cluster any more", clear)
