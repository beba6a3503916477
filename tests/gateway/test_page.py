"""The page as people use it, in a real browser over a real gateway: live, with a keyboard, on a bad day."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect

from gateway import feed
from gateway.access.roles import Role
from gateway.access.tokens import as_yaml, new_token
from pool.core.clusters import OperationKind
from pool.core.settings import Settings
from pool.work.opening import opened
from simulator.app import Simulator
from tests.gateway.browser import CHROMIUM, MISSING, chromium
from tests.gateway.door import Door, served
from tests.pool.builders import unhealthy
from tests.pool.lab import ATTESTED, Lab
from tests.pool.wire import UNAVAILABLE, Wire

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason=MISSING),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.xdist_group("browser"),
    pytest.mark.timeout(180),
]
HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
SEEN = """state => {
  Object.defineProperty(document, "visibilityState", {value: state, configurable: true});
  document.dispatchEvent(new Event("visibilitychange"));
}"""
PHONE = {"width": 390, "height": 844}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    expect.set_options(timeout=15_000)
    async with chromium() as started:
        yield started


@dataclass
class Window:
    """Opens the page of a gateway over a lab, and notes what went wrong in the browser."""

    lab: Lab
    simulator: Simulator
    browser: Browser
    stack: AsyncExitStack
    faults: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    door: Door | None = None

    async def serve(self, **settings: Any) -> Door:
        """Serve the page."""
        given = Settings(kubeconfig=self.simulator.kubeconfig_path)
        self.door = await self.stack.enter_async_context(served(lambda _: opened(given, patience=0.1), **settings))
        return self.door

    async def open(self, path: str = "/", **context: Any) -> Page:
        """A page in a fresh profile."""
        door = self.door or await self.serve()
        profile = await self.browser.new_context(**context)
        self.stack.push_async_callback(profile.close)
        page = await profile.new_page()
        page.set_default_timeout(15_000)
        page.on("console", lambda said: self.faults.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        await page.goto(f"{door.http.base_url}{path}")
        return page


@pytest_asyncio.fixture(loop_scope="module")
async def window(browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Window]:
    monkeypatch.setattr(feed, "SPACING", 0.05)
    monkeypatch.setattr(feed, "FIRST", 0.1)
    async with Simulator(controllers=False, kubeconfig=tmp_path / "kubeconfig") as simulator, AsyncExitStack() as stack:
        assert simulator.kubeconfig_path is not None
        lab = await stack.enter_async_context(Lab.open(simulator.kubeconfig_path))
        yield Window(lab, simulator, browser, stack)


def row(page: Page, cluster: str) -> Any:
    return page.locator("#rows tr", has=page.get_by_role("rowheader", name=re.compile(rf"^{cluster}\b")))


async def lively(lab: Lab) -> None:
    """A cluster in each phase, and two that wait."""
    ago = lambda minutes: lab.clock() - timedelta(minutes=minutes)  # noqa: E731
    failure = {"reason": "RestoreFailed", "message": "the snapshot is gone", "since": ago(20), "attempts": 3}
    await lab.add("cluster1", last_reset=ago(12), last_reset_seconds=125, last_health_check=ago(2))
    await lab.add("cluster2", cordoned=True, last_reset=ago(90), conditions=[unhealthy("node wk is not Ready")])
    await lab.add("cluster3", "locked", assigned_session="alice", lock_time=ago(20), expires_at=ago(-40))
    await lab.add("cluster4", "resetting", last_reset=ago(50), last_reset_seconds=118)
    await lab.begin("cluster4", OperationKind.RESET, "a-run")
    await lab.add("cluster5", "creating")
    await lab.add("cluster6", "error", failure=failure)


async def violations(page: Page, within: str = "body") -> list[str]:
    """What axe finds of WCAG's A and AA."""
    only = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}}
    found = await Axe().run(page, within, options=only)
    return [
        f"{one['id']}: {node['html']} {node.get('failureSummary')}"
        for one in found.response["violations"]
        for node in one["nodes"]
    ]


async def test_it_shows_what_there_is(window: Window) -> None:
    await lively(window.lab)
    page = await window.open()
    for phase in ("available", "locked", "resetting", "creating", "error"):
        await expect(page.locator(f"#counts [data-phase={phase}] .word")).to_have_text(phase)
    await expect(page.locator("#counts [data-phase=available] .number")).to_have_text("2")
    await expect(row(page, "cluster1")).to_contain_text(re.compile("1[2-4] min ago"))
    await expect(row(page, "cluster1")).to_contain_text("took 2 min 5 s")
    await expect(row(page, "cluster2")).to_contain_text("cordoned")
    await expect(row(page, "cluster2")).to_contain_text("unhealthy")
    await expect(row(page, "cluster3")).to_contain_text(re.compile(r"alice.*(3\d:\d\d|40:00) left"))
    await expect(row(page, "cluster4")).to_contain_text(re.compile(r"reset, for \d+:\d\d"))
    await expect(row(page, "cluster4")).to_contain_text(re.compile(r"about \d:\d\d to go"))
    await expect(row(page, "cluster6")).to_contain_text("RestoreFailed")
    await expect(row(page, "cluster6")).to_contain_text("the snapshot is gone")
    await expect(page.locator("#live-word")).to_have_text("live")
    assert window.faults == []
    assert window.door is not None
    origin = str(window.door.http.base_url)
    assert [url for url in window.asked if not url.startswith(origin)] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_nobody_is_kept_out_by_contrast_names_or_structure(window: Window, scheme: str) -> None:
    await lively(window.lab)
    page = await window.open(color_scheme=scheme, reduced_motion="reduce")
    await expect(page.locator("#rows tr")).to_have_count(6)
    assert await violations(page) == []
    await row(page, "cluster1").get_by_role("button", name="Reset cluster1").click()
    assert await violations(page) == []


async def test_on_a_phone_rows_are_cards_and_nothing_is_cut_off(window: Window) -> None:
    await lively(window.lab)
    page = await window.open(viewport=PHONE)
    await expect(page.locator("#rows tr")).to_have_count(6)
    assert await page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    assert await row(page, "cluster1").evaluate("element => getComputedStyle(element).display") == "grid"
    # Still a table to who does not see it.
    await expect(row(page, "cluster1").get_by_role("cell")).not_to_have_count(0)


async def test_a_reset_is_followed_while_it_runs_and_focus_stays(window: Window) -> None:
    await window.lab.add("cluster1", last_reset_seconds=60)
    page = await window.open()
    cordon = row(page, "cluster1").get_by_role("button", name="Cordon")
    await cordon.focus()
    kept = await row(page, "cluster1").element_handle()
    run = await window.lab.begin("cluster1", OperationKind.RESET, "a-run")
    await expect(row(page, "cluster1")).to_contain_text(re.compile(r"resetting.*reset, for \d+:\d\d"))
    await expect(row(page, "cluster1").get_by_role("button", name="Reset cluster1")).to_have_attribute(
        "aria-disabled", "true"
    )
    await run.finish(attested=ATTESTED)
    await expect(row(page, "cluster1")).to_contain_text(re.compile(r"available.*(just now|\d min ago)"))
    await expect(page.locator("#events")).to_contain_text("resetting -> available")
    await expect(page.get_by_role("status")).to_have_text("cluster1 is available")
    await expect(cordon).to_be_focused()
    assert await page.evaluate("row => row.isConnected", kept)


async def test_words_of_others_are_shown_and_never_run(window: Window) -> None:
    since = window.lab.clock()
    failure = {"reason": "GuestUnhealthy", "message": HOSTILE, "since": since}
    await window.lab.add("cluster1", "error", failure=failure, conditions=[unhealthy(HOSTILE)])
    # There is no pool of that name: it goes on to one that there is.
    page = await window.open(f"/?pool={HOSTILE}")
    await expect(row(page, "cluster1")).to_contain_text(HOSTILE)
    assert await page.evaluate("window.hacked") is None
    assert await page.locator("main img, main script").count() == 0


async def test_an_outage_of_the_hosts_api_is_shown_as_one_and_ends(window: Window) -> None:
    await window.lab.add("cluster1")
    page = await window.open()
    await expect(page.locator("#rows tr")).to_have_count(1)
    wire = Wire(window.simulator)
    outage = wire.refuse(UNAVAILABLE, times=10**6)
    wire.cut_watches()
    await expect(page.get_by_role("alert")).to_contain_text("The Kubernetes API of the host does not answer.")
    await expect(page.get_by_role("alert")).to_contain_text(re.compile(r"Since \d+:\d\d"))
    await expect(page.locator("main")).to_have_attribute("data-stale", "true")
    await expect(row(page, "cluster1")).to_be_visible()
    outage.times = 0
    await expect(page.get_by_role("alert")).to_be_hidden()
    await expect(page.locator("main")).to_have_attribute("data-stale", "false")


async def test_a_gateway_that_is_gone_is_shown_as_gone_and_found_again(window: Window) -> None:
    await window.lab.add("cluster1")
    given = Settings(kubeconfig=window.simulator.kubeconfig_path)
    async with served(lambda _: opened(given, patience=0.1)) as window.door:
        page = await window.open()
        await expect(page.locator("#rows tr")).to_have_count(1)
        port = window.door.http.base_url.port
    await expect(page.get_by_role("alert")).to_contain_text("The gateway does not answer.")
    await expect(row(page, "cluster1")).to_be_visible()
    await expect(page.locator("#live-word")).to_have_text("not live")
    await expect(page.get_by_role("button", name="Try now")).to_be_visible()
    async with served(lambda _: opened(given, patience=0.1), port=port):
        # Not a click, which waits for ever where the page has found it by itself and the button is gone.
        await page.get_by_role("button", name="Try now", include_hidden=True).dispatch_event("click")
        await expect(page.get_by_role("alert")).to_be_hidden()
        await expect(page.locator("#live-word")).to_have_text("live")


async def test_a_tab_that_nobody_looks_at_follows_nothing_until_it_is_seen_again(window: Window) -> None:
    await window.lab.add("cluster1")
    page = await window.open()
    await expect(page.locator("#live-word")).to_have_text("live")
    await page.clock.install()
    await page.evaluate(SEEN, "hidden")
    await page.clock.fast_forward(31_000)
    await expect(page.locator("#live-word")).to_have_text("resting")
    await window.lab.state.assign("alice")
    await page.evaluate(SEEN, "visible")
    await expect(page.locator("#live-word")).to_have_text("live")
    await expect(row(page, "cluster1")).to_contain_text("alice")


async def with_tokens(window: Window, folder: Path, **roles: Role) -> dict[str, str]:
    """Serve with a token for each name."""
    made = {name: new_token(name, role) for name, role in roles.items()}
    path = folder / "tokens"
    path.write_text("".join(as_yaml(entry) for _, entry in made.values()))
    await window.serve(tokens=path)
    return {name: token for name, (token, _) in made.items()}


async def test_a_token_is_asked_for_kept_in_the_tab_and_forgotten(window: Window, tmp_path: Path) -> None:
    await window.lab.add("cluster1")
    tokens = await with_tokens(window, tmp_path, ada=Role.OPERATOR)
    page = await window.open()
    asked = page.get_by_role("dialog", name="Token")
    await expect(asked).to_contain_text("This gateway wants a token.")
    await page.keyboard.type("wrong")
    await page.keyboard.press("Enter")
    await expect(asked).to_contain_text("That token is not known here")
    await page.keyboard.type(tokens["ada"])
    await page.keyboard.press("Enter")
    await expect(row(page, "cluster1")).to_be_visible()
    await expect(page.locator("#me")).to_have_text("ada, operator")
    await page.reload()
    await expect(row(page, "cluster1")).to_be_visible()
    assert tokens["ada"] not in page.url + "".join(window.asked)
    await page.get_by_role("button", name="Forget token").click()
    await expect(asked).to_be_visible()
    await expect(page.locator("#rows tr")).to_have_count(0)
    assert await page.evaluate("sessionStorage.length + localStorage.length") == 0


async def test_who_is_no_operator_has_no_buttons_and_is_told_why(window: Window, tmp_path: Path) -> None:
    await window.lab.add("cluster1")
    tokens = await with_tokens(window, tmp_path, eve=Role.VIEWER, lms=Role.SESSION)
    page = await window.open()
    for name in ("lms", "eve"):
        await page.get_by_label("Bearer token").fill(tokens[name])
        await page.get_by_role("button", name="Show the pool").click()
        if name == "lms":
            await expect(page.get_by_role("dialog", name="Token")).to_contain_text("lms may not do this")
    await expect(row(page, "cluster1")).to_be_visible()
    await expect(row(page, "cluster1").get_by_role("button")).to_have_count(0)
    await expect(page.locator("#looks")).to_contain_text("You look as viewer.")


async def test_all_of_it_is_reached_by_the_keyboard_alone(window: Window) -> None:
    await window.lab.add("cluster1")
    page = await window.open()
    await expect(row(page, "cluster1")).to_be_visible()
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the clusters")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    reset = row(page, "cluster1").get_by_role("button", name="Reset cluster1")
    await expect(reset).to_be_focused()
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Reset cluster1?")
    await expect(dialog).to_contain_text("go back to their golden snapshots")
    await expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await expect(reset).to_be_focused()


async def test_a_pool_is_chosen_among_several_and_clusters_are_found(window: Window) -> None:
    await window.lab.add("cluster1")
    for number in range(1, 10):
        await window.lab.add(f"exam{number}", "available" if number < 9 else "creating", pool="exam")
    page = await window.open()
    await expect(row(page, "cluster1")).to_be_visible()
    await page.get_by_label("pool").select_option("exam")
    await expect(row(page, "exam9")).to_be_visible()
    await expect(row(page, "cluster1")).to_be_hidden()
    assert page.url.endswith("?pool=exam")
    await page.get_by_role("searchbox").fill("exam3")
    await expect(page.locator("#shown")).to_have_text("1 of 9")
    await page.get_by_role("searchbox").fill("")
    await page.get_by_role("button", name=re.compile("creating")).click()
    await expect(row(page, "exam9")).to_be_visible()
    await expect(row(page, "exam3")).to_be_hidden()


async def test_the_api_s_page_shows_every_operation_and_loads_nothing_from_elsewhere(window: Window) -> None:
    page = await window.open("/api")
    assert window.door is not None
    paths = (await window.door.http.get("/openapi.json")).json()["paths"]
    operations = sum(len(methods) for methods in paths.values())
    await expect(page.locator(".opblock")).to_have_count(operations)
    assert window.faults == []
    origin = str(window.door.http.base_url)
    assert [url for url in window.asked if not url.startswith((origin, "data:"))] == []


async def test_a_button_says_what_it_will_do_and_does_it_once_confirmed(window: Window) -> None:
    await window.lab.add("cluster1")
    await window.lab.state.assign("alice", ttl_seconds=3600)
    page = await window.open()
    await row(page, "cluster1").get_by_role("button", name="Release alice").click()
    dialog = page.get_by_role("dialog", name="Take cluster1 from alice?")
    await expect(dialog).to_contain_text("alice loses cluster1 at once, and its session ends.")
    async with page.expect_request("**/api/v1/sessions/alice") as sent:
        await dialog.get_by_role("button", name="Release").click()
    headers = (await sent.value).headers
    assert headers["if-match"] == '"1"'
    assert len(headers["idempotency-key"]) == 36
    await expect(page.locator("#notices")).to_contain_text("cluster1 was taken back from alice.")
    await expect(row(page, "cluster1")).to_contain_text("waits for its reset")
    assert (await window.lab.state.session("alice")).phase == "Released"


async def test_a_session_is_given_more_time(window: Window) -> None:
    await window.lab.add("cluster1")
    await window.lab.state.assign("alice", ttl_seconds=600)
    page = await window.open()
    await row(page, "cluster1").get_by_role("button", name="Extend alice").click()
    await page.get_by_label("Minutes more").fill("50")
    await page.keyboard.press("Enter")
    await expect(row(page, "cluster1")).to_contain_text(re.compile(r"(5\d:\d\d|1:00:00) left"))


async def test_what_cannot_be_done_is_told_in_the_dialog_with_its_cure_and_can_be_tried_again(window: Window) -> None:
    await window.lab.add("cluster1")
    await window.lab.state.assign("alice")
    page = await window.open()
    await row(page, "cluster1").get_by_role("button", name="Reset cluster1").click()
    await expect(page.get_by_role("dialog")).to_contain_text("alice keeps cluster1, clean, and loses all work on it.")
    async with page.expect_request("**/alice/reset") as first:
        await page.get_by_role("dialog").get_by_role("button", name="Reset").click()
    problem = page.get_by_role("dialog").get_by_role("alert")
    await expect(problem).to_contain_text("PrefectUnavailable")
    await expect(problem).to_contain_text("PREFECT_API_URL")
    async with page.expect_request("**/alice/reset") as second:
        await page.get_by_role("dialog").get_by_role("button", name="Try again").click()
    key = "idempotency-key"
    assert (await first.value).headers[key] == (await second.value).headers[key]


async def test_a_cluster_is_cordoned_and_let_back(window: Window) -> None:
    await window.lab.add("cluster1")
    page = await window.open()
    for name, marked in (("Cordon", True), ("Uncordon", False)):
        await row(page, "cluster1").get_by_role("button", name=f"{name} cluster1").click()
        await page.get_by_role("dialog").get_by_role("button", name=name).click()
        await expect(row(page, "cluster1").locator(".mark", has_text="cordoned")).to_be_visible(visible=marked)
