"""What a plan is made from: one pool at one moment, and what is said of a cluster seen in it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from pool.core.clusters import ConditionType, PooledCluster
from pool.core.pools import Pool
from pool.core.queue import LONG_AGO
from pool.core.resource import ConditionStatus
from pool.core.sessions import Session
from pool.core.settings import Settings


@dataclass(frozen=True)
class PlanConfig:
    """What the plan goes by beside the Pool: the settings of the process that carries it out."""

    health_interval: timedelta = timedelta(minutes=5)
    ended_session_age: timedelta = timedelta(days=1)
    queue_grace: timedelta = timedelta(minutes=1)
    certificate_margin: timedelta = timedelta(days=30)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The configuration that the settings give."""
        return cls(
            health_interval=timedelta(seconds=settings.health_interval),
            ended_session_age=timedelta(days=settings.ended_session_days),
            queue_grace=timedelta(seconds=settings.queue_grace),
            certificate_margin=timedelta(days=settings.certificate_margin_days),
        )


@dataclass(frozen=True)
class Observed:
    """A pool with what is its own; sessions are read before clusters (see pool.core.queue.repairs)."""

    pool: Pool
    sessions: Sequence[Session]
    clusters: Sequence[PooledCluster]
    """The longest-rested first."""
    silent: Collection[str] = frozenset()
    """Names of the clusters whose run gives no sign of life, as whoever observed them judges it."""

    @classmethod
    def of(
        cls,
        pool: Pool,
        sessions: Iterable[Session],
        clusters: Iterable[PooledCluster],
        silent: Collection[str] = frozenset(),
    ) -> Self:
        """The pool's own part of what is in its namespace."""
        own = sorted((one for one in clusters if one.spec.pool == pool.name), key=_rested)
        return cls(pool, [one for one in sessions if one.spec.pool == pool.name], own, silent)

    def live(self, cluster: PooledCluster) -> bool:
        """Whether a run works on the cluster and lives."""
        return cluster.status.operation is not None and cluster.name not in self.silent

    def surplus(self, cluster: PooledCluster) -> bool:
        """Whether the cluster's number is above the pool's size. One that is not named by number never is."""
        number = self.number(cluster)
        return number is not None and number > self.pool.spec.size

    def number(self, cluster: PooledCluster) -> int | None:
        """The cluster's number in the pool."""
        found = re.fullmatch(rf"{re.escape(self.pool.spec.cluster_prefix)}([1-9][0-9]*)", cluster.name)
        return int(found[1]) if found else None

    def kept(self) -> list[PooledCluster]:
        """The clusters that maintenance may do something for: not cordoned, not on their way out.

        One above the size that is reset in place is its session's until that has ended.
        """
        return [
            cluster
            for cluster in self.clusters
            if not cluster.spec.cordoned
            and not cluster.removing
            and (not self.surplus(cluster) or cluster.status.assigned_session is not None)
        ]


def ill(cluster: PooledCluster) -> str:
    """What is wrong with the cluster's guest, in words; empty if nothing is known to be."""
    condition = cluster.status.condition(ConditionType.GUEST_HEALTHY)
    if condition is None or condition.status is not ConditionStatus.FALSE:
        return ""
    return condition.message or condition.reason


def generation_ended(cluster: PooledCluster, now: datetime) -> bool:
    """Whether the cluster cannot be reset any more: the certificates in its golden generation have ended."""
    golden = cluster.status.golden
    return golden is not None and golden.certificates_expire_at is not None and golden.certificates_expire_at <= now


def _rested(cluster: PooledCluster) -> tuple[datetime, int, str]:
    return cluster.status.last_reset or LONG_AGO, len(cluster.name), cluster.name
