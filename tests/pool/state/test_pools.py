"""Several Pools in one namespace: each has its clusters, its queue and its sessions' times."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from pool.core.errors import IllegalTransition, InvalidInput, NoClusterAvailable, UnknownPool
from pool.core.pools import PoolSpec, SessionTimes
from pool.kube.resources import POOLS
from pool.state import PoolState
from simulator.api.faults import Fault, FaultKind
from simulator.app import Simulator
from tests.pool.lab import Lab


@pytest.fixture(params=["reads", "follows"])
async def two(request: pytest.FixtureRequest, lab: Lab) -> AsyncIterator[Lab]:
    """A lab with the Pools `default` and `exam`, whose sessions are short."""
    spec = PoolSpec(cluster_prefix="exam", sessions=SessionTimes(ttl_seconds=120, max_ttl_seconds=300))
    await lab.state.ensure_pool("exam", spec)
    async with AsyncExitStack() as stack:
        if request.param == "follows":
            await stack.enter_async_context(lab.state.following())
        yield lab


async def test_a_session_gets_a_cluster_of_its_pool_for_its_pools_time(two: Lab) -> None:
    await two.add("cluster1")
    await two.add("exam1", pool="exam")
    first = await two.state.assign("alice", "exam")
    assert first.status.assigned_cluster == "exam1"
    assert first.status.expires_at == two.clock() + timedelta(seconds=120)
    assert (await two.state.extend("alice", 1000)).expires_at == two.clock() + timedelta(seconds=300)
    with pytest.raises(NoClusterAvailable, match="1 locked"):
        await two.state.assign("bob", "exam")
    assert (await two.state.assign("bob")).status.assigned_cluster == "cluster1"
    assert [one.name for one in await two.state.clusters("exam")] == ["exam1"]
    assert [one.name for one in await two.state.sessions("exam")] == ["alice"]
    assert (await two.state.stats("exam")).total_clusters == 1
    assert (await two.state.stats()).total_clusters == 2
    await two.check()


async def test_who_waits_for_one_pool_does_not_hold_up_another(two: Lab) -> None:
    await two.add("exam1", "resetting", pool="exam")
    waiting = asyncio.create_task(two.state.assign("alice", "exam", wait_seconds=60))
    await two.add("cluster1")
    assert (await two.state.assign("bob")).status.assigned_cluster == "cluster1"
    await two.reset("exam1")
    assert (await waiting).status.assigned_cluster == "exam1"
    await two.check()


async def test_a_session_of_another_pool_is_refused_until_it_has_ended(two: Lab) -> None:
    await two.add("cluster1")
    await two.add("exam1", pool="exam")
    before = await two.state.assign("alice")
    with pytest.raises(InvalidInput, match="got another pool's"):
        await two.state.assign("alice", "exam")
    assert await two.state.session("alice") == before
    await two.state.release("alice")
    assert (await two.state.assign("alice", "exam")).status.assigned_cluster == "exam1"


async def test_an_unknown_pool_and_one_that_is_being_removed_take_nobody(two: Lab) -> None:
    await two.add("exam1", pool="exam")
    await two.kube.delete(POOLS, "exam", "cks-pool")
    gone = await two.state.pool("exam")
    assert gone.removing
    async with asyncio.timeout(10):
        while True:
            try:
                with pytest.raises(IllegalTransition, match="pool exam is being removed"):
                    await two.state.assign("alice", "exam")
                break
            except pytest.fail.Exception:
                await two.state.release("alice")  # the view had not seen it yet
    with pytest.raises(UnknownPool):
        await two.state.assign("alice", "none")


async def test_ended_sessions_are_not_in_view(two: Lab) -> None:
    await two.pool(1)
    for turn in range(3):
        await two.state.assign(f"s{turn}")
        await two.state.release(f"s{turn}")
        await two.reset("cluster1", f"run{turn}")
    async with two.state.following():
        view = two.state.view
        last = await two.state.assign("last")
        assert await view.shows(last)
        assert list(view.sessions) == ["last"]
        await two.state.release("last")
        async with asyncio.timeout(10):
            with view.news() as news:
                while view.sessions:
                    await news.wait()
                    news.clear()


async def test_what_was_seen_of_pools_that_could_not_be_followed_is_not_believed_later(
    lab: Lab, api_server: Simulator
) -> None:
    await lab.add("exam1", pool="exam")
    state = PoolState(lab.kube, lab.settings, now=lab.clock)
    slow = api_server.faults.add(Fault(FaultKind.LATENCY, verbs=("list",), resource="sessions", seconds=60))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1), state.following():
            pass
    api_server.faults.remove(slow)
    assert slow.total
    await lab.kube.patch(POOLS, "exam", {"metadata": {"finalizers": []}}, "cks-pool")
    await lab.kube.delete(POOLS, "exam", "cks-pool")
    async with state.following():
        with pytest.raises(UnknownPool):
            await state.assign("alice", "exam")
