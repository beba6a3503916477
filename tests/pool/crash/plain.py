"""The flows' own code without Prefect: tasks and flows become the functions they wrap, run in the caller's loop.

So a child that is killed does, in the same order, what a flow run does: claim, steps with a heartbeat between them,
end. What is missing is Prefect's: retries of a task, artifacts, events, and runs started elsewhere, which run at once
instead. Only children import this: it changes the modules of `flows` for the whole process.
"""

from __future__ import annotations

import importlib
import logging
import os
import pkgutil
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any
from uuid import uuid4

from prefect import Flow, Task
from prefect.states import Completed

import flows
from flows import golden
from flows.runtime import connected
from pool.core.settings import Settings
from pool.work.bootstrap import bootstrap
from pool.work.steps import plainly

MODULES: tuple[ModuleType, ...] = tuple(
    importlib.import_module(f"flows.{found.name}") for found in pkgutil.iter_modules(flows.__path__)
)
RUN_ID = "PREFECT__RUNTIME__FLOW_RUN__ID"
"""Prefect takes the flow run's ID from here outside of a run."""

DEPLOYMENTS: dict[str, Callable[..., Awaitable[Any]]] = {}
"""The flows that others start, by the name of their deployment."""


async def start_run(deployment: str, parameters: dict[str, Any], reason: str, _because: str = "") -> str:
    """As flows.dispatch.start_run, but carried out now, as a run of its own."""
    os.environ[RUN_ID] = str(uuid4())
    await DEPLOYMENTS[deployment](**parameters)
    return f"{deployment} for {reason}"


async def _nothing(*_args: Any, **_options: Any) -> None:
    """What only Prefect would keep."""


async def run(flow: str, parameters: dict[str, Any], run_id: str) -> None:
    """Carry out a flow by its deployment's name, or a part of one, as that flow run."""
    os.environ[RUN_ID] = run_id
    parts = {"bootstrap-cluster": bootstrap_cluster, "prove-storage": golden.prove_storage}
    await {**DEPLOYMENTS, **parts}[flow](**parameters)


async def bootstrap_cluster(cluster_id: str) -> None:
    """The part of bootstrap-pool that makes one cluster."""
    async with connected() as host:
        await bootstrap(host, cluster_id, run_id=os.environ[RUN_ID])


def _called(work: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """A flow or task as others call it, for its result or for its state."""

    async def call(*args: Any, return_state: bool = False, **parameters: Any) -> Any:
        result = await work(*args, **parameters)
        return Completed() if return_state else result

    return call


def _unwrap() -> None:
    for module in MODULES:
        for name, value in list(vars(module).items()):
            if isinstance(value, Flow):
                DEPLOYMENTS[value.name] = value.fn
                setattr(module, name, _called(value.fn))
            if isinstance(value, Task):
                setattr(module, name, _called(value.fn))
            if name in REPLACED:
                setattr(module, name, REPLACED[name])


REPLACED: dict[str, Callable[..., Any]] = {
    "get_run_logger": lambda: logging.getLogger("flows"),
    "start_run": start_run,
    "announce": _nothing,
    "as_task": plainly,
    "keep_diagnostics": _nothing,
    # Without the check that they do not contradict each other: no child lives to a heartbeat, all are dead at once.
    "settings_from_environment": Settings,
    "acreate_table_artifact": _nothing,
    "acreate_markdown_artifact": _nothing,
}

_unwrap()
