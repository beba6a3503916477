"""How the pool's work looks to Prefect: a task for each step, never from a cache, and never retried by Prefect.

What can pass is tried again in one place, by the API client (pool.kube.client); what an attempt failed of is the
operation's matter (pool.work.attempts). A task's own retries on top of those would multiply them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, TypeVar, cast

from prefect import Task, get_run_logger, runtime
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import MissingContextError

from flows.progress import step_shown

T = TypeVar("T")

EFFECT: dict[str, Any] = {
    # A second call with the same input must act again: the world has changed in between.
    "cache_policy": NO_CACHE,
    "persist_result": False,
    "retries": 0,
}
"""Options of every task that changes something: `@task(**EFFECT)`."""


async def as_task(name: str, cluster_id: str, work: Callable[[], Awaitable[T]]) -> T:
    """Carry a step of work out as a task run, named by step and cluster. As pool.work.steps.RunStep."""
    with step_shown(name):
        return cast(T, await _task(name)(cluster_id, work))


@cache
def _task(name: str) -> Task[..., Any]:
    async def carry_out(cluster_id: str, work: Callable[[], Awaitable[Any]]) -> Any:
        return await work()

    carry_out.__qualname__ = name
    return Task(carry_out, name=name, task_run_name=f"{name}-{{cluster_id}}", **EFFECT)


def stopwatch() -> Callable[[], str]:
    """Begins to count; tells how long it has been, in words."""
    clock = asyncio.get_running_loop().time
    begun = clock()
    return lambda: in_words(clock() - begun)


def in_words(seconds: float) -> str:
    """A duration for people: `41 s`, `6 min 12 s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def run_id() -> str:
    """ID of the flow run in which this is called."""
    return str(runtime.flow_run.id)


def warn(message: str) -> None:
    """Say something to whoever follows the run; outside of one, in the process's log."""
    try:
        get_run_logger().warning(message)
    except MissingContextError:
        logging.getLogger("flows").warning(message)
