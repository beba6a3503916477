"""A session that is handed a cluster while an operator takes that by force: one truth on both objects, in any order.

Nothing mends it afterwards: no maintenance runs before the look.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest

from pool.core.clusters import OperationKind
from pool.core.errors import IllegalTransition, NoClusterAvailable, NotHolder, PoolError
from pool.core.operation_rules import Request, begun
from pool.core.settings import Settings
from pool.kube.gather import gather
from pool.kube.resources import NAMESPACES
from pool.state import PoolState
from pool.state.events import Why
from simulator.app import Simulator
from tests.pool.lab import ATTESTED, Lab, begin, check_holdings
from tests.pool.state.interleaving import Order, ordered, orders
from tests.pool.state.test_leasing import claimed
from tests.pool.state.test_standing_still import StallingKube

NUMBERS = itertools.count()


async def assign(state: PoolState) -> None:
    session = await state.assign("alice")
    assert session.phase == "Active"


async def help_out(state: PoolState) -> None:
    await state.serve_queue()


@pytest.mark.parametrize(("handover", "calls"), [(assign, 6), (help_out, 5)], ids=["the session itself", "a helper"])
async def test_a_cluster_taken_by_force_while_it_is_handed_over_is_nobodys(
    api_server: Simulator, handover: Callable[[PoolState], Awaitable[None]], calls: int
) -> None:
    assert api_server.kubeconfig_path is not None
    async with Lab.open(api_server.kubeconfig_path):
        for turns in orders("handover", calls, "force", (2, 2)):
            await _one_order(api_server.kubeconfig_path, turns, handover)


async def _one_order(kubeconfig: Path, turns: list[str], handover: Callable[[PoolState], Awaitable[None]]) -> None:
    settings = Settings(namespace=f"force-{next(NUMBERS)}")
    async with AsyncExitStack() as stack:
        lab = await stack.enter_async_context(Lab.open(kubeconfig, settings, install=False))
        await lab.kube.create(NAMESPACES, NAMESPACES.manifest(settings.namespace))
        await lab.pool(1)
        if handover is help_out:
            await claimed(lab, "alice")
        kubes = [await stack.enter_async_context(ordered(kubeconfig, who)) for who in ("handover", "force")]
        order = Order(turns)
        for kube in kubes:
            kube.order = order
        one, other = (PoolState(kube, settings, now=lab.clock) for kube in kubes)

        async def hand_over() -> None:
            with suppress(NoClusterAvailable, NotHolder):
                await handover(one)
            await order.over("handover")

        async def force() -> None:
            await begin(other, "cluster1", OperationKind.RESET, "run", force=True)
            await order.over("force")

        await gather([hand_over(), force()])
        sessions, clusters = await lab.state.sessions(), await lab.state.clusters()
        assert clusters[0].phase == "resetting", turns
        try:
            check_holdings(sessions, clusters)
        except AssertionError as error:
            raise AssertionError(f"{error}, after {turns}") from error


async def dies_having_taken_it(lab: Lab) -> None:
    """An operator's forced reset whose process is gone before it tells the session; another run carries it on."""
    request = Request(OperationKind.RESET, "dies", force=True)
    lab.clock.forward(1)
    with suppress(IllegalTransition):
        await lab.state._store.change_cluster(
            "cluster1", lambda found: begun(found, request, lab.clock(), word="", silent=False), Why("taken")
        )


async def goes_to_bob(lab: Lab) -> None:
    """The cluster is made clean and handed on; nobody waits for alice's place any more."""
    await dies_having_taken_it(lab)
    await lab.silence()
    found = await lab.state.cluster("cluster1")
    if found.status.operation is not None:
        await (await lab.begin("cluster1", OperationKind.RESET, "goes-on")).finish(attested=ATTESTED)
    with suppress(NoClusterAvailable):
        await lab.state.assign("bob", priority=1)


@pytest.mark.parametrize("handover", [assign, help_out], ids=["the session itself", "a helper"])
async def test_who_stood_still_between_lock_and_activation_hands_out_no_cluster_that_was_taken_and_handed_on(
    api_server: Simulator, handover: Callable[[PoolState], Awaitable[None]]
) -> None:
    assert api_server.kubeconfig_path is not None
    async with Lab.open(api_server.kubeconfig_path):
        at = 0
        while await _stood_still(api_server.kubeconfig_path, at := at + 1, handover):
            pass
        assert at > 3


async def _stood_still(kubeconfig: Path, at: int, handover: Callable[[PoolState], Awaitable[None]]) -> bool:
    """Whether it has so many calls."""
    settings = Settings(namespace=f"handed-on-{next(NUMBERS)}")
    async with AsyncExitStack() as stack:
        lab = await stack.enter_async_context(Lab.open(kubeconfig, settings, install=False))
        await lab.kube.create(NAMESPACES, NAMESPACES.manifest(settings.namespace))
        await lab.pool(1)
        if handover is help_out:
            await claimed(lab, "alice")
        kube = await stack.enter_async_context(StallingKube.connect(kubeconfig))
        assert isinstance(kube, StallingKube)
        came: list[bool] = []

        async def meanwhile() -> None:
            came.append(True)
            await goes_to_bob(lab)

        kube.calls, kube.at, kube.meanwhile = 0, at, meanwhile
        with suppress(PoolError):
            await handover(PoolState(kube, settings, now=lab.clock))
        on = [one.status.assigned_cluster for one in await lab.state.sessions() if one.phase == "Active"]
        assert len(on) == len(set(on)), f"stood still before call {at}: {on}"
        return bool(came)
