"""A plan in a line, for tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from pool.core.clusters import Failure, PooledCluster
from pool.core.planner import Observed, PlanConfig, plan
from pool.core.planner.actions import Action
from pool.core.pools import Pool
from pool.core.sessions import Session
from tests.pool.builders import at, cluster, pool

DAY = 86400.0
CONFIG = {field.name for field in fields(PlanConfig)}


def planned(
    clusters: Sequence[PooledCluster],
    sessions: Sequence[Session] = (),
    *,
    now: float = 60,
    under_way: frozenset[str] = frozenset(),
    of: Pool | None = None,
    **config: Any,
) -> list[Action]:
    """The plan for a pool of these clusters, named c1 and on; `config`: fields of the Pool's spec or of PlanConfig."""
    spec = {"cluster_prefix": "c", "size": len(clusters) or 1} | {k: v for k, v in config.items() if k not in CONFIG}
    observed = Observed.of(of or pool(**spec), sessions, clusters, silent(clusters, at(now)))
    return plan(observed, PlanConfig(**{k: v for k, v in config.items() if k in CONFIG}), at(now), under_way)


def silent(clusters: Iterable[PooledCluster], now: datetime) -> frozenset[str]:
    """The clusters whose run gave no sign of life for a minute: nobody's clock is off in these tests."""
    works = [(one.name, one.status.operation) for one in clusters]
    return frozenset(name for name, work in works if work and now - work.heartbeat_at >= timedelta(minutes=1))


def of_kind(kind: type[Any], actions: Sequence[Action]) -> list[str]:
    """The clusters that actions of this kind are about, in the plan's order."""
    return [action.cluster_id for action in actions if isinstance(action, kind)]


def broken(name: str, since: float, **status: Any) -> PooledCluster:
    """A cluster whose resets failed at that time."""
    failure = Failure(reason="RestoreFailed", message="no space", since=at(since), attempts=2)
    return cluster(name, "error", failure=failure, **status)
