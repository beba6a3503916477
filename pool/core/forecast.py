"""When the next cluster becomes available, judged by how long the last resets took."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from pool.core.clusters import PooledCluster
from pool.core.lifecycle import ClusterPhase


def expected_at(clusters: Sequence[PooledCluster], now: datetime) -> datetime | None:
    """When one is expected: the first of the running resets, else of those that follow the sessions' ends.

    None when nothing is under way, or when no reset was ever timed. A cordoned cluster is not expected.
    """
    timed = [c.status.last_reset_seconds for c in clusters if c.status.last_reset_seconds is not None]
    if not timed:
        return None
    usual = timedelta(seconds=sum(timed) / len(timed))
    ready = [end for cluster in clusters if (end := _ready_at(cluster, usual, now)) is not None]
    return max(min(ready), now) if ready else None


def _ready_at(cluster: PooledCluster, usual: timedelta, now: datetime) -> datetime | None:
    status = cluster.status
    if cluster.spec.cordoned:
        return None
    if status.phase is ClusterPhase.RESETTING and status.assigned_session is None:
        return (status.operation.started_at if status.operation else now) + usual
    if status.phase is ClusterPhase.LOCKED and status.expires_at is not None:
        return status.expires_at + usual
    return None
