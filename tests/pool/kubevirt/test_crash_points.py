"""Whatever write a run dies after, running it again converges: to the same cluster, with nothing left over.

The run is cut off in the middle of a write that the server carried out and never answered: to the API server that is
what SIGKILL looks like. A run that gets to its end before the given write has been tried at every point.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest

from pool import golden, provision
from pool.kube.client import Kube
from pool.kube.resources import VM_SNAPSHOTS, VMS
from pool.kube.watching import Watching
from tests.pool.kubevirt.conftest import Bench, now


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


async def provisioned(bench: Bench) -> None:
    await provision.ensure_cluster(bench.kube, bench.watching, bench.cluster, bench.settings, now=now)


async def test_provisioning(bench: Bench) -> None:
    await bench.prepare()
    survived = 0
    while await dies_after(bench, survived + 1, provisioned):
        survived += 1
        await provisioned(bench)
        counts = await bench.volumes()
        assert (counts["persistentvolumeclaims"], counts["datavolumes"]) == (2, 2)
        await provision.demolish(bench.kube, bench.watching, bench.cluster, bench.settings)
    print(f"crash points: {survived} survived of {survived}")
    assert survived >= 6


async def test_golden_generations(bench: Bench) -> None:
    await bench.bootstrap()
    survived = generation = 0
    alive = True
    while alive:
        generation += 1
        alive = await dies_after(bench, survived + 1, partial(Bench.take_golden, generation=generation))
        taken = await bench.take_golden(generation)
        pair = await golden.taken(bench.kube, bench.cluster, generation)
        assert pair is not None
        assert {one["metadata"]["uid"] for one in pair.values()} == {taken.control_plane.uid, taken.worker.uid}
        assert len(await bench.kube.list(VM_SNAPSHOTS, "cluster1")) == 2
        survived += alive
    print(f"crash points: {survived} survived of {survived}")
    assert survived >= 8


@pytest.mark.parametrize("successor", ["the same run", "another run"])
async def test_resets(bench: Bench, successor: str) -> None:
    await bench.bootstrap()
    taken = await bench.take_golden()
    before = await bench.volumes()
    survived = 0
    alive = True
    while alive:
        run = f"run-{survived}"
        await bench.damage()
        alive = await dies_after(bench, survived + 1, partial(Bench.reset, taken=taken, run_id=run))
        await bench.reset(taken, run if successor == "the same run" else f"after-{run}")
        assert await bench.volumes() == before
        assert await bench.damaged() is None
        assert {vm["spec"]["runStrategy"] for vm in await bench.kube.list(VMS, "cluster1")} == {"Always"}
        survived += alive
    print(f"crash points: {survived} survived of {survived}")
    assert survived >= 8
