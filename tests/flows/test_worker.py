"""The warm worker against a real Prefect server: runs what is scheduled, in this process, and lets go when told."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import pytest
from prefect import flow, get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.settings import PREFECT_WORKER_QUERY_SECONDS, temporary_settings
from prefect.states import Cancelling

from flows.worker import WORKER_TYPE, WarmWorker

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server")]

begun = asyncio.Event()


@flow(name="which-process")
async def which_process() -> int:
    return os.getpid()


@flow(name="fails")
async def fails() -> None:
    raise ValueError("the cause in one line")


@flow(name="never-ends")
async def never_ends() -> None:
    begun.set()
    await asyncio.Event().wait()


@asynccontextmanager
async def worker(work_pool: str) -> AsyncIterator[None]:
    with temporary_settings({PREFECT_WORKER_QUERY_SECONDS: 0.2}):
        task = asyncio.create_task(WarmWorker(work_pool_name=work_pool).start(printer=lambda _: None))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])


async def deploy(client: PrefectClient, name: str, work_pool: str) -> UUID:
    flow_id = await client.create_flow_from_name(name)
    entrypoint = f"tests.flows.test_worker:{name.replace('-', '_')}"
    return await client.create_deployment(
        flow_id, name, entrypoint=entrypoint, work_pool_name=work_pool, pull_steps=[], enforce_parameter_schema=False
    )


async def finished(client: PrefectClient, run_id: UUID, *states: StateType) -> FlowRun:
    """The run once it is in one of the states; by default any final one."""
    async with asyncio.timeout(150):
        while True:
            run = await client.read_flow_run(run_id)
            if run.state is not None and (run.state.type in states if states else run.state.is_final()):
                return run
            await asyncio.sleep(0.05)


@pytest.fixture
async def work_pool() -> AsyncIterator[str]:
    from prefect.client.schemas.actions import WorkPoolCreate

    name = f"pool-{uuid4().hex[:8]}"
    async with get_client() as client:
        await client.create_work_pool(WorkPoolCreate(name=name, type=WORKER_TYPE))
        yield name
        await client.delete_work_pool(name)


async def test_flow_runs_complete_in_the_workers_own_process(work_pool: str) -> None:
    async with get_client() as client, worker(work_pool):
        run = await client.create_flow_run_from_deployment(await deploy(client, "which-process", work_pool))
        run = await finished(client, run.id)
        assert run.state is not None
        assert run.state.is_completed()
        assert run.infrastructure_pid == str(run.id), "the run has no process of its own"


async def test_a_failing_run_says_why_and_the_worker_goes_on(work_pool: str) -> None:
    async with get_client() as client, worker(work_pool):
        failing = await client.create_flow_run_from_deployment(await deploy(client, "fails", work_pool))
        run = await finished(client, failing.id)
        assert run.state is not None
        assert run.state.is_failed()
        assert "the cause in one line" in (run.state.message or "")
        good = await client.create_flow_run_from_deployment(await deploy(client, "which-process", work_pool))
        run = await finished(client, good.id)
        assert run.state is not None
        assert run.state.is_completed()


async def test_cancelling_in_the_ui_stops_the_task(work_pool: str) -> None:
    begun.clear()
    async with get_client() as client, worker(work_pool):
        run = await client.create_flow_run_from_deployment(await deploy(client, "never-ends", work_pool))
        async with asyncio.timeout(150):
            await begun.wait()
        await client.set_flow_run_state(run.id, Cancelling())
        # The engine first reports that its task was stopped (Crashed); the worker, who knows why, has the last word.
        await finished(client, run.id, StateType.CANCELLED)
