"""Flow runs started through the Prefect API, as the platform's backend would, and followed to their end."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx

from demo.processes import ChildFailed

PAGE = 200
"""Flow runs that Prefect's server lists at most in one answer."""

FINAL = {"COMPLETED", "FAILED", "CANCELLED", "CRASHED"}


class RunFailed(ChildFailed):
    """A flow run did not complete; the message is its state's."""


def prefect_api(api_url: str, *, auth: str = "") -> httpx.AsyncClient:
    """A client of the Prefect API at `api_url`, to which it shows `auth` (`USER:PASSWORD`).

    Uvicorn ends a connection that was idle for 5 s. httpx would keep it as long, and now and then send a call into the
    end.
    """
    limits = httpx.Limits(keepalive_expiry=2.0)
    user, _, password = auth.partition(":")
    shown = (user, password) if auth else None
    return httpx.AsyncClient(base_url=api_url, auth=shown, timeout=30.0, trust_env=False, limits=limits)


class Runs:
    """The Prefect API at `api_url`: start a deployment, follow the run, list what was run."""

    def __init__(self, client: httpx.AsyncClient, ui_url: str) -> None:
        self._client = client
        self._ui_url = ui_url
        self.urls: list[tuple[str, str]] = []

    async def start(self, deployment: str, **parameters: Any) -> str:
        """Create a flow run of `deployment` (its name; flow and deployment share it). Returns the run's ID."""
        found = await self._json("GET", f"/deployments/name/{deployment}/{deployment}")
        path = f"/deployments/{found['id']}/create_flow_run"
        run = await self._json("POST", path, json={"parameters": parameters})
        self.remember(deployment, run)
        return str(run["id"])

    def remember(self, deployment: str, run: dict[str, Any]) -> None:
        """Keep the run's address in the UI among `urls`."""
        self.urls.append((deployment, f"{self._ui_url}/runs/flow-run/{run['id']}"))

    async def finished(self, run_id: str | UUID, *, timeout: float = 120.0) -> dict[str, Any]:
        """Wait for the run's final state and return the run. Raises RunFailed unless it is Completed in that time."""
        seen = "not to be read"
        try:
            async with asyncio.timeout(timeout):
                while True:
                    run: dict[str, Any] = await self._json("GET", f"/flow_runs/{run_id}")
                    state = run["state"]
                    if state and state["type"] in FINAL:
                        break
                    seen = state["name"] if state else "without a state"
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise RunFailed(f"flow run {run_id} has not ended within {timeout:g} s, it is {seen}") from None
        if state["type"] != "COMPLETED":
            raise RunFailed(f"flow run {run['name']} is {state['name']}: {state.get('message') or 'no message'}")
        return run

    async def run(self, deployment: str, **parameters: Any) -> dict[str, Any]:
        """Start a deployment and wait for its run to complete."""
        return await self.finished(await self.start(deployment, **parameters))

    async def of_deployment(self, deployment: str) -> list[dict[str, Any]]:
        """The deployment's flow runs, newest first."""
        query = {
            "deployments": {"name": {"any_": [deployment]}},
            "sort": "EXPECTED_START_TIME_DESC",
            "limit": 50,
        }
        answer = await self._json("POST", "/flow_runs/filter", json=query)
        return list(answer)

    async def since(self, deployment: str, moment: datetime) -> list[dict[str, Any]]:
        """All flow runs of the deployment that were to start at that moment or later, the earliest first."""
        found: list[dict[str, Any]] = []
        while len(found) % PAGE == 0:
            query = {
                "deployments": {"name": {"any_": [deployment]}},
                "flow_runs": {"expected_start_time": {"after_": moment.isoformat()}},
                "sort": "EXPECTED_START_TIME_ASC",
                "limit": PAGE,
                "offset": len(found),
            }
            page = await self._json("POST", "/flow_runs/filter", json=query)
            if not page:
                break
            found += page
        return found

    async def under_way(self) -> list[dict[str, Any]]:
        """The flow runs that a worker has taken and not ended, at most 200."""
        taken = {"state": {"type": {"any_": ["PENDING", "RUNNING", "CANCELLING"]}}}
        return list(await self._json("POST", "/flow_runs/filter", json={"flow_runs": taken, "limit": 200}))

    async def scheduled(self, deployment: str, *, timeout: float = 90.0) -> datetime:
        """When the deployment runs next by its schedule. Prefect's scheduler looks once a minute for what is new.

        Raises RunFailed if nothing is scheduled within `timeout` seconds.
        """
        try:
            async with asyncio.timeout(timeout):
                while True:
                    coming = [run for run in await self.of_deployment(deployment) if run["auto_scheduled"]]
                    if coming:
                        return min(datetime.fromisoformat(run["expected_start_time"]) for run in coming)
                    await asyncio.sleep(0.5)
        except TimeoutError:
            raise RunFailed(f"Prefect scheduled no run of {deployment} within {timeout:g} s") from None

    async def _json(self, method: str, path: str, **options: Any) -> Any:
        for attempt in range(5):
            answer = await self._client.request(method, path, **options)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or attempt == 4:
                break
            await asyncio.sleep(0.5 * 2**attempt)  # SQLite was locked: the server asks to come again
        if answer.is_error:
            raise RunFailed(f"{method} {path} answered {answer.status_code}: {answer.text[:300]}")
        return answer.json()
