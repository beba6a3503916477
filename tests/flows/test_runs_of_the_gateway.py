"""Flow runs that the gateway starts, at a real Prefect server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from prefect import get_client
from prefect.settings import PREFECT_API_URL

from gateway.runs import Key, PrefectUnavailable, Runs
from pool.core.errors import InvalidInput
from tests.flows.conftest import plain_client

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server")]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that shares two cores with other tests is no server that is away."""
    monkeypatch.setattr("gateway.runs.PATIENCE", 60.0)


@pytest.fixture
async def deployment() -> AsyncIterator[str]:
    """A deployment, flow and deployment of one name, with a schema that is enforced and nobody to run it."""
    name = f"rebuild-{uuid4().hex[:8]}"
    schema = {"type": "object", "properties": {"cluster_id": {"type": "string"}}, "required": ["cluster_id"]}
    async with get_client() as client:
        flow = await client.create_flow_from_name(name)
        made = await client.create_deployment(flow, name, parameters={"if_due": False}, parameter_openapi_schema=schema)
        yield name
        await client.delete_deployment(made)


async def test_a_run_is_started_once_for_a_key_and_told_with_its_addresses(deployment: str) -> None:
    async with Runs.opened() as runs:
        wanted = {"cluster_id": "cluster1"}
        first = await runs.start(deployment, wanted, Key("again", "ada"))
        assert await runs.start(deployment, wanted, Key("again", "ada")) == first
        assert (await runs.start(deployment, wanted, Key("another", "ada"))).flow_run_id != first.flow_run_id
        assert (await runs.start(deployment, wanted)).flow_run_id != (await runs.start(deployment, wanted)).flow_run_id
    assert first.ui_url == f"{PREFECT_API_URL.value().removesuffix('/api')}/runs/flow-run/{first.flow_run_id}"
    async with plain_client() as plain:
        told = (await plain.get(first.state_url)).json()
    assert (told["id"], told["name"], told["state"]["type"]) == (first.flow_run_id, first.name, "SCHEDULED")
    assert told["parameters"] == {"cluster_id": "cluster1", "if_due": False}


async def test_a_key_that_had_other_parameters_is_refused(deployment: str) -> None:
    async with Runs.opened() as runs:
        await runs.start(deployment, {"cluster_id": "cluster1"}, Key("key", "ada"))
        for other in ({"cluster_id": "cluster2"}, {"cluster_id": "cluster1", "if_due": True}):
            with pytest.raises(InvalidInput, match="another call needs another key") as refused:
                await runs.start(deployment, other, Key("key", "ada"))
            assert "cluster1" not in str(refused.value), "what the first call was about is not told"


async def test_a_key_of_somebody_else_or_about_another_life_of_a_session_is_another(deployment: str) -> None:
    keys = [Key("key", "ada"), Key("key", "bob"), Key("key", "bob", "exam/uid1"), Key("key", "bob", "exam/uid2")]
    async with Runs.opened() as runs:
        started = [await runs.start(deployment, {"cluster_id": "cluster1"}, key) for key in keys]
        again = [await runs.start(deployment, {"cluster_id": "cluster1"}, key) for key in keys]
        found = await runs.earlier(deployment, {"cluster_id": "cluster1"}, keys[1])
        nobody = await runs.earlier(deployment, {"cluster_id": "cluster1"}, Key("key", "eve"))
    assert len({run.flow_run_id for run in started}) == len(keys)
    assert again == started
    assert (found, nobody) == (started[1], None)


async def test_a_key_that_comes_again_after_a_handover_is_told_its_first_run(deployment: str) -> None:
    async with Runs.opened() as runs:
        first = await runs.start(deployment, {"cluster_id": "cluster1", "epoch": 1}, Key("handed-over", "ada"))
        now = {"cluster_id": "cluster1", "epoch": 2}
        assert await runs.start(deployment, now, Key("handed-over", "ada")) == first
        assert await runs.earlier(deployment, now, Key("handed-over", "ada")) == first


async def test_parameters_that_the_flow_does_not_take_are_refused(deployment: str) -> None:
    async with Runs.opened() as runs:
        with pytest.raises(InvalidInput, match="cluster_id"):
            await runs.start(deployment, {"cluster_id": 1})


async def test_a_deployment_that_is_missing_is_said_with_what_makes_it() -> None:
    async with Runs.opened() as runs:
        with pytest.raises(PrefectUnavailable, match="prefect deploy --all"):
            await runs.start("no-such-flow", {})


async def test_who_asks_for_one_run_at_once_gets_one(deployment: str) -> None:
    async with Runs.opened() as runs:
        asked = [runs.start(deployment, {"cluster_id": "cluster1"}, Key("one", "ada")) for _ in range(4)]
        assert len({run.flow_run_id for run in await asyncio.gather(*asked)}) == 1
