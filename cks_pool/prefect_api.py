"""Prefect's API as commands use it: runs are started, followed and read. Prefect is imported when it is needed."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from cks_pool.errors import BadInput, Failed, complain
from cks_pool.formats import say, short_seconds
from pool.core.run_names import run_name

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import FlowRun

LOOK_AGAIN = 1.0
"""Seconds between two looks at a run that is followed: a reset takes tens of them."""
UNTAKEN = 20.0
"""Seconds after which it is said that no worker takes a run: they look for runs every ten, unless told otherwise
(PREFECT_WORKER_QUERY_SECONDS), as an installation's are every two."""


def no_server_of_its_own() -> None:
    """Prefect would start a throw-away server of its own in silence, whose runs nobody finds again."""
    os.environ.setdefault("PREFECT_SERVER_ALLOW_EPHEMERAL_MODE", "false")


@asynccontextmanager
async def prefect_api() -> AsyncIterator[PrefectClient]:
    """A client, while entered, of a server that answered just now. Raises BadInput if none does, or does any more."""
    no_server_of_its_own()
    import httpx
    from prefect import get_client

    try:
        async with get_client() as client:
            problem = await client.api_healthcheck()
            if problem is not None:
                raise BadInput(_no_server()) from problem
            yield client
    except httpx.HTTPStatusError as refused:
        code = refused.response.status_code
        cure = "set PREFECT_API_AUTH_STRING or PREFECT_API_KEY" if code in (401, 403) else "see the server's log"
        raise BadInput(f"Prefect's server answered {code}; {cure}") from refused
    except (httpx.HTTPError, ValueError, RuntimeError) as away:
        raise BadInput(_no_server()) from away


def _no_server() -> str:
    from prefect.settings import PREFECT_API_URL

    at = PREFECT_API_URL.value() or "PREFECT_API_URL, which is not set"
    return f"no Prefect server answers at {at}; start it, or set PREFECT_API_URL to the /api address of one that runs"


async def start(client: PrefectClient, deployment: str, parameters: Mapping[str, Any]) -> FlowRun:
    """Start a run of a deployment (flow and deployment share the name). Raises BadInput if it is not deployed."""
    from prefect.exceptions import ObjectNotFound

    try:
        found = await client.read_deployment_by_name(f"{deployment}/{deployment}")
    except ObjectNotFound:
        raise BadInput(f"no deployment {deployment} on {client.api_url}; run cks-pool setup prefect") from None
    # The key makes the client's own second try of a call whose answer was lost the same run.
    return await client.create_flow_run_from_deployment(
        found.id,
        parameters=dict(parameters),
        name=run_name(deployment, parameters),
        idempotency_key=f"cks-pool:{deployment}:{uuid4()}",
    )


async def carry_out(deployment: str, parameters: Mapping[str, Any], *, wait: bool) -> None:
    """Start a run and, if told to wait, follow it to its end. Raises BadInput; Failed if it did not complete."""
    async with prefect_api() as client:
        run = await start(client, deployment, parameters)
        where = page_of(run)
        if not wait:
            say(f"{run.name} started: {where}")
            return
        try:
            ended = await follow(client, run.id)
        except asyncio.CancelledError:
            complain(f"{run.name} goes on without anybody looking: {where}")
            raise
    state = ended.state
    if state is None or not state.is_completed():
        raise Failed(f"{ended.name} is {state.name if state else 'gone'}: {said(ended) or 'see'} ({where})")
    say(said(ended) or f"{ended.name} is {state.name}")


async def follow(client: PrefectClient, run_id: UUID) -> FlowRun:
    """Look at a run until it has ended, and show how far it is; returns it as it is then."""
    begun, before, warned = time.monotonic(), "", False
    with _display() as status:
        while True:
            run = await client.read_flow_run(run_id)
            name = (run.state and run.state.name) or "Unknown"
            if run.state is not None and run.state.is_final():
                return run
            taken = run.start_time is not None
            elapsed = time.monotonic() - begun
            if status is not None:
                steps = await _running_steps(client, run_id) if taken else ""
                status.update(f"{run.name} {name.lower()} {short_seconds(elapsed)} {steps}".rstrip())
            elif name != before:
                complain(f"{run.name} is {name}")
            if not taken and not warned and elapsed > UNTAKEN:
                warned = True
                complain(f"no worker has taken {run.name} yet; cks-pool doctor says whether one is there")
            before = name
            await asyncio.sleep(LOOK_AGAIN)


def _display() -> Any:
    """A line that is drawn again in place, on a terminal; None elsewhere."""
    if not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status("starting")


async def _running_steps(client: PrefectClient, run_id: UUID) -> str:
    """Names of the steps that go on in a run."""
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterId,
        TaskRunFilter,
        TaskRunFilterState,
        TaskRunFilterStateName,
    )

    going_on = TaskRunFilter(state=TaskRunFilterState(name=TaskRunFilterStateName(any_=["Running"])))
    of_run = FlowRunFilter(id=FlowRunFilterId(any_=[run_id]))
    found = await client.read_task_runs(flow_run_filter=of_run, task_run_filter=going_on, limit=5)
    return ", ".join(sorted(one.name for one in found))


def said(run: FlowRun) -> str:
    """What a run's state says, in one line."""
    return " ".join(((run.state.message if run.state else None) or "").split())


def page_of(run: FlowRun) -> str:
    """Where people see a run."""
    from prefect.utilities.urls import url_for

    return url_for(run) or f"run {run.id}"
