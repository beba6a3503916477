"""The warm worker against a real Prefect server: runs what is scheduled, in this process, and lets go when told."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect import flow, get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.events import Event, emit_event
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, PREFECT_WORKER_QUERY_SECONDS, temporary_settings
from prefect.states import Cancelling, Pending, Running

from flows import WORKER_TYPE
from flows.warm import Pace, WarmWorker
from tests.flows.conftest import PrefectServer
from tests.flows.proxy import Proxy

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server")]


class Gate:
    """What a test's flows say and are told."""

    begun: asyncio.Event
    told: asyncio.Event


@pytest.fixture(autouse=True)
def gate() -> None:
    Gate.begun, Gate.told = asyncio.Event(), asyncio.Event()


@flow(name="which-process")
async def which_process() -> int:
    return os.getpid()


@flow(name="fails")
async def fails() -> None:
    raise ValueError("the cause in one line")


@flow(name="tells")
async def tells() -> None:
    emit_event("cks.test.told", {"prefect.resource.id": "cks.test.one"})


@flow(name="never-ends")
async def never_ends() -> None:
    Gate.begun.set()
    await asyncio.Event().wait()


@flow(name="ends-when-told")
async def ends_when_told() -> str:
    Gate.begun.set()
    await Gate.told.wait()
    return "told"


@asynccontextmanager
async def worker(work_pool: str, *, api: str | None = None) -> AsyncIterator[WarmWorker]:
    """A worker, in haste; `api`: the way by which it reaches Prefect's server."""
    pace = Pace(heartbeat=0.5, look=0.2, grace=2.0, stop=2.0)
    ways = {PREFECT_API_URL: api} if api else {}
    with temporary_settings({PREFECT_WORKER_QUERY_SECONDS: 0.2} | ways):
        serving = WarmWorker(work_pool, pace=pace)
        task = asyncio.create_task(serving.serve())
    try:
        yield serving
        assert not task.done(), "the worker has ended"
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
    async with get_client() as client, worker(work_pool) as serving:
        run = await client.create_flow_run_from_deployment(await deploy(client, "which-process", work_pool))
        run = await finished(client, run.id)
        assert run.state is not None
        assert run.state.is_completed()
        assert run.infrastructure_pid == serving.name


async def test_what_a_run_tells_is_found_from_its_deployment(work_pool: str) -> None:
    async with get_client() as client, worker(work_pool):
        deployment = await deploy(client, "tells", work_pool)
        run = await finished(client, (await client.create_flow_run_from_deployment(deployment)).id)
        for end in (f"prefect.deployment.{deployment}", f"prefect.flow-run.{run.id}"):
            assert [event.event for event in await events_about(client, end, "cks.test.")] == ["cks.test.told"]


async def events_about(client: PrefectClient, related: str, prefix: str, least: int = 1) -> list[Event]:
    """The events with that related resource, in order, once there are as many; they take a moment."""
    query = {"related": {"id": [related]}, "event": {"prefix": [prefix]}, "order": "ASC"}
    async with asyncio.timeout(30):
        while True:
            answer = await client.request("POST", "/events/filter", json={"filter": query})
            found = [Event.model_validate(one) for one in answer.raise_for_status().json()["events"]]
            if len(found) >= least:
                return found
            await asyncio.sleep(0.1)


async def test_a_work_pool_that_is_missing_is_made() -> None:
    name = f"pool-{uuid4().hex[:8]}"
    async with get_client() as client, worker(name):
        await finished(client, (await client.create_flow_run_from_deployment(await deploy_when_there(client, name))).id)
        assert (await client.read_work_pool(name)).type == WORKER_TYPE


async def deploy_when_there(client: PrefectClient, work_pool: str) -> UUID:
    """A deployment to the work pool, as soon as it is there."""
    async with asyncio.timeout(30):
        while True:
            try:
                await client.read_work_pool(work_pool)
            except ObjectNotFound:
                await asyncio.sleep(0.1)
            else:
                return await deploy(client, "which-process", work_pool)


async def test_a_failing_run_says_why_and_the_worker_goes_on(
    work_pool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with get_client() as client, worker(work_pool):
        failing = await client.create_flow_run_from_deployment(await deploy(client, "fails", work_pool))
        run = await finished(client, failing.id)
        assert run.state is not None
        assert run.state.is_failed()
        assert "the cause in one line" in (run.state.message or "")
        assert not list(tmp_path.iterdir()), "what it failed of was left where the worker was started"
        good = await client.create_flow_run_from_deployment(await deploy(client, "which-process", work_pool))
        run = await finished(client, good.id)
        assert run.state is not None
        assert run.state.is_completed()


async def test_cancelling_in_the_ui_stops_the_task(work_pool: str) -> None:
    async with get_client() as client, worker(work_pool):
        run = await client.create_flow_run_from_deployment(await deploy(client, "never-ends", work_pool))
        async with asyncio.timeout(150):
            await Gate.begun.wait()
        await client.set_flow_run_state(run.id, Cancelling())
        # The engine first reports that its task was stopped (Crashed); the worker, who knows why, has the last word.
        await finished(client, run.id, StateType.CANCELLED)


async def test_what_was_due_several_times_while_no_worker_was_there_is_done_once(work_pool: str) -> None:
    hour = timedelta(hours=1)
    async with get_client() as client:
        late = [
            await missed(client, await deploy(client, name, work_pool), hour, timedelta(minutes=minutes))
            for name, minutes in (("which-process", 5), ("ends-when-told", 15))
        ]
        by_hand = await client.create_flow_run_from_deployment(late[0][0].deployment_id or UUID(int=0))
        Gate.told.set()
        async with worker(work_pool):
            await finished(client, by_hand.id, StateType.COMPLETED)
            for runs in late:
                assert len(runs) > 3
                ended = [await finished(client, run.id) for run in runs]
                *skipped, last = sorted(ended, key=lambda run: str(run.expected_start_time))
                assert last.state_type is StateType.COMPLETED
                assert {run.state_name for run in skipped} == {"Skipped"}
                assert "one round catches up" in ((skipped[0].state and skipped[0].state.message) or "")
        for runs in late:
            # With its schedule.
            await client.delete_deployment(runs[0].deployment_id or UUID(int=0))


async def missed(client: PrefectClient, deployment: UUID, time: timedelta, interval: timedelta) -> list[FlowRun]:
    """The runs that Prefect scheduled in the `time` before now."""
    end = datetime.now(UTC)
    await client.create_deployment_schedules(deployment, [(IntervalSchedule(interval=interval), True)])
    given = {"start_time": (end - time).isoformat(), "end_time": end.isoformat()}
    (await client.request("POST", f"/deployments/{deployment}/schedule", json=given)).raise_for_status()
    runs = await client.read_flow_runs(deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment])))
    # Other tests have had runs of the same deployment.
    return [run for run in runs if run.auto_scheduled and run.expected_start_time and run.expected_start_time < end]


@pytest.fixture
async def proxy(prefect_server: PrefectServer) -> AsyncIterator[Proxy]:
    """The worker's way to Prefect's server, which may fail. The test's own does not."""
    async with Proxy.before(PREFECT_API_URL.value()) as before:
        yield before


async def running(client: PrefectClient, name: str, work_pool: str) -> UUID:
    """A run of the flow that has begun."""
    Gate.begun.clear()
    run = await client.create_flow_run_from_deployment(await deploy(client, name, work_pool))
    async with asyncio.timeout(150):
        await Gate.begun.wait()
    return run.id


@pytest.mark.parametrize(
    "call", ["GET /api/deployments/", "/set_state", "PATCH /api/flow_runs/", "scheduled_flow_runs"]
)
async def test_one_error_of_the_server_is_waited_out_and_no_other_run_sees_it(
    work_pool: str, proxy: Proxy, call: str
) -> None:
    async with get_client() as client, worker(work_pool, api=proxy.url):
        other = await running(client, "never-ends", work_pool)
        proxy.fail_once(call)
        run = await client.create_flow_run_from_deployment(await deploy(client, "which-process", work_pool))
        assert (await finished(client, run.id)).state_type is StateType.COMPLETED
        assert proxy.failed == 1
        assert (await client.read_flow_run(other)).state_type is StateType.RUNNING


@pytest.mark.parametrize("fault", [Proxy.fail, Proxy.reset, Proxy.freeze])
async def test_what_ends_while_the_server_is_away_is_reported_when_it_is_back(
    work_pool: str, proxy: Proxy, fault: Callable[[Proxy], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.patience.PAUSES", (0.05, 0.2))
    async with get_client() as client, worker(work_pool, api=proxy.url) as serving:
        run = await running(client, "ends-when-told", work_pool)
        fault(proxy)
        Gate.told.set()
        due = await client.create_flow_run_from_deployment(await deploy(client, "which-process", work_pool))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await finished(client, run)
        proxy.recover()
        assert (await finished(client, run)).state_type is StateType.COMPLETED
        assert (await finished(client, due.id)).infrastructure_pid == serving.name


@pytest.mark.parametrize("ends", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_server_that_dies_or_stands_still_takes_nothing_with_it(
    work_pool: str, prefect_server: PrefectServer, ends: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.patience.PAUSES", (0.05, 0.2))
    async with worker(work_pool):
        async with get_client() as client:
            run = await running(client, "ends-when-told", work_pool)
        prefect_server.signal(ends)
        try:
            Gate.told.set()
            await asyncio.sleep(1)  # it is away while the run ends: this is the fault
        finally:
            if ends is signal.SIGKILL:
                await asyncio.to_thread(prefect_server.start)
            else:
                prefect_server.signal(signal.SIGCONT)
        async with get_client() as client:
            assert (await finished(client, run)).state_type is StateType.COMPLETED
            after = await client.create_flow_run_from_deployment(await deploy(client, "which-process", work_pool))
            assert (await finished(client, after.id)).state_type is StateType.COMPLETED


async def test_a_worker_that_is_told_to_end_does_not_wait_for_a_server_that_is_away(
    work_pool: str, proxy: Proxy
) -> None:
    async with get_client() as client, worker(work_pool, api=proxy.url):
        await running(client, "never-ends", work_pool)
        proxy.freeze()
        begin = time.monotonic()
    assert time.monotonic() - begin < 10


async def test_what_dead_workers_had_taken_is_ended_whichever_worker_it_was(work_pool: str) -> None:
    async with get_client() as client:
        deployment = await deploy(client, "which-process", work_pool)

        async def taken(state: State[Any], by: str | None) -> UUID:
            run = await client.create_flow_run_from_deployment(deployment)
            await client.set_flow_run_state(run.id, Pending())
            if by is not None:
                await client.update_flow_run(run.id, infrastructure_pid=by)
            await client.set_flow_run_state(run.id, state, force=True)
            return run.id

        await client.send_worker_heartbeat(work_pool, "dead", 10)
        lost = {
            await taken(Pending(), "dead"): StateType.CRASHED,
            await taken(Running(), "dead"): StateType.CRASHED,
            await taken(Running(), "forgotten"): StateType.CRASHED,
            await taken(Pending(), None): StateType.CRASHED,
            await taken(Cancelling(), "dead"): StateType.CANCELLED,
        }
        async with worker(work_pool):
            for run, state in lost.items():
                ended = await finished(client, run)
                assert ended.state_type is state
                assert ended.state is not None
                assert "is gone" in (ended.state.message or "")


async def test_live_workers_leave_each_others_runs_alone(work_pool: str, proxy: Proxy) -> None:
    async with get_client() as client, worker(work_pool, api=proxy.url):
        run = await running(client, "never-ends", work_pool)
        async with worker(work_pool):
            await asyncio.sleep(4)  # twice as long as it takes to end those of a dead one
            assert (await client.read_flow_run(run)).state_type is StateType.RUNNING
