"""prefect.yaml is only read when somebody deploys, and misspelled keys are ignored: so it is checked here."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.flows import Flow
from prefect.utilities.callables import parameter_schema

FILE = Path(__file__).resolve().parents[2] / "prefect.yaml"
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
    "pool-maintenance",
    "pool-status",
    "release-all-clusters",
    "rebuild-cluster",
    "teardown-pool",
}
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


def test_maintenance_runs_every_five_minutes() -> None:
    maintenance = next(deployment for deployment in DEPLOYMENTS if deployment["name"] == "pool-maintenance")
    assert maintenance["schedules"] == [{"interval": 300}]


def test_nothing_is_cached_and_no_flow_blocks_the_warm_worker() -> None:
    for deployment in DEPLOYMENTS:
        flow = flow_of(deployment)
        assert flow.isasync, f"{flow.name} would block the worker's event loop"
