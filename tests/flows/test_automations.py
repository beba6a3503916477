"""What Prefect notices by itself: each automation that is shipped fires, and what somebody made of it is kept.

What fires it is said by the pool itself (flows.events), or by Prefect about runs of the deployments that are shipped.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import State
from prefect.events.actions import DoNothing, PauseAutomation
from prefect.events.clients import PrefectEventSubscriber, get_events_subscriber
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.states import Completed, Crashed, Running

from flows.automations import ensure_automations, load_automations
from flows.events import announce, announce_stock
from pool.core.lifecycle import ClusterPhase
from pool.core.pools import Pool
from pool.state.events import Transition, Why
from tests.flows.test_through_the_gateway import deploy
from tests.flows.test_worker import work_pool
from tests.pool import builders

__all__ = ["work_pool"]

pytestmark = pytest.mark.prefect

IN_ERROR, SHORT, SILENT, CRASHED = load_automations()
TRIGGERED = EventFilter(event=EventNameFilter(name=["prefect.automation.triggered"]))


@pytest.fixture
async def client(prefect_server: None) -> AsyncIterator[PrefectClient]:
    async with get_client() as client:
        yield client
        for one in await client.read_automations():
            await client.delete_automation(one.id)


@pytest.fixture
async def triggered(client: PrefectClient) -> AsyncIterator[PrefectEventSubscriber]:
    async with get_events_subscriber(TRIGGERED) as feed:
        yield feed


async def fired(feed: PrefectEventSubscriber, automation: AutomationCore, *ours: str) -> str:
    """About which of these resources it was triggered first; the feed begins before the test."""
    async with asyncio.timeout(60):
        async for event in feed:
            if event.resource.name == automation.name:
                (about,) = event.payload["triggering_labels"].values() or [""]
                if about in ours:
                    return str(about)
    raise AssertionError("the feed ended")


def sooner(automation: AutomationCore, seconds: float) -> AutomationCore:
    """The same, but for how long it waits."""
    trigger = automation.trigger
    assert isinstance(trigger, EventTrigger)
    return automation.model_copy(update={"trigger": trigger.model_copy(update={"within": timedelta(seconds=seconds)})})


async def becomes(phase: str) -> str:
    """A cluster does; its name in Prefect."""
    cluster = builders.cluster(f"cluster-{uuid4()}", phase)
    await announce(Transition(cluster, None, ClusterPhase(phase), Why("a test"), datetime.now(UTC)))
    return f"cks.cluster.{cluster.metadata.uid}"


def new_pool() -> tuple[Pool, str]:
    """One, and its name in Prefect."""
    pool = builders.pool(f"pool-{uuid4()}")
    return pool, f"cks.pool.{pool.metadata.uid}"


async def ended(client: PrefectClient, work_pool: str, deployment: str, state: State[Any], **parameters: str) -> str:
    """A run of the deployment that is shipped ends so; its name in Prefect."""
    await deploy(work_pool, deployment)
    found = await client.read_deployment_by_name(f"{deployment}/{deployment}")
    run = await client.create_flow_run_from_deployment(found.id, parameters=parameters)
    for reached in (Running(), state):
        await client.set_flow_run_state(run.id, reached)
    return f"prefect.flow-run.{run.id}"


async def test_they_are_made_once_and_brought_up_to_date_by_name(client: PrefectClient) -> None:
    older = IN_ERROR.model_copy(update={"description": "what an earlier version said"})
    await client.create_automation(older)
    for _ in range(2):
        await ensure_automations(client, load_automations())
    found = await client.read_automations()
    assert sorted(one.name for one in found) == sorted(one.name for one in load_automations())
    assert {one.description for one in found} == {one.description for one in load_automations()}


async def test_what_somebody_made_of_one_is_kept(client: PrefectClient) -> None:
    chosen: dict[str, Any] = {"enabled": False, "actions": [PauseAutomation(source="inferred")], "description": "old"}
    await client.create_automation(IN_ERROR.model_copy(update=chosen))
    await client.create_automation(CRASHED.model_copy(update={"name": "of somebody else"}))
    await ensure_automations(client, [IN_ERROR])
    kept = {one.name: one for one in await client.read_automations()}
    assert kept[IN_ERROR.name].description == IN_ERROR.description
    assert not kept[IN_ERROR.name].enabled
    assert [type(action) for action in kept[IN_ERROR.name].actions] == [PauseAutomation]
    assert [type(action) for action in kept["of somebody else"].actions] == [DoNothing]


async def test_a_cluster_in_error_is_noticed(client: PrefectClient, triggered: PrefectEventSubscriber) -> None:
    await ensure_automations(client, [IN_ERROR])
    clean, broken = await becomes("available"), await becomes("error")
    assert await fired(triggered, IN_ERROR, clean, broken) == broken


async def test_a_run_that_crashed_is_noticed(
    client: PrefectClient, triggered: PrefectEventSubscriber, work_pool: str
) -> None:
    await ensure_automations(client, [CRASHED])
    done = await ended(client, work_pool, "reset-cluster", Completed(), cluster_id="cluster1")
    crashed = await ended(client, work_pool, "reset-cluster", Crashed(), cluster_id="cluster1")
    assert await fired(triggered, CRASHED, done, crashed) == crashed


async def test_a_pool_that_stays_short_and_maintenance_that_is_silent_are_noticed(
    client: PrefectClient, triggered: PrefectEventSubscriber, work_pool: str
) -> None:
    """Together, for both wait for what does not come; a pool that is stocked again is not noticed."""
    await ensure_automations(client, [sooner(SHORT, 10), sooner(SILENT, 11)])
    await ended(client, work_pool, "pool-maintenance", Completed())
    (restocked, fine), (empty, short) = new_pool(), new_pool()
    # Both fire in one look of the server's: whoever listens later would have missed the second.
    async with get_events_subscriber(TRIGGERED) as another:
        announce_stock(restocked, False)
        announce_stock(restocked, True)
        announce_stock(empty, False)
        assert await fired(triggered, SHORT, fine, short) == short
        assert await fired(another, SILENT, "") == ""


def test_what_is_shipped_waits_as_long_as_it_says() -> None:
    waits = [
        (one.trigger.posture, one.trigger.within) for one in (SHORT, SILENT) if isinstance(one.trigger, EventTrigger)
    ]
    assert waits == [(Posture.Proactive, timedelta(minutes=10)), (Posture.Proactive, timedelta(minutes=15))]
