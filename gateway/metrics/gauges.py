"""The pools as they are at a scrape, from what the view shows: every phase of every pool, the empty ones too. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from pool.core.clusters import PooledCluster
from pool.core.lifecycle import ClusterPhase, SessionPhase
from pool.core.pools import Pool
from pool.core.queue import is_free, queue
from pool.core.sessions import Session

LIVE = (SessionPhase.PENDING, SessionPhase.ACTIVE)
"""Phases of sessions that the view shows; the thousands that are over cost nothing."""
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Seen:
    """What the view shows. `now` is the host's time, `grace` how long a session keeps its place when nobody asks."""

    pools: Mapping[str, Pool]
    clusters: Sequence[PooledCluster]
    sessions: Sequence[Session]
    now: datetime
    grace: timedelta

    @property
    def names(self) -> list[str]:
        """All pools, those too of which only clusters or sessions are left."""
        of_clusters = {cluster.spec.pool for cluster in self.clusters}
        return sorted({*self.pools, *of_clusters, *(session.spec.pool for session in self.sessions)})


def gauges(seen: Seen) -> Iterator[Metric]:
    """Every gauge, and the counters that a Pool's status keeps."""
    yield from _of_phases(seen)
    yield from _of_queues(seen)
    yield from _of_pools(seen)
    yield from _of_clusters(seen)


def _of_phases(seen: Seen) -> Iterator[Metric]:
    clusters = Counter((one.spec.pool, one.phase) for one in seen.clusters)
    sessions = Counter((one.spec.pool, one.phase) for one in seen.sessions)
    free = Counter(one.spec.pool for one in seen.clusters if is_free(one))
    of_clusters = _gauge("clusters", "Clusters by phase.", "pool", "phase")
    of_sessions = _gauge("sessions", "Sessions that are not over, by phase.", "pool", "phase")
    of_free = _gauge("free_clusters", "Clusters that a session would get: available, healthy, not cordoned.", "pool")
    for pool in seen.names:
        for phase in ClusterPhase:
            of_clusters.add_metric([pool, phase], clusters[pool, phase])
        for live in LIVE:
            of_sessions.add_metric([pool, live], sessions[pool, live])
        of_free.add_metric([pool], free[pool])
    yield from (of_clusters, of_sessions, of_free)


def _of_queues(seen: Seen) -> Iterator[Metric]:
    waiting = queue(seen.sessions, seen.now, seen.grace)
    length = _gauge("queue_length", "Sessions that wait for a cluster, and are waited for.", "pool")
    age = _gauge("queue_age_seconds", "Since when the one waits that has waited longest; 0 if none does.", "pool")
    for pool in seen.names:
        mine = [one.metadata.creation_timestamp or seen.now for one in waiting if one.spec.pool == pool]
        length.add_metric([pool], len(mine))
        age.add_metric([pool], _seconds(seen.now - min(mine, default=seen.now)))
    yield from (length, age)


def _of_pools(seen: Seen) -> Iterator[Metric]:
    wanted = _gauge("wanted_clusters", "Clusters that the Pool is to have: spec.size.", "pool")
    age = _gauge("maintenance_age_seconds", "Since maintenance ended the last time, or the Pool was made.", "pool")
    swept = CounterMetricFamily(
        "cks_pool_leftovers_swept", "Disks that aborted restores had left and that were removed.", labels=["pool"]
    )
    for name, pool in sorted(seen.pools.items()):
        since = pool.status.last_maintenance or pool.metadata.creation_timestamp or seen.now
        wanted.add_metric([name], pool.spec.size)
        age.add_metric([name], _seconds(seen.now - since))
        swept.add_metric([name], pool.status.leftovers_swept)
    yield from (wanted, age, swept)


def _of_clusters(seen: Seen) -> Iterator[Metric]:
    def told(name: str, text: str, value: Callable[[PooledCluster], float | None]) -> Metric:
        family = _gauge(name, text, "pool", "cluster")
        values: Iterable[tuple[PooledCluster, float | None]] = ((one, value(one)) for one in clusters)
        for one, number in values:
            if number is not None:
                family.add_metric([one.spec.pool, one.name], number)
        return family

    def days_left(cluster: PooledCluster) -> float | None:
        end = cluster.status.golden.certificates_expire_at if cluster.status.golden else None
        return (end - seen.now) / DAY if end is not None else None

    clusters = sorted(seen.clusters, key=lambda one: (one.spec.pool, len(one.name), one.name))
    yield told(
        "attempts",
        "Attempts that failed in a row since the last success.",
        lambda one: one.status.failure.attempts if one.status.failure else 0,
    )
    yield told(
        "takeovers",
        "Runs that fell silent and were taken over since the last success.",
        lambda one: one.status.takeovers,
    )
    yield told("certificate_days_left", "Days until the first certificate in the golden snapshots ends.", days_left)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"cks_pool_{name}", text, labels=labels)


def _seconds(since: timedelta) -> float:
    return max(0.0, since.total_seconds())
