"""What clusters need that are of no use as they are: stuck, waiting for a reset, ill, half made, broken, missing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from pool.core.clusters import ConditionType, OperationKind, PooledCluster
from pool.core.lifecycle import ClusterPhase
from pool.core.operation_rules import last_failed
from pool.core.planner.actions import (
    CreateMissing,
    StartBootstrap,
    StartGolden,
    StartRebuild,
    StartReset,
    TakeOver,
    wish,
)
from pool.core.planner.observed import Observed, generation_ended, ill
from pool.core.resource import ConditionStatus


def taken_over(observed: Observed) -> Iterator[TakeOver]:
    """The clusters whose run is silent, however often that happened: a takeover is no failure."""
    for cluster in observed.kept():
        operation = cluster.status.operation
        if operation is not None and not observed.live(cluster):
            key, reason = wish(operation.kind, cluster), f"{operation.kind} of run {operation.run_id} fell silent"
            if times := cluster.status.takeovers:
                reason += f", {times} taken over before it"
            yield TakeOver(cluster.name, operation.kind, operation.run_id, reason=reason, wish=key)


def waiting(observed: Observed, now: datetime) -> Iterator[StartReset | StartRebuild]:
    """The clusters that were given back and that nobody resets; those that cannot be reset any more are made anew."""
    for cluster in observed.kept():
        if cluster.phase is not ClusterPhase.RESETTING or cluster.status.operation is not None:
            continue
        if generation_ended(cluster, now) and cluster.status.assigned_session is None:
            reason = "waits for its reset, but its golden certificates have ended"
            yield StartRebuild(cluster.name, reason=reason, wish=wish(OperationKind.REBUILD, cluster))
        else:
            yield StartReset(cluster.name, reason="waits for its reset", wish=wish(OperationKind.RESET, cluster))


def ailing(observed: Observed, now: datetime, under_way: Collection[str]) -> Iterator[StartReset]:
    """The idle clusters to repair because their guest is ill. Locked and broken ones have no say in it.

    When most idle guests look ill at once it is probably our own way to them, and resets would fail like the looks,
    one cluster after the other into `error`. Then a single one is tried, and no other until that one is well again.
    """
    idle = [c for c in observed.kept() if c.phase is ClusterPhase.AVAILABLE and c.status.operation is None]
    sick = [cluster for cluster in idle if ill(cluster)]
    if len(sick) >= 2 and 2 * len(sick) > len(idle):
        since = min(_ill_since(cluster) for cluster in sick)
        tried = any(cluster.name in under_way for cluster in sick)
        tried = tried or any(_was_tried(cluster, since) for cluster in observed.clusters if not cluster.removing)
        sick = [] if tried else sick[:1]
    for cluster in sick:
        # What has ended cannot be reset: it is replaced (pool.core.planner.replacements).
        if not generation_ended(cluster, now):
            key = wish(OperationKind.RESET, cluster)
            yield StartReset(cluster.name, waiting=False, reason=f"unhealthy while idle: {ill(cluster)}", wish=key)


def _ill_since(cluster: PooledCluster) -> datetime:
    condition = cluster.status.condition(ConditionType.GUEST_HEALTHY)
    assert condition is not None
    return condition.last_transition_time


def _was_tried(cluster: PooledCluster, since: datetime) -> bool:
    """Whether an ill cluster is being repaired, or its repair failed after the others began to look ill."""
    if not ill(cluster) or cluster.spec.cordoned:
        return False
    failure = cluster.status.failure
    failed = cluster.phase is ClusterPhase.ERROR and failure is not None and last_failed(failure) >= since
    return cluster.phase is ClusterPhase.RESETTING or failed


def half_made(observed: Observed) -> Iterator[StartBootstrap | StartGolden | StartRebuild]:
    """The clusters that are being made and that nobody works on: carried on where they were left."""
    for cluster in observed.kept():
        if cluster.phase is not ClusterPhase.CREATING or cluster.status.operation is not None:
            continue
        ready = cluster.status.condition(ConditionType.VMS_READY)
        if cluster.status.rebuilding:
            key = wish(OperationKind.REBUILD, cluster)
            yield StartRebuild(cluster.name, reason="its rebuild was not finished", wish=key)
        elif ready is not None and ready.status is ConditionStatus.TRUE:
            yield StartGolden(cluster.name, wish=wish(OperationKind.GOLDEN, cluster))
        else:
            yield StartBootstrap(cluster.name, wish=wish(OperationKind.BOOTSTRAP, cluster))


def broken(observed: Observed) -> Iterator[StartRebuild]:
    """The cluster in `error` to make anew, where the Pool wants that."""
    if observed.pool.spec.rebuild_broken and (cluster := to_rebuild(observed.clusters)) in observed.kept():
        message = cluster.status.failure.message if cluster.status.failure else ""
        yield StartRebuild(
            cluster.name, reason=f"its resets failed: {message}", wish=wish(OperationKind.REBUILD, cluster)
        )


def to_rebuild(clusters: Sequence[PooledCluster]) -> PooledCluster | None:
    """The cluster in `error` to make anew from the image: one whose resets failed, never one whose rebuild did.

    One at a time, and none while another's rebuild is unfinished or failed: what breaks every reset (storage that is
    down, say) would break the rebuilds too, and a rebuild throws the golden snapshots away. The one that went to
    `error` first, so that those that follow do not change whose turn it is while its rebuild has not begun. Neither
    those that somebody cordoned to look at them, nor those on their way out.
    """
    staying = [cluster for cluster in clusters if not cluster.removing]
    if any(cluster.status.rebuilding for cluster in staying):
        return None
    failed = [
        (last_failed(cluster.status.failure), cluster.name, cluster)
        for cluster in staying
        if cluster.phase is ClusterPhase.ERROR
        and cluster.status.golden is not None
        and cluster.status.failure
        and not cluster.spec.cordoned
    ]
    return min(failed, key=lambda one: one[:2])[-1] if failed else None


def missing(observed: Observed) -> Iterator[CreateMissing]:
    """The clusters that the pool's size wants and that are not there; one on its way out is there until it is gone."""
    present = {cluster.name for cluster in observed.clusters}
    for number in range(1, observed.pool.spec.size + 1):
        name = observed.pool.cluster_name(number)
        if name not in present:
            yield CreateMissing(name, reason=f"the pool's size is {observed.pool.spec.size}")
