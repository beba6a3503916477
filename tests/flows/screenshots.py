"""`python -m tests.flows.screenshots`: the pictures of Prefect's UI in docs/images, of a stack that it starts and uses.

A bootstrap is started from its form, a session gets a cluster and gives it back, and the reset is looked at.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
from playwright.async_api import Page, ViewportSize

from demo.runs import Runs, prefect_api
from demo.screen import Screen
from demo.stack import running
from pool.core.settings import Settings
from pool.work.opening import opened
from tests.gateway.browser import chromium

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
SIZE = ViewportSize(width=1280, height=900)
DRAWN = 4000
"""Milliseconds until Prefect's UI has drawn what it has read."""


class Pictures:
    """Prefect's UI at `url`, in a browser."""

    def __init__(self, page: Page, url: str, folder: Path) -> None:
        self.page, self._url, self._folder = page, url, folder

    async def take(self, name: str, path: str = "", shows: str = "", height: int = SIZE["height"]) -> None:
        """The page at `path` as `prefect-NAME.png`, once it shows the text; where the browser is, if left out."""
        await self.page.set_viewport_size({"width": SIZE["width"], "height": height})
        if path:
            await self.page.goto(self._url + path)
        if shows:
            await self.page.get_by_text(shows).first.wait_for(timeout=60_000)
        await self.page.wait_for_timeout(DRAWN)
        await self.page.screenshot(path=self._folder / f"prefect-{name}.png")

    async def bootstrap(self, deployment: str) -> None:
        """Start a bootstrap of three clusters from its form."""
        await self.page.goto(f"{self._url}/deployments/deployment/{deployment}/run")
        await self.page.get_by_text("golden_snapshots").wait_for(timeout=60_000)
        await self.page.get_by_text("int", exact=True).first.click()
        await self.page.locator("input[type=number]").first.fill("3")
        await self.take("form")
        await self.page.get_by_role("button", name="Submit").click()
        await self.page.wait_for_url("**/deployments/deployment/*?tab=Runs", timeout=60_000)


async def newest(runs: Runs, deployment: str) -> dict[str, Any]:
    """The deployment's newest run, once there is one."""
    async with asyncio.timeout(60):
        while True:
            if found := await runs.of_deployment(deployment):
                return found[0]
            await asyncio.sleep(0.2)


async def artifact(client: httpx.AsyncClient, key: str, run: str) -> str:
    """The ID of the run's artifact of that key."""
    query = {"artifacts": {"key": {"any_": [key]}, "flow_run_id": {"any_": [run]}}}
    (found,) = (await client.post("/artifacts/filter", json=query)).raise_for_status().json()
    return str(found["id"])


async def take(folder: Path) -> None:
    """Take them all."""
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as state:
        async with (
            running(Path(state), speed=5, screen=Screen()) as stack,
            prefect_api(stack.api_url) as client,
            chromium() as browser,
        ):
            runs = Runs(client, stack.ui_url)
            profile = await browser.new_context(viewport=SIZE, locale="en-GB", timezone_id="UTC")
            pictures = Pictures(await profile.new_page(), stack.ui_url, folder)
            deployment = (await client.get("/deployments/name/bootstrap-pool/bootstrap-pool")).json()
            await pictures.bootstrap(deployment["id"])
            made = await runs.finished((await newest(runs, "bootstrap-pool"))["id"], timeout=300)
            steps = await artifact(client, "steps-cluster1", made["id"])
            await pictures.take("artifact", f"/artifacts/artifact/{steps}", "wait-guest", height=700)
            await runs.run("assign-session", session_id="alice")
            await runs.run("release-session", session_id="alice")
            reset = await runs.finished((await newest(runs, "reset-cluster"))["id"], timeout=120)
            await pictures.take("reset", f"/runs/flow-run/{reset['id']}", reset["name"], height=760)
            async with opened(Settings(kubeconfig=stack.kubeconfig)) as host:
                uid = (await host.state.cluster(reset["parameters"]["cluster_id"])).metadata.uid
            await pictures.take("events", f"/events?resource=cks.cluster.{uid}", "Cks cluster available", height=1010)


if __name__ == "__main__":
    asyncio.run(take(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES))
