"""Prefect's database is gone, and its server begins with an empty one: nothing of the pool was in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from prefect.client.orchestration import PrefectClient, get_client
from prefect.exceptions import ObjectNotFound

from flows import WORK_POOL
from flows.automations import load_automations
from flows.dispatch import ask_for
from flows.setup import Setup
from pool.core.clusters import OperationKind
from pool.core.planner.actions import wish
from pool.work.upkeep.acting import Work
from simulator.app import Simulator
from tests.flows.test_deployments import EXPECTED
from tests.pool.lab import Lab

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server")]


@pytest.fixture
def kubeconfig(api_server: Simulator, monkeypatch: pytest.MonkeyPatch) -> Path:
    assert api_server.kubeconfig_path is not None
    monkeypatch.setenv("CKS_POOL_KUBECONFIG", str(api_server.kubeconfig_path))
    return api_server.kubeconfig_path


async def forget(client: PrefectClient) -> None:
    """What of the pool's a server on an empty database does not have: flows with their deployments and runs, the work
    pool, the automations."""
    for flow in await client.read_flows():
        if flow.name in EXPECTED:
            await client.delete_flow(flow.id)
    for automation in await client.read_automations():
        await client.delete_automation(automation.id)
    await client.delete_work_pool(WORK_POOL)


async def test_sessions_go_on_and_once_it_is_set_up_again_what_is_wanted_is_asked_for_again(kubeconfig: Path) -> None:
    async with Lab.open(kubeconfig) as lab, get_client() as client:
        await lab.pool(2)
        setup = Setup.load()
        await setup.at(client)
        await lab.state.assign("alice")
        bob = await lab.state.assign("bob")
        await lab.state.release("alice")
        given_back = await lab.state.cluster("cluster1")
        work = Work(OperationKind.RESET, "cluster1", wish(OperationKind.RESET, given_back))
        name = await ask_for(work)
        assert await ask_for(work) == name
        (lost,) = [one for one in await client.read_flow_runs() if one.name == name]

        await forget(client)
        with pytest.raises(ObjectNotFound):
            await ask_for(work)
        assert await lab.state.assign("bob") == bob
        assert (await lab.state.extend("bob", 60)).expires_at > (bob.status.expires_at or lab.clock())
        assert await lab.state.cluster("cluster1") == given_back, "it waits for its reset"

        await setup.at(client)
        there = {one.name: one for one in await client.read_deployments() if one.name in EXPECTED}
        assert there.keys() == EXPECTED
        assert [one.schedule is not None and one.active for one in there["pool-maintenance"].schedules] == [True]
        assert len(await client.read_automations()) == len(load_automations())
        assert await ask_for(work) == await ask_for(work) == name
        (run,) = [one for one in await client.read_flow_runs() if one.name == name and one.id != lost.id]
        assert run.parameters == {"cluster_id": "cluster1", "if_waiting": True}
        await lab.check()
        await forget(client)
