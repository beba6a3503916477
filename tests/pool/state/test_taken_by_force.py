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
from pool.core.errors import NoClusterAvailable, NotHolder
from pool.core.settings import Settings
from pool.kube.gather import gather
from pool.kube.resources import NAMESPACES
from pool.state import PoolState
from simulator.app import Simulator
from tests.pool.lab import Lab, begin, check_holdings
from tests.pool.state.interleaving import Order, ordered, orders
from tests.pool.state.test_leasing import claimed

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
