"""What `-o json` and `-o yaml` say, in the names of the platform's contract. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from cks_pool.tables import places
from pool.core.clusters import PooledCluster
from pool.core.contract import ClusterPool, ClusterPoolStats, SessionLease
from pool.core.fields import rfc3339
from pool.core.forecast import expected_at
from pool.core.pools import Pool
from pool.core.sessions import Session


def of_clusters(clusters: Sequence[PooledCluster]) -> dict[str, Any]:
    """Each cluster as the platform reads it, and their counts."""
    return {
        "clusters": [ClusterPool.of(cluster).model_dump(mode="json", by_alias=True) for cluster in clusters],
        "stats": ClusterPoolStats.of(clusters).model_dump(mode="json", by_alias=True),
    }


def of_pools(pools: Sequence[Pool], clusters: Sequence[PooledCluster]) -> dict[str, Any]:
    """Each Pool: its size, the counts of its clusters, who waits, and what is known of it."""
    return {"pools": [_of_pool(pool, [one for one in clusters if one.spec.pool == pool.name]) for pool in pools]}


def _of_pool(pool: Pool, clusters: Sequence[PooledCluster]) -> dict[str, Any]:
    return {
        "name": pool.name,
        "size": pool.spec.size,
        "stats": ClusterPoolStats.of(clusters).model_dump(mode="json", by_alias=True),
        "waiting": pool.status.waiting,
        "conditions": [one.model_dump(mode="json", by_alias=True) for one in pool.status.conditions],
    }


def of_session(session: Session) -> dict[str, Any]:
    """One session, and its Pool."""
    return {**SessionLease.of(session).model_dump(mode="json", by_alias=True), "pool": session.spec.pool}


def of_sessions(
    sessions: Sequence[Session], clusters: Sequence[PooledCluster], now: datetime, grace: float
) -> dict[str, Any]:
    """Each session; of those that wait, their place, too, and when a cluster is expected."""
    waiting = places(sessions, now, grace)

    def one(session: Session) -> dict[str, Any]:
        found = of_session(session)
        if session.name in waiting:
            place, length = waiting[session.name]
            soon = expected_at([c for c in clusters if c.spec.pool == session.spec.pool], now)
            found |= {"place": place, "queueLength": length, "expectedAt": rfc3339(soon) if soon else None}
        return found

    return {"sessions": [one(session) for session in sessions]}
