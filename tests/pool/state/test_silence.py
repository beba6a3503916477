"""Whether a run lives, judged by who watched it; whatever the clocks of the machines say.

| who judges                     | heartbeat                          | what becomes of the run                     |
|--------------------------------|------------------------------------|---------------------------------------------|
| has watched it for the grace   | did not move, whatever it says     | taken over at once                          |
| has watched it                 | moved within the grace             | left alone                                  |
| sees it for the first time     | of these moments                   | refused at once                             |
| sees it for the first time     | old, or ahead; does not move       | watched for the grace, then taken over      |
| sees it for the first time     | old, or ahead; moves               | refused as soon as it does                  |
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from pool.core.clusters import OperationKind
from pool.core.errors import OperationInProgress
from pool.core.planner import Observed, PlanConfig, plan
from pool.core.planner.actions import TakeOver
from pool.core.settings import Settings
from pool.kube.resources import POOLED_CLUSTERS
from pool.state import OperationHandle, PoolState
from pool.state.silence import Silence
from simulator.api.requests import Target
from simulator.app import Simulator
from tests.pool.builders import T0, cluster, operation
from tests.pool.lab import Lab, begin
from tests.pool.wire import Wire

RESET = OperationKind.RESET
DAY = 86400.0
SHORT = Settings(operation_grace=0.15, operation_heartbeat=0.02)


class Watch:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.time = 5000.0

    def __call__(self) -> float:
        return self.time


def works(beat: float = 0, run: str = "run1") -> Any:
    return cluster("c1", "resetting", operation=operation(run=run, beat=beat))


@pytest.mark.parametrize("beat", [-DAY, -90, 0, 90, DAY])
def test_a_run_is_silent_once_the_same_heartbeat_was_seen_for_the_grace_whatever_it_says(beat: float) -> None:
    watch = Watch()
    silence = Silence(60, watch)
    assert silence.left(works(beat)) == 60
    watch.time += 59
    assert silence.left(works(beat)) == 1
    watch.time += 1
    assert silence.left(works(beat)) <= 0
    assert silence.seems(works(beat), T0)


def test_a_heartbeat_that_moves_begins_it_anew_also_backwards() -> None:
    watch = Watch()
    silence = Silence(60, watch)
    for beat in (0, 10, 5):
        assert silence.left(works(beat)) == 60
        watch.time += 59
    assert silence.left(works(5)) == 1
    assert silence.left(works(5, run="run2")) == 60, "another run is another's silence"
    silence.see(cluster("c1", "resetting"))
    assert silence.left(works(5, run="run2")) == 60


@pytest.mark.parametrize(("beat", "worth"), [(-DAY, True), (-60, True), (-59, False), (59, False), (DAY, True)])
def test_who_has_not_watched_a_run_tries_one_that_does_not_look_alive(beat: float, worth: bool) -> None:
    assert Silence(60, Watch()).seems(works(beat), T0) is worth


def test_one_that_was_seen_to_move_is_not_tried_however_far_off_its_clock_is() -> None:
    silence = Silence(60, Watch())
    silence.see(works(-DAY))
    silence.see(works(-DAY + 10))
    assert not silence.seems(works(-DAY + 10), T0)


async def off_by(lab: Lab, seconds: float, run: str = "run1") -> OperationHandle:
    """A run on a machine that goes by another clock."""
    state = lab.another(now=lambda: lab.clock() + timedelta(seconds=seconds))
    return await begin(state, "c1", RESET, run)


async def taken_over(lab: Lab, state: PoolState) -> list[str]:
    clusters = await state.clusters()
    observed = Observed.of(await state.pool(), [], clusters, state.silent(clusters))
    return [action.stale_run for action in plan(observed, PlanConfig(), lab.clock()) if isinstance(action, TakeOver)]


@pytest.mark.parametrize("seconds", [-DAY, -90, 0, 90, DAY])
async def test_a_dead_run_is_taken_over_after_the_grace_whatever_its_clock_said(lab: Lab, seconds: float) -> None:
    await lab.add("c1", "resetting")
    await off_by(lab, seconds)
    await lab.silence()
    assert await taken_over(lab, lab.state) == ["run1"]
    await lab.begin("c1", RESET, "run2")
    assert (await lab.state.cluster("c1")).status.takeovers == 1


@pytest.mark.parametrize("seconds", [-DAY, -90, 90, DAY])
async def test_a_live_run_is_left_alone_whatever_its_clock_says(lab: Lab, seconds: float) -> None:
    await lab.add("c1", "resetting")
    work = await off_by(lab, seconds)
    await lab.state.clusters()
    for _ in range(10):
        lab.clock.forward(30)
        await work.heartbeat()
        assert await taken_over(lab, lab.state) == []
    with pytest.raises(OperationInProgress, match="run1"):
        await lab.begin("c1", RESET, "run2")


async def test_who_comes_new_refuses_at_once_what_looks_alive(lab: Lab) -> None:
    await lab.add("c1", "resetting")
    await lab.begin("c1", RESET, "run1")
    lab.clock.forward(lab.settings.operation_grace - 1)
    lab.kube.counted()
    with pytest.raises(OperationInProgress, match=r"run1.*wait for it"):
        await begin(lab.another(), "c1", RESET, "run2")
    assert lab.kube.counted() == ["GET pooledclusters/c1"] * 2


@pytest.mark.parametrize("seconds", [-DAY, DAY])
async def test_who_comes_new_watches_what_does_not_look_alive_and_takes_it_over(lab: Lab, seconds: float) -> None:
    await lab.add("c1", "resetting")
    await off_by(lab, seconds)
    loop = asyncio.get_running_loop()
    state, since = PoolState(lab.kube, SHORT, now=lab.clock), loop.time()
    await begin(state, "c1", RESET, "run2")
    assert loop.time() - since >= SHORT.operation_grace
    assert (await lab.state.cluster("c1")).status.takeovers == 1


@pytest.mark.parametrize("seconds", [-DAY, DAY])
async def test_who_comes_new_is_refused_as_soon_as_the_watched_run_moves(
    api_server: Simulator, lab: Lab, seconds: float
) -> None:
    await lab.add("c1", "resetting")
    work = await off_by(lab, seconds)
    patient = Settings(operation_grace=60, operation_heartbeat=0.01)
    looks = asyncio.Semaphore(0)

    async def looked(target: Target) -> None:
        if target.verb == "get":
            looks.release()

    Wire(api_server).before = looked
    comes = asyncio.create_task(begin(PoolState(lab.kube, patient, now=lab.clock), "c1", RESET, "run2"))
    for _ in range(4):
        await looks.acquire()
    lab.clock.forward(1)
    await work.heartbeat()
    with pytest.raises(OperationInProgress, match="run1"):
        async with asyncio.timeout(10):
            await comes


async def test_who_comes_new_begins_as_soon_as_the_watched_run_has_ended(lab: Lab) -> None:
    await lab.add("c1", "resetting")
    work = await off_by(lab, -DAY)
    patient = Settings(operation_grace=60, operation_heartbeat=0.01)
    comes = asyncio.create_task(begin(PoolState(lab.kube, patient, now=lab.clock), "c1", RESET, "run2"))
    await work.fail("Trouble", "of some kind")
    async with asyncio.timeout(10):
        await comes
    found = (await lab.state.cluster("c1")).status
    assert (found.takeovers, found.failure and found.failure.attempts) == (0, 1)


async def test_the_view_watches_as_well(lab: Lab) -> None:
    await lab.add("c1", "resetting")
    state = lab.another()
    async with state.following():
        work = await off_by(lab, DAY)
        lab.clock.forward(lab.settings.operation_grace)
        await lab.watching.until(POOLED_CLUSTERS, "c1", "cks-pool", lambda obj: obj, timeout=10, what="it to be seen")
        lab.clock.forward(lab.settings.operation_grace)
        await begin(state, "c1", RESET, "run2")
    assert work.run_id == "run1"
