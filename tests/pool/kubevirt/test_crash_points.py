"""A reset that is cut off at any write and begun again under its own run ID, as a retry within a flow run does.

It is cut off in the middle of a write that the server carried out and never answered. Processes that are killed, and
what another run makes of it: tests/pool/crash.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

from pool.kube.client import Kube
from pool.kube.resources import VMS
from pool.kube.watching import Watching
from tests.pool.crash.tally import Tally
from tests.pool.kubevirt.conftest import Bench


async def dies_after(bench: Bench, writes: int, run: Callable[[Bench], Awaitable[object]]) -> bool:
    """Run until the write; whether the run died. It has a connection of its own, which dies with it."""
    died = bench.wire.die_after(writes)
    async with connected_again(bench) as victim:
        task = asyncio.ensure_future(run(victim))
        end = asyncio.ensure_future(died.wait())
        await asyncio.wait([task, end], return_when=asyncio.FIRST_COMPLETED)
        end.cancel()
        if task.done():
            task.result()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    bench.wire.live()
    return died.is_set()


@asynccontextmanager
async def connected_again(bench: Bench) -> AsyncIterator[Bench]:
    async with Kube.connect(bench.simulator.kubeconfig_path) as kube, Watching(kube) as watching:
        yield Bench(bench.simulator, kube, watching, bench.wire)


async def test_the_same_run_carries_on(bench: Bench, tally: Tally) -> None:
    await bench.bootstrap()
    taken = await bench.take_golden()
    before = await bench.volumes()
    while True:
        run = f"run-{tally.tried}"
        await bench.damage()
        died = await dies_after(bench, tally.tried + 1, partial(Bench.reset, taken=taken, run_id=run))
        tally.tried += died
        await bench.reset(taken, run)
        assert await bench.volumes() == before
        assert await bench.damaged() is None
        assert {vm["spec"]["runStrategy"] for vm in await bench.kube.list(VMS, "cluster1")} == {"Always"}
        if not died:
            break
        tally.survived += 1
    assert tally.tried >= 8
