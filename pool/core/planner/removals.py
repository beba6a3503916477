"""Removal: clusters above the size, deleted clusters, a deleted Pool.

Whoever wants a cluster gone deletes its resource; that is a state, not an attempt. What was deleted is torn down, and
nothing else is done to it, as often as it takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from pool.core.clusters import OperationKind, PooledCluster
from pool.core.operation_rules import last_failed
from pool.core.planner.actions import FinishPoolRemoval, RemoveSurplus, StartTeardown, wish
from pool.core.planner.observed import Observed
from pool.core.pools import POOL_FINALIZER

PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(minutes=15)
"""Between two attempts to tear a cluster down: doubled from the first to the second, so that a namespace that will not
go does not keep its place from those that would."""


def torn_down(observed: Observed, now: datetime) -> Iterator[StartTeardown]:
    """The deleted clusters to tear down (further) now; one that a session holds when that has ended."""
    for cluster in observed.clusters:
        held = cluster.status.assigned_session is not None
        if (
            cluster.removing
            and not cluster.unreadable
            and not held
            and not observed.live(cluster)
            and not _pausing(cluster, now)
        ):
            key = wish(OperationKind.TEARDOWN, cluster)
            yield StartTeardown(cluster.name, reason="was deleted", wish=key)


def _pausing(cluster: PooledCluster, now: datetime) -> bool:
    failure = cluster.status.failure
    if failure is None:
        return False
    pause = PAUSE
    for _ in range(1, min(failure.attempts, 10)):
        pause *= 2
    return now - last_failed(failure) < min(pause, LONGEST_PAUSE)


def surplus(observed: Observed) -> Iterator[RemoveSurplus]:
    """The idle clusters above the size, from the top. One that is assigned in this moment is not idle any more."""
    above = [cluster for cluster in observed.clusters if observed.surplus(cluster)]
    for cluster in sorted(above, key=lambda cluster: observed.number(cluster) or 0, reverse=True):
        idle = cluster.status.assigned_session is None and not observed.live(cluster)
        if idle and not cluster.removing and not cluster.spec.cordoned:
            size = f"the pool's size is {observed.pool.spec.size}"
            metadata = cluster.metadata
            yield RemoveSurplus(cluster.name, reason=size, uid=metadata.uid, version=metadata.resource_version)


def with_their_pool(observed: Observed) -> Iterator[RemoveSurplus]:
    """The clusters to delete because their Pool was: all of them. Those in use go when their sessions have ended."""
    for cluster in observed.clusters:
        if not cluster.removing and not cluster.unreadable:
            yield RemoveSurplus(cluster.name, reason="its Pool was deleted", uid=cluster.metadata.uid)


def finished(observed: Observed) -> Iterator[FinishPoolRemoval]:
    """The end of a deleted Pool, when the last of its clusters is gone."""
    if not observed.clusters and POOL_FINALIZER in observed.pool.metadata.finalizers:
        yield FinishPoolRemoval(observed.pool.name)
