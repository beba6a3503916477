"""A whole pool on a simulator whose host can be set back: what maintenance starts is really done, on machines.

What is etcd's (all objects) goes back together; the disks, with what learners left on them, do not.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from demo.learner import connect_guest
from pool.core.clusters import OperationKind, PooledCluster
from pool.core.errors import PoolError
from pool.core.planner.actions import Action
from pool.core.queue import is_free
from pool.guest.health import check_healthy
from pool.kube.client import Kube
from pool.kube.resources import CONFIG_MAPS
from pool.kube.watching import Watching
from pool.kubevirt.cluster import Cluster
from pool.work import bootstrap, golden, namespaces, rebuild, reset, teardown
from pool.work.upkeep import keep_up
from pool.work.upkeep.acting import Keeper, Work
from simulator.app import DATABASE, Simulator
from tests.pool.bench import SETTINGS, Bench
from tests.pool.lab import check_holdings
from tests.pool.wire import Wire

SPEED = 1000.0
USED = "left-by-a-learner"


@dataclass
class World:
    """The pool `default`, its guests, and a worker that does at once what maintenance starts."""

    bench: Bench
    started: dict[str, Work] = field(default_factory=dict)
    runs: int = 0

    async def make(self, size: int) -> None:
        """A pool of that many clusters, available."""
        bench = self.bench
        await namespaces.ensure_pool_namespace(bench.kube, SETTINGS)
        await namespaces.ensure_crds(bench.kube, bench.watching)
        await namespaces.ensure_templates_namespace(bench.kube, SETTINGS)
        await bench.state.ensure_pool()
        await bench.state.resize("default", size)
        await self.settle()
        assert len(await self.free()) == size

    async def keep_up(self) -> list[Action]:
        """One maintenance run; what goes wrong is left to the next, as with flows."""

        async def start(work: Work) -> str:
            self.started[work.wish] = work
            return work.wish

        self.runs += 1
        with suppress(PoolError):
            return await keep_up(Keeper(self.bench.host(), start, f"maintenance-{self.runs}"), "default")
        return []

    async def settle(self, rounds: int = 12) -> None:
        """Maintenance and what it starts in turn, until nothing is started any more."""
        for _ in range(rounds):
            await self.keep_up()
            if not self.started:
                return
            started, self.started = list(self.started.values()), {}
            await self.work(started)
        raise AssertionError(f"never at rest: {started}")

    async def work(self, started: list[Work]) -> None:
        """Do it, side by side, with what a run does when it fails: that is noted on the cluster."""
        await asyncio.gather(*(self.do(work) for work in started))

    async def do(self, work: Work) -> None:
        """One piece of it."""
        host, run_id = self.bench.host(), self.bench.run_id()
        does = {
            OperationKind.BOOTSTRAP: bootstrap.bootstrap,
            OperationKind.GOLDEN: golden.take,
            OperationKind.RESET: partial(reset.reset, if_waiting=work.waiting),
            OperationKind.REBUILD: rebuild.rebuild,
            OperationKind.TEARDOWN: teardown.teardown,
        }
        with suppress(PoolError):
            await does[work.kind](host, work.cluster_id, run_id=run_id)

    async def clusters(self) -> dict[str, PooledCluster]:
        return {one.name: one for one in await self.bench.state.clusters()}

    async def free(self) -> list[str]:
        """What could be handed out now."""
        return [name for name, one in (await self.clusters()).items() if is_free(one)]

    @asynccontextmanager
    async def guest(self, name: str) -> AsyncIterator[Kube]:
        async with connect_guest(self.bench.kube, Cluster.of((await self.clusters())[name])) as guest:
            yield guest

    async def boot(self) -> None:
        """Wait until the guests are up again, after a power cut."""
        for cluster in (await self.clusters()).values():
            await check_healthy(self.bench.kube, Cluster.of(cluster), self.bench.kube.now(), timeout=20)

    async def use(self, name: str) -> None:
        """What a learner does: something that a reset must remove."""
        async with self.guest(name) as guest:
            await guest.create(CONFIG_MAPS, CONFIG_MAPS.manifest(USED, "default", data={}))

    async def used(self, name: str) -> bool:
        """Whether something of a learner's is in the guest."""
        async with self.guest(name) as guest:
            return await guest.find(CONFIG_MAPS, USED, "default") is not None

    async def check(self) -> None:
        """Nobody holds what another holds, and nothing that is to be had was used."""
        check_holdings(await self.bench.state.sessions(), list((await self.clusters()).values()))
        for name in await self.free():
            assert not await self.used(name), f"{name} could be handed out, and was used"


@asynccontextmanager
async def world_in(folder: Path) -> AsyncIterator[World]:
    """The world as it is kept in the folder; the same again, as after a power cut, when it is entered again."""
    kubeconfig = folder / "kubeconfig"
    async with (
        Simulator(speed=SPEED, kubeconfig=kubeconfig, data_dir=folder / "data") as simulator,
        Kube.connect(kubeconfig) as kube,
        Watching(kube) as watching,
    ):
        yield World(Bench(simulator, kube, watching, Wire(simulator)))


def keep(folder: Path) -> None:
    """A snapshot of etcd, of a host that does not run."""
    shutil.copytree(
        folder / "data", folder / "kept", ignore=lambda _folder, names: [n for n in names if not n.startswith(DATABASE)]
    )


def set_back(folder: Path) -> None:
    """Restore it, while the host does not run: all objects are as they were then, the disks are as they are."""
    for path in (folder / "data").glob(f"{DATABASE}*"):
        path.unlink()
    shutil.copytree(folder / "kept", folder / "data", dirs_exist_ok=True)
