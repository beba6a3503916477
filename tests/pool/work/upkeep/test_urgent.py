"""What a process that stands by does by itself: sessions end on time, the queue moves, clusters are reset.

Prefect is not there in any of these, or does not answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pool.core.clusters import OperationKind
from pool.core.lifecycle import ClusterPhase
from pool.core.planner import Observed
from pool.core.sessions import Session, SessionSpec
from pool.kube.client import Object
from pool.kube.resources import POOLED_CLUSTERS, SESSIONS, Resource
from pool.work.reset import reset
from pool.work.steps import Host
from pool.work.upkeep.acting import Work
from pool.work.upkeep.errands import Errands
from pool.work.upkeep.standby import StandBy
from pool.work.upkeep.urgent import ASKED_AT_ONCE, Urgent
from tests.pool.bench import Bench, bench_at
from tests.pool.builders import session
from tests.pool.lab import Lab
from tests.pool.work.pooled import used_and_given_back
from tests.pool.work.upkeep.hands import Hands

Answer = Callable[[Work], Awaitable[str]]


async def refuses(_work: Work) -> str:
    raise ConnectionError("Prefect is away")


async def stands_still(_work: Work) -> str:
    await asyncio.Event().wait()
    return ""


async def starts_nothing(_work: Work) -> str:
    """A run is made, and is yet to be taken."""
    return "a-run"


async def unasked(_pool: str, _reason: str) -> None:
    """Maintenance is not what these tests are about."""


@asynccontextmanager
async def standing_by(host: Host, start: Answer = refuses, number: int = 1) -> AsyncIterator[None]:
    """So many processes follow the pools while it is entered."""
    tasks = [asyncio.create_task(StandBy(host, unasked, start, pause=0.02, patience=0.05).run()) for _ in range(number)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def many_due(hands: Hands, total: int, *, alone_after: float) -> Host:
    """So many clusters wait for a reset; the host of one who does it without Prefect after so many seconds."""
    await hands.lab.pool(total, "resetting")
    await hands.lab.state.resize("default", total)
    return replace(hands.host, settings=hands.host.settings.model_copy(update={"reset_by_itself_after": alone_after}))


async def becomes(lab: Lab | Bench, resource: Resource, name: str, phase: str, timeout: float = 20) -> None:
    """The object is in that phase, within seconds."""

    def there(obj: Object | None) -> bool | None:
        return True if (obj or {}).get("status", {}).get("phase") == phase else None

    what = f"{name} to become {phase}"
    await lab.watching.until(resource, name, lab.settings.namespace, there, timeout=timeout, what=what)


async def waiting(lab: Lab, name: str) -> Session:
    """A session whose caller has died after it was created."""
    wanted = session(name, spec=SessionSpec(pool="default", requested_at=lab.clock()))
    metadata = {"name": name, "namespace": lab.settings.namespace}
    obj = wanted.to_object() | {"metadata": metadata}
    obj.pop("status", None)
    return Session.from_object(await lab.kube.create(SESSIONS, obj, lab.settings.namespace))


@pytest.mark.parametrize("number", [1, 3])
async def test_a_session_ends_when_its_time_is_over_and_its_cluster_waits_for_a_reset(
    hands: Hands, number: int
) -> None:
    lab = hands.lab
    await lab.pool(2)
    await lab.state.assign("s", ttl_seconds=60)
    lab.clock.forward(59.9)
    async with standing_by(hands.host, number=number):
        lab.clock.forward(0.2)
        await becomes(lab, SESSIONS, "s", "Expired", timeout=5)
    assert sorted((await hands.phases()).values()) == ["available", "resetting"]


async def test_a_session_ends_that_promised_heartbeats_and_sends_none(hands: Hands) -> None:
    lab = hands.lab
    await lab.pool(1)
    await lab.state.assign("s", heartbeat_timeout_seconds=60)
    lab.clock.forward(59.9)
    async with standing_by(hands.host):
        lab.clock.forward(0.2)
        await becomes(lab, SESSIONS, "s", "Expired", timeout=5)


async def test_a_run_that_dies_is_looked_for_as_its_grace_ends_whenever_the_last_look_was(hands: Hands) -> None:
    lab = hands.lab
    await lab.pool(1, "resetting")
    await lab.begin("cluster1", OperationKind.RESET, "run")
    urgent = Urgent(hands.host, refuses, Errands(), patience=3)

    async def next_look() -> float | None:
        clusters = await lab.state.clusters()
        return urgent.look(Observed.of(await lab.state.pool("default"), [], clusters, lab.state.silent(clusters)))

    grace = lab.settings.operation_grace
    assert await next_look() == pytest.approx(grace)
    lab.clock.forward(grace - 5)
    assert await next_look() == pytest.approx(5)


async def test_however_many_resets_are_due_at_once_few_are_asked_for_at_a_time(hands: Hands) -> None:
    total = 3 * ASKED_AT_ONCE
    await hands.lab.pool(total, "resetting")
    await hands.lab.state.resize("default", total)
    full, all_asked = asyncio.Event(), asyncio.Event()
    asked: set[str] = set()
    under_way = most = 0

    async def counts(work: Work) -> str:
        nonlocal under_way, most
        asked.add(work.cluster_id)
        under_way += 1
        most = max(most, under_way)
        if under_way == ASKED_AT_ONCE:
            full.set()
        await full.wait()
        await asyncio.sleep(0)
        under_way -= 1
        if len(asked) == total:
            all_asked.set()
        return "a-run"

    async with standing_by(hands.host, counts):
        await asyncio.wait_for(all_asked.wait(), 30)
    assert most == ASKED_AT_ONCE


async def test_however_many_resets_are_due_a_prefect_that_answers_has_a_run_of_each(
    hands: Hands, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("pool.work.upkeep.urgent.ANSWER", 3.0)
    total = 12 * ASKED_AT_ONCE
    host = await many_due(hands, total, alone_after=0.2)
    answered: set[str] = set()
    all_answered = asyncio.Event()

    async def is_slow(work: Work) -> str:
        # All of them, ten at a time, take longer than one answer may.
        await asyncio.sleep(0.3)
        answered.add(work.cluster_id)
        if len(answered) == total:
            all_answered.set()
        return "a-run"

    async with standing_by(host, is_slow):
        await asyncio.wait_for(all_answered.wait(), 60)
    assert not [record.getMessage() for record in caplog.records if "Prefect does not answer" in record.msg]


async def test_a_prefect_that_answers_late_now_and_then_is_asked_again_and_has_all_runs(
    hands: Hands, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("pool.work.upkeep.urgent.ANSWER", 0.2)
    monkeypatch.setattr("pool.work.upkeep.urgent.AGAIN", 0.1)
    total = 2 * ASKED_AT_ONCE
    host = await many_due(hands, total, alone_after=5.0)
    times = Counter[str]()
    answered: set[str] = set()
    all_answered = asyncio.Event()

    async def is_busy(work: Work) -> str:
        times[work.cluster_id] += 1
        if times[work.cluster_id] < 3 and work.cluster_id != "cluster1":
            await stands_still(work)
        answered.add(work.cluster_id)
        if len(answered) == total:
            all_answered.set()
        return "a-run"

    async with standing_by(host, is_busy):
        # Long before it would do without Prefect.
        await asyncio.wait_for(all_answered.wait(), 4.5)
    assert not [record.getMessage() for record in caplog.records if "Prefect does not answer" in record.msg]


async def test_a_reset_that_somebody_has_begun_before_its_turn_came_is_not_asked_for(
    hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pool.work.upkeep.urgent.ASKED_AT_ONCE", 1)
    await hands.lab.pool(2, "resetting")
    asked: list[str] = []
    first, go_on = asyncio.Event(), asyncio.Event()

    async def waits(work: Work) -> str:
        asked.append(work.cluster_id)
        first.set()
        await go_on.wait()
        return "a-run"

    async with standing_by(hands.host, waits), asyncio.timeout(10):
        await first.wait()
        (other,) = {"cluster1", "cluster2"}.difference(asked)
        with hands.host.state.view.news() as news:
            await hands.lab.begin(other, OperationKind.RESET, "somebody's")
            while hands.host.state.view.clusters[other].status.operation is None:
                await news.wait()
                news.clear()
        go_on.set()
        await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name() == f"the reset of {other}"))
    assert other not in asked


async def test_however_many_resets_are_due_none_waits_for_a_prefect_that_hangs_longer_than_the_others(
    hands: Hands, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("pool.work.upkeep.urgent.ANSWER", 0.5)
    total = 10 * ASKED_AT_ONCE
    host = await many_due(hands, total, alone_after=0.5)
    begun: set[str] = set()
    all_begun = asyncio.Event()
    asked = 0

    async def hangs(work: Work) -> str:
        nonlocal asked
        asked += 1
        return await stands_still(work)

    def notice(record: logging.LogRecord) -> bool:
        if record.msg.startswith("Prefect does not answer"):
            begun.add(str(record.args[0]) if isinstance(record.args, tuple) else "")
            if len(begun) == total:
                all_begun.set()
        return True

    monkeypatch.setattr(caplog.handler, "filters", [notice])
    async with standing_by(host, hangs):
        await asyncio.wait_for(all_begun.wait(), 60)
    # One after the other, each would have been asked for.
    assert asked <= 4 * ASKED_AT_ONCE


async def test_who_waits_gets_a_cluster_though_nobody_came_by(hands: Hands) -> None:
    await waiting(hands.lab, "s")
    await hands.lab.pool(1)
    async with standing_by(hands.host):
        await becomes(hands.lab, SESSIONS, "s", "Active", timeout=5)
    await hands.lab.check()


async def test_a_handover_that_was_left_half_way_is_finished(hands: Hands) -> None:
    lab = hands.lab
    left = await waiting(lab, "s")
    await lab.add(
        "cluster1",
        "locked",
        assigned_session="s",
        assigned_session_uid=left.metadata.uid,
        epoch=1,
        lock_time=lab.clock(),
        expires_at=lab.clock() + timedelta(days=365),
    )
    async with standing_by(hands.host):
        await becomes(lab, SESSIONS, "s", "Active", timeout=5)
    await lab.check()


async def test_a_reset_that_nobody_started_is_asked_for_once(hands: Hands) -> None:
    lab = hands.lab
    await lab.pool(1)
    await lab.state.assign("s")
    await lab.state.release("s")
    asked = asyncio.Event()
    times: list[Work] = []

    async def start(work: Work) -> str:
        times.append(work)
        asked.set()
        return work.wish

    async with standing_by(hands.host, start):
        await asyncio.wait_for(asked.wait(), 5)
        await asyncio.sleep(0.3)  # six times as long as it takes to ask
    assert [(work.kind, work.cluster_id) for work in times] == [(OperationKind.RESET, "cluster1")]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A cluster with real steps; it was used and given back, and Prefect has little time to answer."""
    async with bench_at(tmp_path / "kubeconfig", 1000.0) as opened:
        await used_and_given_back(opened)
        opened.configured(reset_by_itself_after=0.2)
        yield opened


@pytest.mark.parametrize(("answer", "number"), [(refuses, 1), (stands_still, 1), (refuses, 3)])
async def test_a_cluster_is_reset_without_prefect_by_one_of_those_who_stand_by(
    bench: Bench, answer: Answer, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pool.work.upkeep.urgent.ANSWER", 0.2)
    objects = bench.objects()
    await bench.damage("left-behind")
    async with standing_by(bench.host(), answer, number):
        await becomes(bench, POOLED_CLUSTERS, "cluster1", "available")
    assert await bench.damaged("left-behind") is None
    assert bench.objects() == objects
    # Prefect is back, and has its run begin.
    assert await reset(bench.host(), "cluster1", run_id="from-prefect", if_waiting=True) is None


async def test_a_cluster_whose_run_prefect_has_is_left_to_it(bench: Bench) -> None:
    async with standing_by(bench.host(), starts_nothing):
        await asyncio.sleep(1)  # five times as long as it would wait for an answer
    assert (await bench.pooled()).phase is ClusterPhase.RESETTING
