"""Real child processes that work on a pool over HTTP: killed at a write (tests.pool.crash.killing), or many at once.

They are forked from a clean, preloaded server process, so that each starts in milliseconds and shares nothing.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pool.core.settings import Settings
from pool.kube.client import Kube, Object
from pool.state import PoolState

CONTEXT = multiprocessing.get_context("forkserver")
PRELOADED = ["tests.pool.children", "tests.pool.scenarios", "tests.pool.crash.plain", "tests.gateway.child"]
# What anyio imports when it is first used: else each child would by itself.
CONTEXT.set_forkserver_preload([*PRELOADED, "anyio._backends._asyncio"])

Scenario = Callable[[PoolState], Awaitable[Any]]


@dataclass(frozen=True)
class Job:
    """What a child does: where, when (its clock stands still), what."""

    kubeconfig: Path
    settings: Settings
    now: datetime
    scenario: Scenario


class UnluckyKube(Kube):
    """The real client on a bad network: answers come late, and some writes arrive twice."""

    async def request(self, method: str, path: str, *args: Any, **kwargs: Any) -> Object:
        await asyncio.sleep(random.random() * 0.01)
        answer = await super().request(method, path, *args, **kwargs)
        if method == "PUT" and random.random() < 0.1:
            # As the client itself does when the first answer was lost: the caller sees the second one's.
            return await super().request(method, path, *args, **kwargs)
        return answer


def main(pipe: Any) -> None:
    """Wait for the job, do it. An error ends the process with its traceback and status 1."""
    asyncio.run(_work(pipe.recv()))


async def _work(job: Job) -> None:
    async with Kube.connect(job.kubeconfig) as kube:
        await job.scenario(PoolState(kube, job.settings, now=lambda: job.now))
