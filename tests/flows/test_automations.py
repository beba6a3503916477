"""What Prefect notices by itself: each automation that is shipped fires, and what somebody made of it is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.orchestration import PrefectClient, get_client
from prefect.events import emit_event
from prefect.events.actions import DoNothing, PauseAutomation
from prefect.events.clients import PrefectEventSubscriber, get_events_subscriber
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

from flows.automations import ensure_automations, load_automations

pytestmark = pytest.mark.prefect

IN_ERROR, SHORT, SILENT, CRASHED = load_automations()
TRIGGERED = EventFilter(event=EventNameFilter(name=["prefect.automation.triggered"]))
said: list[str] = []
"""The resources of this test's events."""


@pytest.fixture
async def client(prefect_server: None) -> AsyncIterator[PrefectClient]:
    async with get_client() as client:
        yield client
        for one in await client.read_automations():
            await client.delete_automation(one.id)


@pytest.fixture
async def triggered(client: PrefectClient) -> AsyncIterator[PrefectEventSubscriber]:
    said.clear()
    async with get_events_subscriber(TRIGGERED) as feed:
        yield feed


async def fired(feed: PrefectEventSubscriber, automation: AutomationCore) -> list[str]:
    """About which resources it was triggered, up to the first that is one of this test's; the feed begins earlier."""
    about: list[str] = []
    async with asyncio.timeout(60):
        async for event in feed:
            if event.resource.name == automation.name:
                about += event.payload["triggering_labels"].values() or [""]
                if about[-1] in ("", *said):
                    return about
    raise AssertionError("the feed ended")


def sooner(automation: AutomationCore, seconds: float) -> AutomationCore:
    """The same, but for how long it waits."""
    trigger = automation.trigger
    assert isinstance(trigger, EventTrigger)
    return automation.model_copy(update={"trigger": trigger.model_copy(update={"within": timedelta(seconds=seconds)})})


def say(event: str, resource: str, *related: dict[str, str]) -> None:
    said.append(resource)
    emit_event(event=event, resource={"prefect.resource.id": resource}, related=list(related))


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
    clean, broken = (f"cks.cluster.{uuid4()}" for _ in range(2))
    say("cks.cluster.available", clean)
    say("cks.cluster.error", broken)
    assert (await fired(triggered, IN_ERROR))[-1] == broken


async def test_a_run_that_crashed_is_noticed(client: PrefectClient, triggered: PrefectEventSubscriber) -> None:
    await ensure_automations(client, [CRASHED])
    tag = {"prefect.resource.id": "prefect.tag.cks-pool", "prefect.resource.role": "tag"}
    run = f"prefect.flow-run.{uuid4()}"
    say("prefect.flow-run.Crashed", run, tag)
    assert (await fired(triggered, CRASHED))[-1] == run


async def test_a_pool_that_stays_short_and_maintenance_that_is_silent_are_noticed(
    client: PrefectClient, triggered: PrefectEventSubscriber
) -> None:
    """Together, for both wait for what does not come; a pool that is stocked again is not noticed."""
    await ensure_automations(client, [sooner(SHORT, 10), sooner(SILENT, 11)])
    deployment = {
        "prefect.resource.id": f"prefect.deployment.{uuid4()}",
        "prefect.resource.role": "deployment",
        "prefect.resource.name": "pool-maintenance",
    }
    say("prefect.flow-run.Completed", f"prefect.flow-run.{uuid4()}", deployment)
    short, stocked = (f"cks.pool.{uuid4()}" for _ in range(2))
    say("cks.pool.short", stocked)
    say("cks.pool.stocked", stocked)
    say("cks.pool.short", short)
    assert stocked not in await fired(triggered, SHORT)
    async with get_events_subscriber(TRIGGERED) as another:
        assert await fired(another, SILENT) == [""]


def test_what_is_shipped_waits_as_long_as_it_says() -> None:
    waits = [
        (one.trigger.posture, one.trigger.within) for one in (SHORT, SILENT) if isinstance(one.trigger, EventTrigger)
    ]
    assert waits == [(Posture.Proactive, timedelta(minutes=10)), (Posture.Proactive, timedelta(minutes=15))]
