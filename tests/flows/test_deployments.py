"""prefect.yaml is only read when somebody deploys, and misspelled keys are ignored: so it is checked here."""

from __future__ import annotations

import asyncio
import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prefect.client.orchestration import PrefectClient, get_client
from prefect.flows import Flow
from prefect.utilities.callables import parameter_schema

from flows import WORK_POOL
from flows.deployments import FILE
from flows.setup import Setup
from tests.flows.conftest import environment, plain_client

CONTENT: dict[str, Any] = yaml.safe_load(FILE.read_text())
DEPLOYMENTS: list[dict[str, Any]] = CONTENT["deployments"]

EXPECTED = {
    "create-namespaces",
    "bootstrap-pool",
    "create-golden-snapshots",
    "reset-cluster",
    "assign-session",
    "release-session",
    "extend-session",
    "heartbeat-session",
    "pool-maintenance",
    "pool-status",
    "release-all-clusters",
    "rebuild-cluster",
    "teardown-pool",
}
SCHEDULED = ["pool-maintenance", "pool-status"]
KNOWN_KEYS = {"name", "entrypoint", "description", "tags", "work_pool", "pull", "schedules", "concurrency_limit"}


def flow_of(deployment: dict[str, Any]) -> Flow[..., Any]:
    module, _, name = deployment["entrypoint"].partition(":")
    flow = getattr(importlib.import_module(module), name)
    assert isinstance(flow, Flow)
    return flow


def test_every_flow_of_the_pool_is_deployed_once() -> None:
    names = [deployment["name"] for deployment in DEPLOYMENTS]
    assert sorted(names) == sorted(EXPECTED)


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda deployment: deployment["name"])
class TestDeployment:
    def test_has_only_keys_that_prefect_reads(self, deployment: dict[str, Any]) -> None:
        assert set(deployment) <= KNOWN_KEYS
        assert deployment["pull"] == [], "code comes with the package; a pull step would bake in the deployer's folder"
        assert deployment["work_pool"] == {"name": "cks-pool"}

    def test_is_named_like_its_flow(self, deployment: dict[str, Any]) -> None:
        assert flow_of(deployment).name == deployment["name"]

    def test_describes_every_parameter_for_the_form(self, deployment: dict[str, Any]) -> None:
        schema = parameter_schema(flow_of(deployment)).model_dump()
        for name, parameter in schema["properties"].items():
            assert parameter.get("description"), f"parameter {name} has no description"
            typed = {"type", "anyOf", "allOf", "$ref", "enum", "const"} & set(parameter)
            assert typed, f"parameter {name} has no type, the form cannot render it"


def test_what_can_only_be_one_thing_is_chosen_and_names_have_an_example() -> None:
    for deployment in DEPLOYMENTS:
        for name, parameter in parameter_schema(flow_of(deployment)).model_dump()["properties"].items():
            example = {"confirm": "", "cluster_id": "cluster1", "cluster_ids": "cluster1"}.get(name)
            if example is None:
                continue
            assert example in parameter["description"], f"{name} of {deployment['name']}"
            if name == "confirm":
                assert parameter["enum"] == ["teardown"]
                assert "const" not in parameter, "Prefect's form lets nobody fill in a constant"


def test_maintenance_runs_every_five_minutes() -> None:
    maintenance = next(deployment for deployment in DEPLOYMENTS if deployment["name"] == "pool-maintenance")
    assert [schedule["interval"] for schedule in maintenance["schedules"]] == [300]


def test_nothing_is_cached_and_no_flow_blocks_the_warm_worker() -> None:
    for deployment in DEPLOYMENTS:
        flow = flow_of(deployment)
        assert flow.isasync, f"{flow.name} would block the worker's event loop"


# Who made it when, and Prefect's note that its command made it.
INCIDENTAL = {
    *("id", "created", "updated", "created_by", "updated_by", "last_polled", "status", "version", "version_id"),
    *("deployment_id", "anchor_date"),
}


@pytest.mark.prefect
async def test_what_is_deployed_at_once_is_what_prefect_deploy_makes(prefect_server: None, tmp_path: Path) -> None:
    async with get_client() as prefect:
        await Setup.load().at(prefect)
    async with plain_client() as client:
        at_once = await deployed(client)
        for one in at_once.values():
            (await client.delete(f"/deployments/{one.pop('id')}")).raise_for_status()
        await by_prefect(tmp_path)
        by_command = await deployed(client)
        for one in by_command.values():
            one.pop("id")
    for name, made in by_command.items():
        assert at_once[name] == made
    assert len(by_command) == len(EXPECTED)


async def by_prefect(home: Path) -> None:
    """Have Prefect's own command deploy all."""
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(FILE)]
    env = {**os.environ, **environment(), "PREFECT_HOME": str(home)}
    await asyncio.to_thread(subprocess.run, command, env=env, check=True, capture_output=True)


@pytest.mark.prefect
async def test_a_schedule_that_somebody_paused_stays_paused_and_others_go_on(
    prefect_server: None, tmp_path: Path
) -> None:
    setup = Setup.load()
    async with get_client() as prefect:
        await setup.at(prefect)
        paused, going = [await prefect.read_deployment_by_name(f"{name}/{name}") for name in SCHEDULED]
        (schedule,) = paused.schedules
        await prefect.update_deployment_schedule(paused.id, schedule.id, active=False)
        for again in (setup.at(prefect), by_prefect(tmp_path)):
            await again
            found = [await prefect.read_deployment_schedules(one.id) for one in (paused, going)]
            assert [schedule.active for (schedule,) in found] == [False, True]
        await prefect.delete_deployment(paused.id)
        await setup.at(prefect)
        again = await prefect.read_deployment_by_name(f"{SCHEDULED[0]}/{SCHEDULED[0]}")
        assert [schedule.active for schedule in again.schedules] == [True]


async def deployed(client: httpx.AsyncClient) -> dict[str, dict[str, Any]]:
    """The deployments of prefect.yaml as the server has them, without what differs each time (but with their ID)."""
    query = {"deployments": {"name": {"any_": sorted(EXPECTED)}, "tags": {"all_": ["cks-pool"]}}}
    found = (await client.post("/deployments/filter", json=query)).raise_for_status().json()
    return {one["name"]: {**_essential(one), "id": one["id"]} for one in found}


async def forget(client: PrefectClient) -> None:
    """Remove what flows.setup has made at the server, with the runs."""
    for flow in await client.read_flows():
        if flow.name in EXPECTED:
            await client.delete_flow(flow.id)
    for automation in await client.read_automations():
        await client.delete_automation(automation.id)
    await client.delete_work_pool(WORK_POOL)


def _essential(found: Any) -> Any:
    """`found` without its own and its schedules' and limits' incidental fields."""
    if isinstance(found, list):
        return [_essential(one) for one in found]
    if not isinstance(found, dict):
        return found
    kept = {key: _essential(value) for key, value in found.items() if key not in INCIDENTAL}
    # The limit of a deployment is named for the deployment's ID.
    return {key: value for key, value in kept.items() if not str(value).startswith("deployment:")}
