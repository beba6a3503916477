"""Deployments that nobody runs: which runs of theirs a test started."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Crashed


class Started:
    """The flow runs of a deployment that were started since the test began."""

    def __init__(self, client: PrefectClient, deployment: UUID, before: set[UUID]) -> None:
        self._client = client
        self._deployment = deployment
        self._before = before

    async def crash(self) -> None:
        """All of them end without having begun, as when their worker dies."""
        await self.become(Crashed())

    async def become(self, state: State[Any]) -> None:
        """All of them are in that state."""
        for run in await _runs(self._client, self._deployment):
            if run.id not in self._before:
                await self._client.set_flow_run_state(run.id, state, force=True)

    async def runs(self) -> list[FlowRun]:
        """The runs."""
        return [run for run in await _runs(self._client, self._deployment) if run.id not in self._before]

    async def started(self) -> list[str]:
        """The clusters they are for, in no order."""
        runs = await _runs(self._client, self._deployment)
        return [run.parameters["cluster_id"] for run in runs if run.id not in self._before]


async def _runs(client: PrefectClient, deployment: UUID) -> list[FlowRun]:
    only = DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))
    return await client.read_flow_runs(deployment_filter=only)


@asynccontextmanager
async def deployed(name: str, entrypoint: str) -> AsyncIterator[Started]:
    """A deployment that the Prefect server knows, with nobody to run it."""
    async with get_client() as client:
        deployment = await client.create_deployment(
            await client.create_flow_from_name(name),
            name,
            entrypoint=entrypoint,
            pull_steps=[],
            parameter_openapi_schema={},
            enforce_parameter_schema=False,
        )
        before = {run.id for run in await _runs(client, deployment)}
        yield Started(client, deployment, before)
