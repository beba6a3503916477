"""Flow runs that the `cks-pool` command starts and follows, at a real Prefect server."""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest
from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.client.schemas.objects import FlowRun
from prefect.states import Completed, Failed, Running, State

from cks_pool import prefect_api
from cks_pool.doctor.command import examine_prefect
from cks_pool.doctor.findings import Severity
from cks_pool.errors import BadInput
from cks_pool.errors import Failed as DidNotComplete
from cks_pool.prefect_api import carry_out
from flows import WORK_POOL
from flows.setup import Setup
from tests.flows.conftest import environment
from tests.flows.test_deployments import forget

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server")]


class Deployed:
    """A deployment that the test itself is the worker of."""

    def __init__(self, client: PrefectClient, name: str) -> None:
        self.client, self.name = client, name

    async def run(self) -> FlowRun:
        """Its only run, once there is one."""
        deployment = await self.client.read_deployment_by_name(f"{self.name}/{self.name}")
        wanted = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[deployment.id]))
        while True:
            for run in await self.client.read_flow_runs(flow_run_filter=wanted):
                return run
            await asyncio.sleep(0.02)

    async def ends(self, state: State) -> None:
        """It is taken, and ends so."""
        run = await self.run()
        for one in (Running(), state):
            await self.client.set_flow_run_state(run.id, one, force=True)


@pytest.fixture
async def deployed(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Deployed]:
    monkeypatch.setattr(prefect_api, "LOOK_AGAIN", 0.05)
    name = f"reset-{uuid4().hex[:8]}"
    async with get_client() as client:
        made = await client.create_deployment(await client.create_flow_from_name(name), name)
        yield Deployed(client, name)
        await client.delete_deployment(made)


async def test_a_run_is_followed_to_its_end(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    following = asyncio.create_task(carry_out(deployed.name, {"cluster_id": "cluster1"}, wait=True))
    await deployed.ends(Completed(message="cluster1 is available"))
    await following
    said = capsys.readouterr()
    assert said.out == "cluster1 is available\n"
    assert all(line.startswith("cks-pool: ") for line in said.err.splitlines())
    assert (await deployed.run()).parameters == {"cluster_id": "cluster1"}


async def test_a_run_that_fails_is_a_failure_that_says_why(deployed: Deployed) -> None:
    following = asyncio.create_task(carry_out(deployed.name, {}, wait=True))
    await deployed.ends(Failed(message="not enough room"))
    with pytest.raises(DidNotComplete, match="not enough room"):
        await following


async def test_a_run_can_be_left_to_itself(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    await carry_out(deployed.name, {}, wait=False)
    run = await deployed.run()
    said = capsys.readouterr().out
    assert run.name in said
    assert str(run.id) in said


async def test_who_stops_looking_is_told_that_it_goes_on(
    deployed: Deployed, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefect_api, "UNTAKEN", 0.0)
    following = asyncio.create_task(carry_out(deployed.name, {}, wait=True))
    run = await deployed.run()
    said = ""
    async with asyncio.timeout(30):
        while "no worker has taken" not in said:
            await asyncio.wait([following], timeout=0.1)
            said += capsys.readouterr().err
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following
    assert f"{run.name} goes on without anybody looking" in capsys.readouterr().err


async def test_a_deployment_that_is_missing_is_said_with_what_makes_it() -> None:
    with pytest.raises(BadInput, match="setup prefect"):
        await carry_out("no-such-flow", {}, wait=True)


async def test_the_doctor_looks_at_the_server() -> None:
    found = {one.name: one.verdict for one in await examine_prefect(60)}
    assert found["prefect-api"].severity is Severity.OK
    # The address of its database is nothing that it tells.
    assert found["prefect-database"].severity is Severity.SKIPPED
    assert found.keys() == {"prefect-api", "prefect-database", "maintenance", "worker"}
    assert all(one.cure for one in found.values() if one.severity in (Severity.WARNING, Severity.ERROR))


async def test_what_is_paused_goes_on_once_the_doctors_cures_are_run(tmp_path: Path) -> None:
    async with get_client() as client:
        await Setup.load().at(client)
        maintenance = await client.read_deployment_by_name("pool-maintenance/pool-maintenance")
        (schedule,) = maintenance.schedules
        await client.update_deployment_schedule(maintenance.id, schedule.id, active=False)
        await client.pause_deployment(maintenance.id)
        await client.update_work_pool(WORK_POOL, WorkPoolUpdate(is_paused=True))
        cures = []
        while paused := [one for one in await examine_prefect(60) if "is paused" in one.verdict.found]:
            cures.append(paused[0].verdict.cure)
            assert len(cures) <= 3
            command = [sys.executable, "-m", *shlex.split(cures[-1])]
            env = os.environ | environment() | {"PREFECT_HOME": str(tmp_path)}
            await asyncio.to_thread(subprocess.run, command, env=env, check=True, capture_output=True)
        assert len(cures) == 3
        await forget(client)
