"""As many sessions at once as there are clusters, and as many resets at once when all of them leave."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import httpx

from benchmarks.crew import Crew, Spent
from benchmarks.probed import lateness, ticking
from benchmarks.waits import until
from flows import WORK_POOL
from pool.kube.gather import gather

LONGEST = 3600.0
"""Seconds in which all clusters must be available again."""
RESET = "reset-cluster"

_numbers = itertools.count(1)


@dataclass
class Wave:
    """One wave: what it took, and how the workers were meanwhile."""

    sessions: int
    assigning: Spent
    resetting: Spent
    runs: Counter[str]
    """Flow runs of resets by the worker that did them."""
    begun_after: list[float]
    """Seconds from each such run's creation to its begin, in order of size."""
    ticks: dict[str, list[float]]
    """Seconds by which the ticks of each worker's loop were late; those of an idle loop beside them under `idle`."""
    beats: list[float]
    """Seconds between two heartbeats of a worker, as Prefect got them; every ten are due."""


async def wave(crew: Crew, sessions: int, meanwhile: Callable[[], Awaitable[None]] | None = None) -> Wave:
    """So many sessions get a cluster each, all at once, and leave at once; `meanwhile` begins as they have left.

    Raises TooLate.
    """
    number = next(_numbers)
    who = [f"wave{number}-{learner}" for learner in range(sessions)]
    doors = itertools.cycle(door for door, _ in crew.gateways)
    begun, beats = datetime.now(UTC), dict[str, list[datetime]]()
    async with ticking(crew.ticks("idle")):
        async with crew.measured() as assigning:
            await gather(_ask(door, name) for door, name in zip(doors, who, strict=False))
        left = time.time()
        async with crew.measured() as resetting, asyncio.TaskGroup() as tasks:
            beating = tasks.create_task(_hear(crew, beats))
            await gather(_leave(door, name) for door, name in zip(doors, who, strict=False))
            if meanwhile is not None:
                await meanwhile()
            await until("every cluster available", crew.missing, timeout=LONGEST, pause=0.5)
            beating.cancel()
    ended = time.time()
    runs = await crew.prefect.runs.since(RESET, begun)
    return Wave(
        sessions,
        assigning,
        resetting,
        Counter(str(run["infrastructure_pid"]).rpartition("-")[0] for run in runs),
        sorted(_begun_after(run) for run in runs if run["start_time"]),
        {name: lateness(crew.ticks(name), left, ended) for name in [*crew.workers, "idle"]},
        [(second - first).total_seconds() for heard in beats.values() for first, second in pairwise(heard)],
    )


async def _ask(door: httpx.AsyncClient, name: str) -> None:
    await _called(f"a cluster for {name}", lambda: door.post("/api/v1/sessions", json={"sessionId": name}))


async def _leave(door: httpx.AsyncClient, name: str) -> None:
    await _called(f"the end of {name}", lambda: door.delete(f"/api/v1/sessions/{name}"))


async def _called(what: str, call: Callable[[], Awaitable[httpx.Response]]) -> None:
    """As a platform does: asked again when it is told that the host or Prefect is too busy to answer."""

    async def missing() -> str:
        (await call()).raise_for_status()
        return ""

    await until(what, missing, timeout=LONGEST)


async def _hear(crew: Crew, beats: dict[str, list[datetime]]) -> None:
    """Collect the workers' heartbeats, until cancelled."""
    while True:
        answer = await crew.prefect.client.post(f"/work_pools/{WORK_POOL}/workers/filter", json={})
        for worker in answer.raise_for_status().json():
            at, heard = datetime.fromisoformat(worker["last_heartbeat_time"]), beats.setdefault(worker["name"], [])
            if at not in heard:
                heard.append(at)
        await asyncio.sleep(1)


def _begun_after(run: dict[str, Any]) -> float:
    begin, expected = (datetime.fromisoformat(run[when]) for when in ("start_time", "expected_start_time"))
    return (begin - expected).total_seconds()
