"""A worker that is restarted again and again while one cluster is made: no failure of the cluster, however often."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from pool.core.clusters import OperationKind
from pool.work import bootstrap
from pool.work.upkeep import keep_up
from pool.work.upkeep.acting import Keeper, Work
from tests.pool.bench import Bench

T = TypeVar("T")

DEPLOYS = 10


async def killed(bench: Bench, steps: int) -> None:
    """A bootstrap whose worker is gone after so many steps."""
    left = steps

    async def run_step(_name: str, _cluster_id: str, work: Callable[[], Awaitable[T]]) -> T:
        nonlocal left
        left -= 1
        if left < 0:
            raise asyncio.CancelledError
        return await work()

    with suppress(asyncio.CancelledError):
        await bootstrap.bootstrap(replace(bench.host(), run_step=run_step), bench.cluster.id, run_id=bench.run_id())


async def test_ten_deploys_in_a_row_during_one_bootstrap_do_not_fail_it(bench: Bench) -> None:
    await bench.prepare()
    await bench.want(size=1)
    wishes: list[str] = []

    async def start(work: Work) -> str:
        assert work.kind is OperationKind.BOOTSTRAP
        wishes.append(work.wish)
        return work.wish

    for deploy in range(DEPLOYS):
        await killed(bench, steps=deploy % 4)
        bench.grace_is_over()
        await keep_up(Keeper(bench.host(), start, f"maintenance{deploy}"), "default")
        found = (await bench.pooled()).status
        assert (found.phase, found.failure, found.takeovers) == ("creating", None, deploy)
    assert len(set(wishes)) == DEPLOYS, "each lost run is a wish of its own, which no earlier run stands for"

    await bench.bootstrap()
    await bench.take_golden()
    found = (await bench.pooled()).status
    assert (found.phase, found.takeovers) == ("available", 0)
