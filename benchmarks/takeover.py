"""A worker is killed in the middle of its resets: how many of them wait, and how long."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime

from benchmarks.crew import Crew
from benchmarks.waits import until
from benchmarks.wave import RESET, wave
from pool.core.lifecycle import ClusterPhase


@dataclass
class Takeover:
    """What became of the resets of a worker that was killed, in seconds after that, a figure a cluster."""

    workers: int
    """Before."""
    resets: int
    """In all."""
    taken_over: dict[str, float] = field(default_factory=dict)
    available: dict[str, float] = field(default_factory=dict)


async def takeover(crew: Crew, sessions: int) -> Takeover:
    """Kill the worker with the most resets under way, in a wave of resets, once half of the clusters have one."""
    begun, done = datetime.now(UTC), Takeover(len(crew.workers), sessions)

    async def kill() -> None:
        await until("half of the clusters worked on", lambda: _idle(crew, sessions // 2), timeout=600, pause=0.2)
        name, clusters = await _busiest(crew, begun)
        await crew.workers.pop(name).killed()
        killed = time.monotonic()

        async def waiting() -> str:
            now = time.monotonic() - killed
            for cluster in await crew.host.state.clusters():
                if (of_dead := clusters.get(cluster.name)) is None:
                    continue
                operation = cluster.status.operation
                if operation is None or operation.run_id != of_dead:
                    done.taken_over.setdefault(cluster.name, now)
                if cluster.phase is ClusterPhase.AVAILABLE:
                    done.available.setdefault(cluster.name, now)
            left = clusters.keys() - done.available.keys()
            return f"{len(left)} are not" if left else ""

        await until(f"the clusters of {name} available", waiting, timeout=1800, pause=0.5)

    await wave(crew, sessions, meanwhile=kill)
    return done


async def _idle(crew: Crew, wanted: int) -> str:
    worked_on = sum(cluster.status.operation is not None for cluster in await crew.host.state.clusters())
    return "" if worked_on >= max(1, wanted) else f"{worked_on} are"


async def _busiest(crew: Crew, since: datetime) -> tuple[str, dict[str, str]]:
    """The worker with the most resets that hold a cluster, and those clusters with the runs that have them."""
    workers = {run["id"]: run["infrastructure_pid"] for run in await crew.prefect.runs.since(RESET, since)}
    of: dict[str, dict[str, str]] = defaultdict(dict)
    for cluster in await crew.host.state.clusters():
        operation = cluster.status.operation
        if operation is not None and (worker := workers.get(operation.run_id)):
            of[worker.rpartition("-")[0]][cluster.name] = operation.run_id
    return max(of.items(), key=lambda one: len(one[1]))
