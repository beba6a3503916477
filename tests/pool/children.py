"""Real child processes that work on a pool over HTTP: killed after a write, or many at once.

They are forked from a clean, preloaded server process, so that each starts in milliseconds and shares nothing.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pool.kube.client import Kube, Object
from pool.settings import Settings
from pool.state import PoolState

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.pool.children", "tests.pool.scenarios", "tests.pool.crash.plain"])

Scenario = Callable[[PoolState], Awaitable[Any]]


@dataclass(frozen=True)
class Job:
    """What a child does: where, when (its clock stands still), what, and after which write it is killed."""

    kubeconfig: Path
    settings: Settings
    now: datetime
    scenario: Scenario
    die_after: int | None = None


class DyingKube(Kube):
    """The real client; it kills its process once so many writes were answered, history's events left out."""

    writes = 0
    die_after: int | None = None

    async def request(self, method: str, path: str, *args: Any, **kwargs: Any) -> Object:
        answer = await super().request(method, path, *args, **kwargs)
        if method != "GET" and "/events" not in path:
            self.writes += 1
            if self.writes == self.die_after:
                os.kill(os.getpid(), signal.SIGKILL)
        return answer


class UnluckyKube(Kube):
    """The real client on a bad network: answers come late, and some writes arrive twice."""

    async def request(self, method: str, path: str, *args: Any, **kwargs: Any) -> Object:
        await asyncio.sleep(random.random() * 0.01)
        answer = await super().request(method, path, *args, **kwargs)
        if method == "PUT" and random.random() < 0.1:
            # As the client itself does when the first answer was lost: the caller sees the second one's.
            return await super().request(method, path, *args, **kwargs)
        return answer


def run(job: Job) -> int | None:
    """Do the job in a child of its own. Returns the number of writes, or None if it was killed as asked."""
    here, there = CONTEXT.Pipe(duplex=False)
    child = CONTEXT.Process(target=_run, args=(job, there))
    child.start()
    there.close()
    try:
        writes: int = here.recv()
    except EOFError:
        child.join()
        assert child.exitcode == -signal.SIGKILL, f"child ended with {child.exitcode}"
        return None
    child.join()
    assert child.exitcode == 0
    return writes


def _run(job: Job, answer: Any) -> None:
    answer.send(asyncio.run(_work(job)))


async def _work(job: Job) -> int:
    async with DyingKube.connect(job.kubeconfig) as kube:
        assert isinstance(kube, DyingKube)
        kube.die_after = job.die_after
        await job.scenario(PoolState(kube, job.settings, now=lambda: job.now))
        return kube.writes
