"""Each deployment's form in Prefect's UI, in a browser: what a person sees and fills in who starts a run by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import ConsoleMessage, Page, expect
from prefect import get_client
from prefect.settings import PREFECT_API_URL

from flows.setup import Setup
from tests.flows.conftest import AUTH, plain_client
from tests.flows.test_deployments import EXPECTED, deployed, forget
from tests.gateway.browser import CHROMIUM, MISSING, chromium

pytestmark = [pytest.mark.prefect, pytest.mark.skipif(CHROMIUM is None, reason=MISSING)]

WHO = f"localStorage.setItem('prefect-password', btoa('{AUTH}'))"
"""Where the UI keeps what the server wants to be shown, once somebody has typed it in."""
FILLED_IN = {"session_id": "alice", "cluster_id": "cluster1", "confirm": "teardown"}
"""What cannot be left out."""


@pytest.fixture
async def deployments(prefect_server: None) -> AsyncIterator[dict[str, dict[str, Any]]]:
    """All that are shipped, by name."""
    async with get_client() as client, plain_client() as plain:
        await Setup.load().at(client)
        yield await deployed(plain)
        await forget(client)


async def test_every_deployments_form_has_its_parameters_and_starts_a_run(
    deployments: dict[str, dict[str, Any]],
) -> None:
    assert deployments.keys() == EXPECTED
    faults: list[str] = []
    async with chromium() as browser, plain_client() as client:
        profile = await browser.new_context()
        await profile.add_init_script(WHO)
        page = await profile.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda said: faults.append(said.text) if is_fault(said) else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        for name, deployment in deployments.items():
            given = await fill_in(page, deployment)
            query = {"deployments": {"id": {"any_": [deployment["id"]]}}}
            runs = (await client.post("/flow_runs/filter", json=query)).raise_for_status().json()
            (run,) = [one for one in runs if not one["auto_scheduled"]]
            assert {key: run["parameters"].get(key) for key in given} == given, name
    assert faults == []


async def fill_in(page: Page, deployment: dict[str, Any]) -> dict[str, str]:
    """Look at the form, fill in what has to be and have the run started. Returns what was given."""
    schema = deployment["parameter_openapi_schema"]
    parameters, required = schema["properties"], schema.get("required", [])
    names = sorted(parameters, key=lambda name: parameters[name]["position"])
    await page.goto(f"{PREFECT_API_URL.value().removesuffix('/api')}/deployments/deployment/{deployment['id']}/run")
    labels = [name if name in required else f"{name} (Optional)" for name in names]
    await expect(page.locator(".schema-form-property__label")).to_have_text(labels, timeout=60_000)
    given = {name: FILLED_IN[name] for name in required}
    for name, value in given.items():
        field = page.locator(".schema-form-property", has_text=name).first
        if name == "confirm":
            await field.locator(".p-select-button__control").press("ArrowDown")
            await page.locator(".p-select-option", has_text=value).click()
        else:
            await field.locator("textarea").fill(value)
    await page.get_by_role("button", name="Submit").click()
    await page.wait_for_url("**/deployments/deployment/*?tab=Runs")
    return given


def is_fault(said: ConsoleMessage) -> bool:
    """An error, but for the one that every page of Prefect's has: there is no icon."""
    return said.type == "error" and not said.location["url"].endswith("/favicon.ico")
