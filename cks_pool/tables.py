"""What a table says of clusters, Pools and sessions: rows of text, out of the resources. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

from cks_pool.formats import columns, short
from pool.core.clusters import ConditionType, PooledCluster
from pool.core.lifecycle import ClusterPhase, SessionPhase
from pool.core.pools import Pool
from pool.core.queue import queue
from pool.core.resource import ConditionStatus
from pool.core.sessions import Session

CLUSTERS = ("NAME", "PHASE", "SESSION", "LEFT", "OPERATION", "HEALTHY", "LAST RESET", "FAILURE")
CLUSTERS_WIDE = (*CLUSTERS[:-1], "NAMESPACE", "EPOCH", "GOLDEN", "VERSION", "RESET TOOK", "FAILURE")
POOLS = ("NAME", "SIZE", "AVAILABLE", "LOCKED", "RESETTING", "CREATING", "ERROR", "WAITING", "READY")
POOLS_WIDE = (*POOLS, "REMOVING", "VERSION", "IMAGE", "MESSAGE")
SESSIONS = ("NAME", "POOL", "PHASE", "CLUSTER", "LEFT", "MESSAGE")
SESSIONS_WIDE = (*SESSIONS[:-1], "PRIORITY", "EPOCH", "LAST HEARTBEAT", "MESSAGE")


def cluster_table(clusters: Sequence[PooledCluster], now: datetime, *, wide: bool = False) -> str:
    """One row a cluster."""
    return columns(CLUSTERS_WIDE if wide else CLUSTERS, [_cluster_row(one, now, wide) for one in clusters])


def _cluster_row(cluster: PooledCluster, now: datetime, wide: bool) -> list[str]:
    status, failure = cluster.status, cluster.status.failure
    row = [
        cluster.name,
        phase_of(cluster),
        status.assigned_session or "",
        _left(status.expires_at, now),
        doing(cluster, now),
        _healthy(cluster),
        _ago(status.last_reset, now),
    ]
    if wide:
        golden = status.golden
        took = status.last_reset_seconds
        row += [
            cluster.spec.namespace,
            str(status.epoch),
            str(golden.generation) if golden else "",
            (golden.kubernetes_version if golden else None) or "",
            f"{took}s" if took is not None else "",
        ]
    return [*row, failure.message if failure else ""]


def phase_of(cluster: PooledCluster) -> str:
    """The phase, and what keeps the cluster from being handed out."""
    marks = ",cordoned" if cluster.spec.cordoned else ""
    return f"{cluster.phase}{marks}{',removing' if cluster.removing else ''}"


def doing(cluster: PooledCluster, now: datetime) -> str:
    """What is being done to the cluster, for how long, and which attempt that is."""
    operation = cluster.status.operation
    if operation is None:
        return ""
    attempt = f" (attempt {operation.attempt})" if operation.attempt > 1 else ""
    return f"{operation.kind} {short(now - operation.started_at)}{attempt}"


def _healthy(cluster: PooledCluster) -> str:
    found = cluster.status.condition(ConditionType.GUEST_HEALTHY)
    words = {ConditionStatus.TRUE: "yes", ConditionStatus.FALSE: "no"}
    return words.get(found.status, "unknown") if found else ""


def pool_table(pools: Sequence[Pool], *, wide: bool = False) -> str:
    """One row a Pool."""
    return columns(POOLS_WIDE if wide else POOLS, [_pool_row(one, wide) for one in pools])


def _pool_row(pool: Pool, wide: bool) -> list[str]:
    status = pool.status
    counts = [getattr(status, phase) for phase in _counted()]
    ready = next((one for one in status.conditions if one.type == "Ready"), None)
    row = [pool.name, str(pool.spec.size), *[str(count) for count in counts], str(status.waiting)]
    row.append(str(ready.status) if ready else "Unknown")
    if wide:
        said = ready.message if ready and ready.status is not ConditionStatus.TRUE else ""
        row += [str(status.removing), pool.spec.image.kubernetes_version, pool.spec.image.url, said]
    return row


def _counted() -> tuple[ClusterPhase, ...]:
    """The phases in the order of the table's columns."""
    return tuple(ClusterPhase(head.lower()) for head in POOLS[2:7])


def session_table(sessions: Sequence[Session], now: datetime, grace: float, *, wide: bool = False) -> str:
    """One row a session; of one that waits the message tells its place."""
    waiting = places(sessions, now, grace)
    rows = [_session_row(one, now, waiting.get(one.name), wide) for one in sessions]
    return columns(SESSIONS_WIDE if wide else SESSIONS, rows)


def _session_row(session: Session, now: datetime, place: tuple[int, int] | None, wide: bool) -> list[str]:
    spec, status = session.spec, session.status
    left = _left(status.expires_at, now) if session.phase is SessionPhase.ACTIVE else ""
    row = [session.name, spec.pool, str(session.phase), status.assigned_cluster or "", left]
    if wide:
        epoch = str(status.epoch) if status.epoch is not None else ""
        row += [str(spec.priority), epoch, _ago(status.last_heartbeat, now)]
    return [*row, f"place {place[0]} of {place[1]} in the queue" if place else status.message]


def waiting_line(sessions: Sequence[Session], now: datetime, grace: float) -> str:
    """Who waits for a cluster, in the order of the queue; empty if nobody does."""
    names = [session.name for session in queue(sessions, now, timedelta(seconds=grace))]
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    return f"waiting: {shown}" if names else ""


def places(sessions: Sequence[Session], now: datetime, grace: float) -> dict[str, tuple[int, int]]:
    """Of each session that waits: its place among those who wait for its Pool, from 1, and how many they are."""
    waiting: dict[str, list[str]] = defaultdict(list)
    for session in queue(sessions, now, timedelta(seconds=grace)):
        waiting[session.spec.pool].append(session.name)
    return {name: (place, len(names)) for names in waiting.values() for place, name in enumerate(names, 1)}


def _left(end: datetime | None, now: datetime) -> str:
    if end is None:
        return ""
    return short(end - now) if end > now else "over"


def _ago(moment: datetime | None, now: datetime) -> str:
    return f"{short(now - moment)} ago" if moment else ""
