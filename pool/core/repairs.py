"""What a crash, a lost race or a hand-edited object left of a handover: decisions only, on what was observed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pool.core.clusters import PooledCluster
from pool.core.lifecycle import ClusterPhase, SessionPhase
from pool.core.queue import holds
from pool.core.sessions import Session


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
        # What cannot be read is not understood: it keeps what it holds.
        repair = None if cluster.unreadable else _lock_repair(cluster, by_name)
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
    if session.unreadable:
        return None
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
        if session.phase is SessionPhase.ACTIVE and not session.unreadable:
            cluster = clusters.get(session.status.assigned_cluster or "")
            if cluster is not None and cluster.unreadable:
                continue
            if cluster is None or not holds(cluster, session):
                clear = cluster is None or cluster.status.assigned_session is not None
                yield Settle(session, f"{session.status.assigned_cluster} is not its cluster any more", clear)
