"""Replacing clusters of another image, or of certificates near their end: one by one, and when it hurts nobody."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime

from pool.core.clusters import OperationKind, PooledCluster
from pool.core.image_sources import outdated
from pool.core.lifecycle import ClusterPhase, SessionPhase
from pool.core.planner.actions import StartRebuild, wish
from pool.core.planner.observed import Observed, PlanConfig, generation_ended, ill
from pool.core.queue import free


def replaced(
    observed: Observed, config: PlanConfig, now: datetime, under_way: Collection[str]
) -> Iterator[StartRebuild]:
    """The outdated cluster to make anew now, if it is time: the one of the oldest golden generation.

    One replacement at a time, so that an image which does not work costs a single cluster. It waits until at least
    `minStandby` others are free and nobody is in the queue; but what cannot be reset any more is of no use as it is.
    """
    idle = [c for c in observed.kept() if c.phase is ClusterPhase.AVAILABLE and c.status.operation is None]
    outdated = [(cluster, reason) for cluster in idle if (reason := why_outdated(observed, cluster, config, now))]
    outdated.sort(key=lambda pair: _age(pair[0], now))
    if _one_is_being_made(observed) or any(cluster.name in under_way for cluster, _ in outdated):
        return
    failed = _one_has_failed(observed)
    for cluster, reason in outdated:
        if generation_ended(cluster, now) or (not failed and _can_be_spared(observed, cluster, under_way)):
            yield StartRebuild(cluster.name, reason=reason, wish=wish(OperationKind.REBUILD, cluster))
            return


def why_outdated(observed: Observed, cluster: PooledCluster, config: PlanConfig, now: datetime) -> str:
    """What is outdated about the cluster, in words; empty if nothing is."""
    golden, image = cluster.status.golden, cluster.status.image
    if golden is None:
        return ""
    ends = golden.certificates_expire_at
    # Not before half of their time is over: those that never last as long as the margin would be made again for ever.
    if ends is not None and ends - now < min(config.certificate_margin, (ends - golden.taken_at) / 2):
        return f"its golden certificates end on {ends:%Y-%m-%d}"
    return outdated(image, observed.pool.spec.image) if image is not None else ""


def _age(cluster: PooledCluster, now: datetime) -> tuple[bool, datetime, str]:
    golden = cluster.status.golden
    return not generation_ended(cluster, now), golden.taken_at if golden else now, cluster.name


def _can_be_spared(observed: Observed, cluster: PooledCluster, under_way: Collection[str]) -> bool:
    """Whether enough others are free: healthy, not cordoned, not about to leave; and nobody waits for a cluster."""
    if ill(cluster) or any(session.phase is SessionPhase.PENDING for session in observed.sessions):
        return False
    staying = {one.name for one in observed.kept()} - {cluster.name, *under_way}
    others = [one for one in free(observed.clusters) if one.name in staying]
    return len(others) >= observed.pool.spec.min_standby


def _one_is_being_made(observed: Observed) -> bool:
    return any(c.phase is ClusterPhase.CREATING and not c.spec.cordoned for c in _staying(observed))


def _one_has_failed(observed: Observed) -> bool:
    """Whether a cluster could not be made: another would go the same way."""
    return any(
        cluster.status.rebuilding or (cluster.phase is ClusterPhase.ERROR and cluster.status.golden is None)
        for cluster in _staying(observed)
    )


def _staying(observed: Observed) -> list[PooledCluster]:
    return [cluster for cluster in observed.clusters if not cluster.removing and not observed.surplus(cluster)]
