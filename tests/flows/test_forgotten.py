"""Prefect's database is gone: its server begins with an empty one beside a worker. Nothing of the pool was in it."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound

from flows import WORK_POOL
from flows.automations import load_automations
from flows.dispatch import ask_for
from flows.maintenance import maintain
from flows.runtime import standing_by
from flows.setup import Setup
from pool.core.clusters import OperationKind
from pool.core.planner.actions import wish
from pool.kube.resources import POOLED_CLUSTERS
from pool.work.steps import Host
from pool.work.upkeep.acting import Work
from pool.work.upkeep.standby import StandBy
from tests.flows.conftest import PrefectServer
from tests.flows.made import made
from tests.flows.test_deployments import EXPECTED, forget
from tests.flows.test_without_prefect import in_phase, seen, worked_on
from tests.flows.test_worker import finished, worker

pytestmark = pytest.mark.prefect


async def test_sessions_go_on_and_what_is_wanted_is_done_once_it_is_set_up_again(
    host: Host, prefect_server: PrefectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As docs/backup.md tells. A reset that is under way is the worker's to end; the next one is asked for anew."""
    monkeypatch.setattr("flows.runtime.StandBy", partial(StandBy, pause=0.1, patience=0.3))
    monkeypatch.setattr("flows.patience.PAUSES", (0.05, 0.2))
    monkeypatch.setattr(host.settings, "reset_by_itself_after", 600.0)
    await made(host, 3)
    setup = Setup.load()
    async with get_client() as client:
        await setup.at(client)
    for session in ("alice", "bob", "carol"):
        await host.state.assign(session)
    holds = {one.status.assigned_session: one.name for one in await host.state.clusters()}
    carol = await host.state.session("carol")
    async with standing_by(maintain, ask_for), worker(WORK_POOL):
        await host.state.release("alice")
        await seen(host, POOLED_CLUSTERS, holds["alice"], "to be reset", worked_on)
        await asyncio.to_thread(prefect_server.begin_anew)
        await seen(host, POOLED_CLUSTERS, holds["alice"], "to be free", in_phase("available"))
        await host.state.release("bob")
        due = await host.state.cluster(holds["bob"])
        assert await host.state.assign("carol") == carol
        async with get_client() as client:
            with pytest.raises(ObjectNotFound):
                await ask_for(Work(OperationKind.RESET, due.name, wish(OperationKind.RESET, due)))

            await setup.at(client)
            there = {one.name: one for one in await client.read_deployments()}
            assert there.keys() == EXPECTED
            assert [one.schedule is not None and one.active for one in there["pool-maintenance"].schedules] == [True]
            assert len(await client.read_automations()) == len(load_automations())
            # As the schedule has one within five minutes.
            upkeep = await client.create_flow_run_from_deployment(there["pool-maintenance"].id)
            await seen(host, POOLED_CLUSTERS, due.name, "to be free", in_phase("available"))
            runs = await client.read_flow_runs()
            (reset,) = [one for one in runs if one.deployment_id == there["reset-cluster"].id]
            assert reset.parameters == {"cluster_id": due.name, "if_waiting": True}
            for run in (upkeep, reset):
                state = (await finished(client, run.id)).state
                assert state is not None
                assert state.is_completed(), state.message
    async with get_client() as client:
        await forget(client)
