"""Many newcomers at once: callers of one process do not race each other, and what was lost elsewhere costs little."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from pool.core.errors import ApiUnavailable, NoClusterAvailable
from pool.core.sessions import Session
from pool.core.settings import Settings
from pool.state import PoolState, assigning
from simulator.api.faults import Fault, FaultKind
from simulator.api.requests import Target
from simulator.app import Simulator
from tests.pool.lab import Lab
from tests.pool.wire import UNAVAILABLE, Wire


async def _ask(state: PoolState, name: str) -> Session | None:
    try:
        return await state.assign(name)
    except NoClusterAvailable:
        return None


def _writes(lab: Lab) -> list[str]:
    return [call for call in lab.kube.counted() if not call.startswith("GET")]


async def test_a_burst_of_ten_times_the_pool_writes_what_claims_and_handovers_need_and_leaves_no_trace(
    lab: Lab,
) -> None:
    await lab.pool(6)
    async with lab.state.following():
        lab.kube.counted()
        asked = await asyncio.gather(*(_ask(lab.state, f"s{number}") for number in range(60)))
    served = [session.status.assigned_cluster for session in asked if session]
    assert sorted(served) == [f"cluster{number}" for number in range(1, 7)]
    writes = _writes(lab)
    assert len([call for call in writes if call.startswith("PUT")]) == 2 * 6, "no race was lost"
    assert len([call for call in writes if call.startswith("POST")]) <= 60
    assert len(writes) <= 3 * 6 + 2 * 54
    assert len(await lab.state.sessions()) == 6
    await lab.check()


async def test_a_burst_without_a_watch_does_not_race_itself_either(lab: Lab) -> None:
    await lab.pool(5)
    lab.kube.counted()
    asked = await asyncio.gather(*(_ask(lab.state, f"s{number}") for number in range(10)))
    assert sum(session is not None for session in asked) == 5
    assert len([call for call in _writes(lab) if call.startswith("PUT")]) == 2 * 5, "no race was lost"
    assert len(await lab.state.sessions()) == 5
    await lab.check()


async def test_the_last_cluster_is_not_refused_while_its_only_suitor_may_still_lose_it(lab: Lab) -> None:
    await lab.pool(1)
    async with lab.state.following():
        first, second = await asyncio.gather(_ask(lab.state, "alice"), _ask(lab.state, "alice"))
    assert first is not None
    assert second is not None
    assert first.status.assigned_cluster == second.status.assigned_cluster == "cluster1"
    await lab.check()


async def test_a_free_cluster_is_not_refused_while_a_session_that_has_one_asks_again(lab: Lab) -> None:
    await lab.pool(2)
    assert await _ask(lab.state, "old") is not None
    lab.clock.forward(60)
    old, new = await asyncio.gather(_ask(lab.state, "old"), _ask(lab.state, "new"))
    assert old is not None
    assert new is not None
    await lab.check()


async def test_two_processes_bursts_share_the_pool_and_leave_no_trace_of_those_in_vain(lab: Lab) -> None:
    await lab.pool(8)
    other = PoolState(lab.kube, lab.settings, now=lab.clock, watching=lab.watching)
    async with lab.state.following(), other.following():
        asked = await asyncio.gather(
            *(_ask(lab.state if number % 2 else other, f"s{number}") for number in range(24)),
        )
    assert sum(session is not None for session in asked) == 8
    assert len(await lab.state.sessions()) == 8
    await lab.check()


async def test_a_cluster_whose_lock_never_arrived_is_assigned_by_the_next_call(
    api_server: Simulator, tmp_path: Path
) -> None:
    assert api_server.kubeconfig_path is not None
    async with Lab.open(api_server.kubeconfig_path, Settings()) as lab:
        await lab.pool(1)
        lab.kube._patience = 0
        outage = Fault(FaultKind.ERROR, verbs=("update",), resource="pooledclusters", code=503, count=1)
        api_server.faults.add(outage)
        with pytest.raises(ApiUnavailable):
            await lab.state.assign("alice")
        lab.clock.forward(timedelta(hours=1).total_seconds())
        assert (await lab.state.assign("bob")).status.assigned_cluster == "cluster1"


async def test_nothing_is_written_for_who_does_not_wait_when_nothing_is_free(lab: Lab) -> None:
    await lab.add("c1", "resetting")
    async with lab.state.following():
        lab.kube.counted()
        assert await asyncio.gather(*(_ask(lab.state, f"s{number}") for number in range(9))) == [None] * 9
    assert _writes(lab) == []


async def test_while_the_pool_is_not_seen_one_reads_it_for_all_who_wait(
    lab: Lab, api_server: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assigning, "LOOK_AGAIN", 1.0)
    await lab.add("c1", "resetting")
    names = [f"s{number}" for number in range(20)]
    state = PoolState(lab.kube, lab.settings, now=lab.clock)
    wire, blind = Wire(api_server), asyncio.Event()

    async def see(_target: Target) -> None:
        if all(wire.calls["watch", plural] > 1 for plural in ("pools", "pooledclusters", "sessions")):
            blind.set()

    async with state.following():
        waiting = [asyncio.create_task(state.assign(name, wait_seconds=3000), name=name) for name in names]
        while len(await lab.state.sessions()) < len(names):
            assert not any(one.done() for one in waiting)
        wire.calls.clear()
        wire.before = see
        wire.refuse(UNAVAILABLE, verb="watch", times=10_000)
        wire.cut_watches()
        await asyncio.wait_for(blind.wait(), 10)
        wire.calls.clear()
        await lab.reset("c1")
        done, _ = await asyncio.wait(waiting, timeout=10, return_when=asyncio.FIRST_COMPLETED)
        assert [one.result().status.assigned_cluster for one in done] == ["c1"]
        assert wire.calls["list", "pooledclusters"] < len(names) / 2
        for one in waiting:
            one.cancel()
        await asyncio.wait(waiting)
    await lab.check()
