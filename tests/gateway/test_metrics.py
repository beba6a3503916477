"""Scrapes, over HTTP: what is, zeros too; what happened; and that an outage is no empty pool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from pool.core.clusters import OperationKind
from pool.core.errors import ApiUnavailable
from pool.core.lifecycle import ClusterPhase
from pool.core.pools import PoolSpec
from pool.core.resource import Metadata
from pool.kube.resources import POOLS
from pool.state.events import Listener
from pool.work.steps import Host
from simulator.api.faults import Fault, FaultKind
from simulator.app import Simulator
from tests.gateway.door import Door, inside, of_lab
from tests.pool.builders import golden
from tests.pool.lab import Lab

Scrape = dict[tuple[str, tuple[tuple[str, str], ...]], float]


async def scrape(door: Door) -> Scrape:
    answer = await door.http.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return dict(samples(answer.text))


def samples(text: str) -> Iterator[tuple[tuple[str, tuple[tuple[str, str], ...]], float]]:
    for family in text_string_to_metric_families(text):
        for one in family.samples:
            yield (one.name, tuple(sorted(one.labels.items()))), one.value


def of(found: Scrape, name: str, **labels: str) -> float | None:
    return found.get((f"cks_pool_{name}", tuple(sorted(labels.items()))))


def since(lab: Lab, metadata: Metadata) -> float:
    """Seconds since the object was made, by the lab's clock."""
    assert metadata.creation_timestamp is not None
    return (lab.clock() - metadata.creation_timestamp).total_seconds()


async def until(door: Door, check: Callable[[Scrape], bool]) -> Scrape:
    """The first scrape that is so, with each change that the gateway sees."""
    with door.gateway.the_host().state.view.news() as news:
        async with asyncio.timeout(10):
            while True:
                news.clear()
                if check(found := await scrape(door)):
                    return found
                await news.wait()


async def test_every_phase_of_every_pool_is_told_the_empty_ones_too(lab: Lab) -> None:
    await lab.state.ensure_pool("exam", PoolSpec(cluster_prefix="exam", size=7))
    await lab.add("cluster1")
    await lab.add("cluster2", "error")
    async with inside(of_lab(lab)) as door:
        found = await scrape(door)
    told = {
        (pool, phase): of(found, "clusters", pool=pool, phase=phase)
        for pool in ("default", "exam")
        for phase in ClusterPhase
    }
    assert {key for key, value in told.items() if value} == {("default", "available"), ("default", "error")}
    assert None not in told.values()
    assert (
        of(found, "sessions", pool="exam", phase="Pending") == of(found, "sessions", pool="exam", phase="Active") == 0
    )
    assert (of(found, "queue_length", pool="exam"), of(found, "queue_age_seconds", pool="exam")) == (0, 0)
    assert of(found, "wanted_clusters", pool="exam") == 7
    assert of(found, "attestation_failures_total", pool="exam") == 0
    assert of(found, "operation_seconds_count", pool="exam", kind="reset", outcome="failed") == 0
    assert of(found, "up") == 1


async def test_a_pool_that_is_in_use_is_told_as_it_is(lab: Lab) -> None:
    await lab.add("cluster1", golden=golden(certificates_expire_at=lab.clock() + timedelta(days=12)))
    await lab.add("cluster2", cordoned=True)
    async with inside(of_lab(lab)) as door:
        await lab.state.assign("alice")
        waiting = asyncio.create_task(lab.state.assign("bob", wait_seconds=60))
        found = await until(door, lambda now: of(now, "queue_length", pool="default") == 1)
        assert of(found, "sessions", pool="default", phase="Active") == 1
        assert of(found, "clusters", pool="default", phase="available") == 1
        assert of(found, "free_clusters", pool="default") == 0, "it is cordoned"
        assert of(found, "certificate_days_left", pool="default", cluster="cluster1") == 12
        assert of(found, "assignment_seconds_count", pool="default") == 1
        lab.clock.forward(45)
        bob = await lab.state.session("bob")
        assert of(await scrape(door), "queue_age_seconds", pool="default") == since(lab, bob.metadata)
        waiting.cancel()
        await asyncio.wait([waiting])


async def test_work_is_told_whoever_does_it_and_a_gateway_that_starts_late_does_not_know_it(lab: Lab) -> None:
    await lab.add("cluster1", "resetting")
    async with inside(of_lab(lab)) as door:
        failed = await lab.begin("cluster1", OperationKind.RESET, "run1")
        lab.clock.forward(30)
        await failed.fail("AttestationFailed", "a disk of another snapshot")
        found = await until(door, lambda now: of(now, "attempts", pool="default", cluster="cluster1") == 1)
        assert of(found, "attestation_failures_total", pool="default") == 1
        await lab.begin("cluster1", OperationKind.RESET, "run2")
        await lab.silence()
        await lab.reset("cluster1", "run3")
        found = await until(door, lambda now: of(now, "clusters", pool="default", phase="available") == 1)
        for outcome in ("failed", "taken-over", "succeeded"):
            labels = {"pool": "default", "kind": "reset", "outcome": outcome}
            assert of(found, "operation_seconds_count", **labels) == 1, outcome
        assert of(found, "operation_seconds_bucket", pool="default", kind="reset", outcome="failed", le="30") == 1
        assert of(found, "attempts", pool="default", cluster="cluster1") == 0
        async with inside(of_lab(lab)) as late:
            assert (
                of(await scrape(late), "operation_seconds_count", pool="default", kind="reset", outcome="failed") == 0
            )


async def test_takeovers_and_what_maintenance_notes_are_told(lab: Lab) -> None:
    await lab.add("cluster1", "resetting", takeovers=3)
    async with inside(of_lab(lab)) as door:
        lab.clock.forward(1000)
        pool = await lab.state.pool()
        assert of(await scrape(door), "maintenance_age_seconds", pool="default") == since(lab, pool.metadata)
        await lab.state.note_swept("default", 2)
        await lab.state.note_maintenance("default")
        found = await until(door, lambda now: of(now, "maintenance_age_seconds", pool="default") == 0)
    assert of(found, "leftovers_swept_total", pool="default") == 2
    assert of(found, "takeovers", pool="default", cluster="cluster1") == 3


async def test_while_the_host_is_away_the_scrape_says_so_and_tells_of_no_pool(lab: Lab, api_server: Simulator) -> None:
    await lab.pool(2)
    async with inside(of_lab(lab)) as door:
        assert of(await scrape(door), "up") == 1
        api_server.faults.add(Fault(FaultKind.RESET))
        for watch in list(api_server.api.watches):
            watch.close()
        async with asyncio.timeout(10):
            while of(found := await scrape(door), "up"):  # noqa: ASYNC110 - an interruption makes no news
                await asyncio.sleep(0)
    assert {name for name, _ in found} == {"cks_pool_up", "cks_pool_build_info"}


async def test_a_gateway_that_never_saw_its_host_says_that(lab: Lab) -> None:
    @asynccontextmanager
    async def refused(_: Listener) -> AsyncIterator[Host]:
        raise ApiUnavailable(0, "Refused", "connection refused")
        yield

    async with inside(refused, ready=False) as door:
        assert of(await scrape(door), "up") == 0


async def test_sessions_add_no_series(lab: Lab) -> None:
    await lab.pool(1)
    async with inside(of_lab(lab)) as door:
        before = set(await scrape(door))
        for number in range(5):
            await lab.state.assign(f"s{number}")
            await lab.state.release(f"s{number}")
            await lab.reset("cluster1", f"run{number}")
        found = await until(door, lambda now: of(now, "assignment_seconds_count", pool="default") == 5)
        assert set(found) == before


async def test_a_change_that_cannot_be_measured_does_not_end_the_view(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await lab.pool(1)

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    async with inside(of_lab(lab)) as door:
        monkeypatch.setattr("gateway.metrics.collecting.of_cluster", broken)
        await lab.state.assign("alice")
        await until(door, lambda now: of(now, "clusters", pool="default", phase="locked") == 1)
    assert "a change was not measured" in caplog.text


async def test_a_pool_that_is_gone_takes_its_numbers_with_it(lab: Lab) -> None:
    await lab.state.ensure_pool("exam", PoolSpec(cluster_prefix="exam"))
    async with inside(of_lab(lab)) as door:
        assert of(await scrape(door), "wanted_clusters", pool="exam") == 3
        await lab.kube.patch(POOLS, "exam", {"metadata": {"finalizers": []}}, "cks-pool")
        await lab.kube.delete(POOLS, "exam", "cks-pool")
        found = await until(door, lambda now: of(now, "wanted_clusters", pool="exam") is None)
    assert not [labels for _, labels in found if ("pool", "exam") in labels]


async def test_open_metrics_are_told_to_who_asks_for_them(door: Door) -> None:
    answer = await door.http.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
    names = {family.name for family in openmetrics(answer.text)}
    assert {"cks_pool_clusters", "cks_pool_operation_seconds", "cks_pool_leftovers_swept"} <= names
