"""A newcomer never passes somebody who waits, whatever the history of the cluster that has become free.

Within the second that Kubernetes tells creations apart by, the askers' clocks decide; here they are a second apart.

cluster      uncordoned, healed, given back and reset
who waits    a session whose caller died; one whose caller waits in another process
newcomer     follows the pool, or reads it
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress

import pytest

from pool.core.clusters import ClusterCondition, ConditionType
from pool.core.errors import NoClusterAvailable
from pool.core.resource import ConditionStatus
from pool.core.sessions import SessionSpec
from pool.kube.resources import POOLED_CLUSTERS, SESSIONS
from pool.state import PoolState
from tests.pool.builders import unhealthy
from tests.pool.lab import Lab
from tests.pool.state.test_leasing import claimed


async def uncordoned(lab: Lab) -> None:
    await lab.kube.patch(POOLED_CLUSTERS, "c1", {"spec": {"cordoned": False}}, "cks-pool")


async def healed(lab: Lab) -> None:
    fine = ClusterCondition(
        type=ConditionType.GUEST_HEALTHY,
        status=ConditionStatus.TRUE,
        reason="Healthy",
        last_transition_time=lab.clock(),
    )
    await lab.state.set_condition("c1", fine)


async def given_back(lab: Lab) -> None:
    await lab.state.release("holder")
    await lab.kube.patch(POOLED_CLUSTERS, "c1", {"metadata": {"labels": {"note": "mine"}}}, "cks-pool")
    await lab.reset("c1")


HISTORIES = {
    uncordoned: {"cordoned": True},
    healed: {"conditions": [unhealthy()]},
    given_back: {},
}
History = Callable[[Lab], Awaitable[None]]


@pytest.fixture(params=["reads", "follows"])
async def newcomer(request: pytest.FixtureRequest, lab: Lab) -> AsyncIterator[PoolState]:
    """A process of its own, that has seen the pool before what happens in the test, or not."""
    state = PoolState(lab.kube, lab.settings, now=lab.clock, watching=lab.watching)
    async with AsyncExitStack() as stack:
        if request.param == "follows":
            await stack.enter_async_context(state.following())
        yield state


async def _before(lab: Lab, history: History) -> None:
    await lab.add("c1", **HISTORIES[history])
    if history is given_back:
        await lab.state.assign("holder")


@pytest.mark.parametrize("history", HISTORIES, ids=lambda history: history.__name__)
async def test_a_cluster_that_becomes_free_is_left_to_a_session_whose_caller_died(
    lab: Lab, newcomer: PoolState, history: History
) -> None:
    await _before(lab, history)
    await claimed(lab, "waits", SessionSpec(requested_at=lab.clock()))
    lab.clock.forward(1)
    await history(lab)
    with suppress(NoClusterAvailable):
        taken = await newcomer.assign("newcomer")
        raise AssertionError(f"{taken.name} passed who waited")
    await lab.state.serve_queue()
    assert (await lab.state.session("waits")).status.assigned_cluster == "c1"
    await lab.check()


@pytest.mark.parametrize("history", HISTORIES, ids=lambda history: history.__name__)
async def test_a_cluster_that_becomes_free_goes_to_who_waits_however_many_come_at_that_moment(
    lab: Lab, newcomer: PoolState, history: History
) -> None:
    await _before(lab, history)
    other = PoolState(lab.kube, lab.settings, now=lab.clock, watching=lab.watching)
    waiting = asyncio.create_task(other.assign("waits", wait_seconds=60))
    await lab.watching.until(SESSIONS, "waits", "cks-pool", lambda found: found, timeout=10, what="the claim")
    lab.clock.forward(1)
    crowd = asyncio.gather(
        *(newcomer.assign(f"new{number}") for number in range(5)), history(lab), return_exceptions=True
    )
    refused = (await crowd)[:5]
    assert all(isinstance(one, NoClusterAvailable) for one in refused), refused
    assert (await waiting).status.assigned_cluster == "c1"
    assert [session.name for session in await lab.state.sessions() if session.phase == "Pending"] == []
    await lab.check()
