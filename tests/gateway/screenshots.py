"""`python -m tests.gateway.screenshots`: the pictures in docs/images, of a pool with a cluster in each phase."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page

from pool.core.clusters import ClusterCondition, ConditionType, OperationKind
from pool.core.resource import ConditionStatus
from pool.core.settings import Settings
from pool.kube.resources import SESSIONS
from pool.work.opening import opened
from simulator.app import Simulator
from tests.gateway.browser import chromium
from tests.gateway.door import served
from tests.pool.builders import unhealthy
from tests.pool.lab import Lab

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
DESKTOP = {"width": 1280, "height": 900}
SMALLER = {"width": 1180, "height": 640}
PHONE = {"width": 390, "height": 844}
HEALTHY = ClusterCondition(
    type=ConditionType.GUEST_HEALTHY,
    status=ConditionStatus.TRUE,
    reason="Healthy",
    message="both nodes Ready",
    last_transition_time=datetime(2026, 1, 1, tzinfo=UTC),
)


async def fill(lab: Lab) -> None:
    """A busy pool, in which one cluster needs somebody."""
    now = lab.clock()

    def ago(minutes: float) -> datetime:
        return now - timedelta(minutes=minutes)

    well = {"conditions": [HEALTHY], "last_health_check": ago(2)}
    broken = {
        "reason": "RestoreFailed",
        "message": "the restore of cluster5's worker failed: its snapshot wk-snap is not ready to use; "
        "rebuild the cluster, or see kubectl -n cluster5 describe vmrestore",
        "since": ago(18),
        "attempts": 3,
    }
    await lab.add("cluster1", cordoned=True, last_reset=ago(4), last_reset_seconds=121, **well)
    await lab.add("cluster2", last_reset=ago(95), last_reset_seconds=118, epoch=7, **well)
    await lab.add("cluster3", last_reset=ago(90), last_reset_seconds=126, **well)
    await lab.add("cluster4", last_reset=ago(80), last_reset_seconds=133, epoch=3, **well)
    await lab.add(
        "cluster5", "error", failure=broken, last_reset=ago(200), conditions=[unhealthy()], last_health_check=ago(6)
    )
    await lab.add("cluster6", "creating")
    for session, ttl, held in (("lab-bob", 3600, 52), ("exam-0417-alice", 5400, 41), ("lab-chen", 1800, 12)):
        lab.clock.time = ago(held)
        await lab.state.assign(session, ttl_seconds=ttl)
    lab.clock.time = ago(1.2)
    await lab.state.release("lab-chen")
    await lab.state.events.drain()
    (given_back,) = (one.name for one in await lab.state.clusters() if one.phase == "resetting")
    await lab.begin(given_back, OperationKind.RESET, "reset-run")
    lab.clock.time = ago(0.6)
    await lab.begin("cluster6", OperationKind.BOOTSTRAP, "bootstrap-run")
    lab.clock.time = now
    # The free cluster is cordoned, so they wait.
    for session, priority in (("lab-dana", 0), ("exam-0417-erik", 10)):
        spec = {"pool": "default", "priority": priority, "waitSeconds": 600}
        await lab.kube.create(SESSIONS, SESSIONS.manifest(session, lab.settings.namespace) | {"spec": spec})


@asynccontextmanager
async def shown(browser: Browser, url: str, **context: Any) -> AsyncIterator[Page]:
    """The page once it is live."""
    profile = await browser.new_context(reduced_motion="reduce", locale="en-GB", timezone_id="UTC", **context)
    page = await profile.new_page()
    await page.goto(url)
    await page.locator("#rows tr").first.wait_for()
    await page.locator("#events li").first.wait_for()
    yield page
    await profile.close()


async def take(folder: Path) -> None:
    """Take them all."""
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as state:
        async with (
            Simulator(controllers=False, kubeconfig=Path(state) / "kubeconfig") as simulator,
            Lab.open(simulator.kubeconfig_path) as lab,
        ):
            await fill(lab)
            given = Settings(kubeconfig=simulator.kubeconfig_path)
            async with served(lambda _: opened(given, patience=0.2)) as door, chromium() as browser:
                url = str(door.http.base_url)
                for scheme in ("light", "dark"):
                    async with shown(browser, url, viewport=DESKTOP, color_scheme=scheme) as page:
                        await page.screenshot(path=folder / f"page-{scheme}.png")
                async with shown(browser, url, viewport=SMALLER) as page:
                    await page.get_by_role("button", name="Release exam-0417-alice").click()
                    await page.screenshot(path=folder / "page-dialog.png")
                async with shown(browser, url, viewport=PHONE) as page:
                    await page.screenshot(path=folder / "page-phone.png")


if __name__ == "__main__":
    asyncio.run(take(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES))
