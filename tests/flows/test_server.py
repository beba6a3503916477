"""The Prefect server on the database that the tests and the demo give it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import httpx
import pytest
from prefect import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.schedules import IntervalSchedule

from tests.flows.conftest import plain_client

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server")]

AT_ONCE, ROUNDS = 12, 5


async def test_calls_that_come_at_once_are_all_taken() -> None:
    """Without retries: Prefect's own client hides a refusal behind seconds of waiting."""
    async with get_client() as client:
        flow = await client.create_flow_from_name("burst")
        deployment = await client.create_deployment(flow, f"burst-{uuid4().hex[:8]}", enforce_parameter_schema=False)
    path = f"/deployments/{deployment}/create_flow_run"
    async with plain_client() as plain:
        for _ in range(ROUNDS):
            answers = await asyncio.gather(*(plain.post(path, json={}) for _ in range(AT_ONCE)))
            assert [answer.status_code for answer in answers] == [httpx.codes.CREATED] * AT_ONCE
            assert len({answer.json()["id"] for answer in answers}) == AT_ONCE


async def test_a_schedule_makes_runs() -> None:
    """A scheduler that fails says so in the server's log only."""
    schedule = DeploymentScheduleCreate(schedule=IntervalSchedule(interval=timedelta(minutes=5)))
    async with get_client() as client, asyncio.timeout(90):
        flow = await client.create_flow_from_name("regular")
        name = f"regular-{uuid4().hex[:8]}"
        deployment = await client.create_deployment(flow, name, schedules=[schedule], enforce_parameter_schema=False)
        only = DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))
        while not (runs := await client.read_flow_runs(deployment_filter=only)):  # noqa: ASYNC110 - the API has no watch
            await asyncio.sleep(0.2)
        assert all(run.auto_scheduled for run in runs)
        await client.delete_deployment(deployment)
