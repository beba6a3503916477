"""Which runs have fallen silent, judged as leader election judges it: a heartbeat that was watched and did not move.

Times that two machines wrote are never compared for it. This process remembers since when, by its own monotonic clock,
it has seen the same heartbeat of the same run; every read and the view feed that. A run is silent once that is the
whole grace. A process that sees a run for the first time knows nothing yet, and has to watch it.

A reading may be old by the time it is judged. So whoever takes a run over does that on a fresh reading and with a
compare-and-swap: a heartbeat in between refuses it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from pool.core.clusters import Operation, PooledCluster


@dataclass(frozen=True)
class _Watched:
    run_id: str
    heartbeat: datetime
    since: float
    """First seen then, by the monotonic clock."""
    moved: bool
    """An earlier heartbeat of the run was seen as well: it lives, or lived."""


class Silence:
    """What this process has seen of the heartbeats of runs; `grace` in seconds."""

    def __init__(self, grace: float, monotonic: Callable[[], float]) -> None:
        self.grace = grace
        self._monotonic = monotonic
        self._watched: dict[str, _Watched] = {}

    def see(self, cluster: PooledCluster) -> None:
        """Take note of the cluster as it was read, written or shown."""
        operation, before = cluster.status.operation, self._watched.get(cluster.name)
        if operation is None:
            self._watched.pop(cluster.name, None)
        elif before is None or before.run_id != operation.run_id:
            self._watched[cluster.name] = _Watched(operation.run_id, operation.heartbeat_at, self._monotonic(), False)
        elif before.heartbeat != operation.heartbeat_at:
            self._watched[cluster.name] = _Watched(operation.run_id, operation.heartbeat_at, self._monotonic(), True)

    def left(self, cluster: PooledCluster) -> float:
        """Seconds for which the run of the cluster, as it was just read, is to be watched still; none: it is silent."""
        self.see(cluster)
        watched = self._watched.get(cluster.name)
        return self.grace if watched is None else watched.since + self.grace - self._monotonic()

    def seems(self, cluster: PooledCluster, now: datetime) -> bool:
        """Whether it is worth trying to take the cluster's run over: it is silent, or never moved and looks dead.

        Whoever tries watches it first.
        """
        operation = cluster.status.operation
        if operation is None:
            return False
        silent = self.left(cluster) <= 0
        return silent or not (self._watched[cluster.name].moved or _looks_alive(operation, now, self.grace))


def _looks_alive(operation: Operation, now: datetime, grace: float) -> bool:
    """Whether the heartbeat is of these moments; one from long ago or far ahead says nothing."""
    return abs(now - operation.heartbeat_at) < timedelta(seconds=grace)
