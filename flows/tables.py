"""The pool as tables: markdown for artifacts in the UI, rich for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from pool.core.clusters import PooledCluster
from pool.core.contract import ClusterPoolStats
from pool.core.planner.actions import Action
from pool.core.pools import Pool

COLUMNS = ("cluster", "phase", "session", "expires", "epoch", "operation", "golden", "last reset", "failure")


def rows(clusters: Sequence[PooledCluster]) -> list[dict[str, Any]]:
    """One row a cluster, keyed by COLUMNS, every cell text."""
    return [dict(zip(COLUMNS, _cells(cluster), strict=True)) for cluster in clusters]


def _cells(cluster: PooledCluster) -> tuple[str, ...]:
    status = cluster.status
    return (
        cluster.name,
        str(status.phase) + (" (cordoned)" if cluster.spec.cordoned else "") + (" (goes)" if cluster.removing else ""),
        status.assigned_session or "",
        f"{status.expires_at:%H:%M:%S}" if status.expires_at else "",
        str(status.epoch),
        str(status.operation.kind) if status.operation else "",
        str(status.golden.generation) if status.golden else "",
        f"{status.last_reset:%Y-%m-%d %H:%M:%S}" if status.last_reset else "",
        status.failure.message if status.failure else "",
    )


def plan_rows(actions: Sequence[Action], most: int = 100) -> list[dict[str, Any]]:
    """A plan in words, a row an action: of thousands the most urgent ones, and how many more there are."""
    rows = [{"action": type(action).__name__, "what": str(action)} for action in actions[:most]]
    more = len(actions) - most
    return [*rows, {"action": "", "what": f"and {more} more"}] if more > 0 else rows


def summary(stats: ClusterPoolStats, pool: Pool | None = None) -> str:
    """The counts in one line; with the Pool, whose they are, how many are wanted and go, and who waits."""
    counts = (
        f"{stats.available_clusters} available, {stats.locked_clusters} locked, "
        f"{stats.resetting_clusters} resetting, {stats.creating_clusters} creating, {stats.error_clusters} in error"
    )
    if pool is None:
        return f"{stats.total_clusters} clusters: {counts}"
    more = [f"{pool.status.removing} being removed"] if pool.status.removing else []
    more += [f"{pool.status.waiting} sessions wait"] if pool.status.waiting else []
    return "; ".join([f"pool {pool.name}, {stats.total_clusters} of {pool.spec.size} clusters: {counts}", *more])


def console_table(clusters: Sequence[PooledCluster], stats: ClusterPoolStats, console: Console | None = None) -> None:
    """Print the pool for a person."""
    content = rows(clusters)
    shown = [column for column in COLUMNS if column in ("cluster", "phase") or any(row[column] for row in content)]
    table = Table(title=summary(stats), title_justify="left")
    for column in shown:
        table.add_column(column, no_wrap=column != "failure")
    for row in content:
        table.add_row(*(row[column] for column in shown))
    (console or Console()).print(table)
