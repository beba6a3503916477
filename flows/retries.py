"""How tasks are retried: only on what can pass, with exponential backoff and jitter; and never from a cache."""

from __future__ import annotations

from typing import Any

from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task, exponential_backoff

from pool.core.errors import is_transient


async def can_pass(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether the failure in `state` may pass when tried again (a timeout, 429, 5xx, a lost race).

    A bad specification or a missing right fails at once: trying again would only hide it for a while.
    """
    error = await state.aresult(raise_on_failure=False)
    return isinstance(error, BaseException) and is_transient(error)


EFFECT: dict[str, Any] = {
    # A second call with the same input must act again: the world has changed in between.
    "cache_policy": NO_CACHE,
    "persist_result": False,
    "retries": 3,
    "retry_delay_seconds": exponential_backoff(backoff_factor=1),
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": can_pass,
}
"""Options of every task that changes something: `@task(**EFFECT)`."""
