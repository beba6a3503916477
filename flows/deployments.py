"""The deployments of prefect.yaml, made as `prefect deploy --all` makes them, but at once and without its six seconds.

A test compares the two.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import ConcurrencyOptions
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.exceptions import ObjectNotFound
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema

HERE = Path(__file__).resolve().parent
FILE = next(path for path in (HERE / "prefect.yaml", HERE.parent / "prefect.yaml") if path.exists())
"""Where the package is installed it is in it; in a checkout it is where Prefect looks for it."""


@dataclass(frozen=True)
class Deployment:
    """An entry of prefect.yaml and its flow."""

    entry: dict[str, Any]
    flow: Flow[..., Any]


def load_deployments() -> list[Deployment]:
    """Every entry of prefect.yaml; loads the flows."""
    entries = yaml.safe_load(FILE.read_text())["deployments"]
    return [Deployment(entry, load_flow_from_entrypoint(entry["entrypoint"])) for entry in entries]


async def create_deployments(client: PrefectClient, deployments: Sequence[Deployment]) -> None:
    """Create the deployments, or bring them up to date; a schedule that somebody has paused stays so."""
    await asyncio.gather(*(_create(client, one.entry, one.flow) for one in deployments))


async def _create(client: PrefectClient, entry: dict[str, Any], flow: Flow[..., Any]) -> None:
    concurrency = entry.get("concurrency_limit", {})
    paused = await _paused(client, f"{flow.name}/{entry['name']}")
    await client.create_deployment(
        await client.create_flow_from_name(flow.name),
        entry["name"],
        entrypoint=entry["entrypoint"],
        description=entry["description"],
        tags=entry["tags"],
        work_pool_name=entry["work_pool"]["name"],
        pull_steps=entry["pull"],
        schedules=[_schedule(one, active=one["slug"] not in paused) for one in entry.get("schedules", [])],
        concurrency_limit=concurrency.get("limit"),
        concurrency_options=_options(concurrency),
        parameter_openapi_schema=parameter_schema(flow).model_dump(exclude_unset=True),
        enforce_parameter_schema=True,
    )


async def _paused(client: PrefectClient, name: str) -> set[str | None]:
    """Slugs of the schedules that somebody has paused: the server makes a deployment's schedules anew each time."""
    try:
        found = await client.read_deployment_by_name(name)
    except ObjectNotFound:
        return set()
    return {one.slug for one in found.schedules if not one.active}


def _schedule(given: dict[str, Any], *, active: bool) -> DeploymentScheduleCreate:
    schedule = IntervalSchedule(interval=given["interval"])
    return DeploymentScheduleCreate(schedule=schedule, active=active, slug=given["slug"])


def _options(concurrency: dict[str, Any]) -> ConcurrencyOptions | None:
    if not concurrency:
        return None
    return ConcurrencyOptions(collision_strategy=concurrency["collision_strategy"])
