"""What maintenance and resets note on a Pool, beside those that write its counts all the time."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from pool.core.errors import Conflict, KubeconfigError
from pool.kube.resources import POOLS
from pool.work.upkeep import keep_up
from pool.work.upkeep.acting import Keeper, Work
from pool.work.upkeep.status import note_pool_status
from simulator.api.faults import Fault, FaultKind
from simulator.app import Simulator
from tests.pool.lab import Lab
from tests.pool.work.upkeep.hands import Hands


async def test_maintenance_notes_when_it_came_to_its_end(hands: Hands) -> None:
    lab = hands.lab
    assert (await lab.state.pool()).status.last_maintenance is None
    for _ in range(2):
        lab.clock.forward(300)
        await hands.keep_up()
        assert (await lab.state.pool()).status.last_maintenance == lab.clock()


async def test_maintenance_that_could_not_do_all_is_not_silent(hands: Hands) -> None:
    async def start(_work: Work) -> str:
        raise KubeconfigError("no answer")

    with pytest.raises(KubeconfigError):
        await keep_up(Keeper(hands.host, start, "maintenance"), "default")
    assert (await hands.lab.state.pool()).status.last_maintenance == hands.lab.clock()


async def test_a_maintenance_that_ended_earlier_and_writes_later_takes_nothing_back(lab: Lab) -> None:
    await lab.state.note_maintenance("default")
    late = lab.another(now=lambda: lab.clock() - timedelta(seconds=60))
    await late.note_maintenance("default")
    assert (await lab.state.pool()).status.last_maintenance == lab.clock()


async def test_who_writes_counts_keeps_the_notes(hands: Hands) -> None:
    lab = hands.lab
    before = await lab.state.pool()
    await lab.state.note_swept("default", 2)
    await lab.state.note_maintenance("default")
    await lab.pool(1)
    with pytest.raises(Conflict):
        await lab.state.write_pool_status(before, before.status.changed(available=1))
    await note_pool_status(hands.host, "default")
    status = (await lab.state.pool()).status
    assert (status.available, status.leftovers_swept, status.last_maintenance) == (1, 2, lab.clock())


async def test_every_leftover_is_counted_whoever_writes_meanwhile(lab: Lab, api_server: Simulator) -> None:
    conflict = api_server.faults.add(Fault(FaultKind.CONFLICT, verbs=("update",), resource="pools", count=3))
    await asyncio.gather(*(lab.state.note_swept("default", 1) for _ in range(5)))
    assert conflict.total == 3
    assert (await lab.state.pool()).status.leftovers_swept == 5


async def test_a_pool_that_is_gone_is_noted_nowhere(lab: Lab) -> None:
    await lab.kube.patch(POOLS, "default", {"metadata": {"finalizers": []}}, "cks-pool")
    await lab.kube.delete(POOLS, "default", "cks-pool")
    await lab.state.note_swept("default", 1)
    await lab.state.note_maintenance("default")
    assert await lab.state.pool_names() == []
