"""Callers whose own clock is days off the server's: nothing changes for anybody, for nobody asks it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from pool.core.clusters import OperationKind
from pool.core.planner import Observed, PlanConfig, plan
from pool.core.planner.actions import CheckHealth
from pool.kube.resources import SESSIONS
from pool.state import PoolState
from simulator.app import Simulator
from tests.pool.lab import ATTESTED, Lab, begin, end_due

DAYS = timedelta(days=3)


@pytest.fixture
async def behind(api_server: Simulator, lab: Lab) -> PoolState:
    """What a process has whose machine is days behind the server."""
    await lab.pool(1)
    api_server.clock.advance(DAYS)
    return PoolState(lab.kube, lab.settings, now=lab.kube.now, watching=lab.watching)


async def planned(state: PoolState) -> list[str]:
    sessions, clusters = await state.sessions(), await state.clusters()
    observed = Observed.of(await state.pool(), sessions, clusters, state.silent(clusters))
    actions = plan(observed, PlanConfig(), state.now())
    return [str(one) for one in actions if not isinstance(one, CheckHealth) and "cluster1" in str(one)]


async def test_a_session_has_all_its_time_and_ends_when_it_is_over(api_server: Simulator, behind: PoolState) -> None:
    session = await behind.assign("alice", ttl_seconds=600, heartbeat_timeout_seconds=120)
    assert session.status.expires_at is not None
    left = session.status.expires_at - api_server.clock.now()
    assert timedelta(seconds=590) < left <= timedelta(seconds=601)
    assert session.status.expires_at - datetime.now(UTC) > timedelta(days=2), "by the server's clock, not by ours"
    assert await end_due(behind, behind.now()) == []
    assert await planned(behind) == []
    api_server.clock.advance(seconds=121)
    await behind.clusters()
    assert [one.cluster_id for one in await end_due(behind, behind.now())] == ["cluster1"]


async def test_who_waits_keeps_his_place_by_the_age_that_the_server_says(lab: Lab, behind: PoolState) -> None:
    await behind.assign("alice")
    waiting = []
    for name in ("first", "second"):
        waiting.append(asyncio.create_task(behind.assign(name, wait_seconds=20)))
        await lab.watching.until(SESSIONS, name, "cks-pool", lambda obj: obj, timeout=10, what="it to wait")
    assert await behind.serve_queue() == 0
    assert await planned(behind) == []
    for name in ("alice", "first"):
        await behind.release(name)
        async with behind.operation("cluster1", OperationKind.RESET, f"after-{name}") as work:
            await work.finish(attested=ATTESTED)
        done = await waiting.pop(0)
        assert (done.name, done.status.assigned_cluster) == ("first" if name == "alice" else "second", "cluster1")


async def test_a_live_run_is_left_alone_and_says_when_it_began_by_the_servers_clock(
    api_server: Simulator, behind: PoolState
) -> None:
    work = await begin(behind, "cluster1", OperationKind.RESET, "run")
    operation = (await work.heartbeat()).status.operation
    assert operation is not None
    assert abs(operation.started_at - api_server.clock.now()) < timedelta(seconds=5)
    assert await planned(behind) == []
