"""An installation as it is shipped, in processes of its own: a host that counts calls, Prefect, gateways, workers."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
import psutil

from benchmarks.counted import PATH
from benchmarks.hosts import make, names, prepared
from benchmarks.http import a_gateway
from benchmarks.parts import Part, Prefect, a_prefect
from benchmarks.servers import Access
from benchmarks.usage import cpu
from benchmarks.waits import until
from demo.processes import Child, ready_or_stopped, start
from pool.core.lifecycle import ClusterPhase
from pool.core.pools import PoolSpec
from pool.kube.gather import gather
from pool.work.steps import Host

GATEWAYS = 2
SETTINGS = Path(__file__).resolve().parents[1] / "deployments" / "base" / "settings" / "settings.env"
AT_ONCE = 20
"""Clusters that are made side by side beforehand."""


@dataclass
class Spent:
    """What some work took."""

    seconds: float = 0.0
    cpu: Counter[str] = field(default_factory=Counter)
    """Seconds of a core, by kind of process."""
    calls: Counter[str] = field(default_factory=Counter)
    """To the host's API, by caller and verb."""

    def calls_of(self, caller: str) -> int:
        """Of all verbs."""
        return sum(count for what, count in self.calls.items() if what.startswith(f"{caller} "))


@dataclass
class Crew:
    """All processes, and the way to each."""

    folder: Path
    simulator: Part
    prefect: Prefect
    host: Host
    """For who looks on."""
    gateways: list[tuple[httpx.AsyncClient, Child]]
    stack: AsyncExitStack
    workers: dict[str, Part] = field(default_factory=dict)

    async def grow(self, count: int) -> None:
        """Have so many workers, each of which polls."""
        for number in range(len(self.workers) + 1, count + 1):
            name = f"worker{number}"
            worker = Part(name, self.folder, partial(self._begin_worker, name))
            self.stack.push_async_callback(worker.stop)
            await worker.begin()
            self.workers[name] = worker

    async def _begin_worker(self, name: str, log: Path) -> Child:
        environment = self.prefect.environment | _shipped() | {"CKS_POOL_KUBECONFIG": str(self.folder / "worker")}
        command = [sys.executable, "-m", "benchmarks.probed", str(self.ticks(name)), name]
        child = await start(name, command, log=log, env=environment)

        async def ready() -> bool:
            return "started" in log.read_text(errors="replace")

        return await ready_or_stopped(child, ready, timeout=180)

    def ticks(self, worker: str) -> Path:
        """The file with the ticks of its loop."""
        return self.folder / f"{worker}.ticks"

    def pids(self) -> dict[str, list[int]]:
        """Of each kind of process."""
        database = self.prefect.database.server
        return {
            "worker": [worker.pid for worker in self.workers.values()],
            "gateway": [child.process.pid for _, child in self.gateways],
            "Prefect": [self.prefect.server.pid],
            "database": [] if database is None else [database.process.pid],
            "simulator": [self.simulator.pid],
        }

    async def missing(self) -> str:
        """Which clusters are not available, in words."""
        phases = Counter(cluster.phase for cluster in await self.host.state.clusters())
        del phases[ClusterPhase.AVAILABLE]
        return ", ".join(f"{count} {phase}" for phase, count in sorted(phases.items()))

    @asynccontextmanager
    async def measured(self) -> AsyncIterator[Spent]:
        """What all of them take between its beginning and its end; those that died meanwhile are left out."""
        spent, begun, before, called = Spent(), time.monotonic(), self._cpus(), await self._calls()
        yield spent
        spent.seconds = time.monotonic() - begun
        for (kind, pid), seconds in self._cpus().items():
            spent.cpu[kind] += seconds - before.get((kind, pid), 0.0)
        spent.calls = await self._calls() - called

    def _cpus(self) -> dict[tuple[str, int], float]:
        found = {}
        for kind, pids in self.pids().items():
            for pid in pids:
                with suppress(psutil.NoSuchProcess):
                    found[kind, pid] = cpu(pid)
        return found

    async def _calls(self) -> Counter[str]:
        async with Access.read(self.folder / "admin").client() as client:
            return Counter((await client.get(PATH)).raise_for_status().json())


def _shipped() -> dict[str, str]:
    """How often an installation's workers ask for runs."""
    lines = [line for line in SETTINGS.read_text().splitlines() if line.startswith("PREFECT_WORKER_")]
    return dict(line.split("=", 1) for line in lines)


async def _start_host(folder: Path, speed: float, log: Path) -> Child:
    command = [sys.executable, "-m", "benchmarks.counted", str(folder), f"{speed:g}"]
    child = await start("simulator", command, log=log, env={})

    async def ready() -> bool:
        return "ready" in log.read_text(errors="replace")

    return await ready_or_stopped(child, ready, timeout=120)


@asynccontextmanager
async def a_crew(folder: Path, *, clusters: int, speed: float) -> AsyncIterator[Crew]:
    """A pool of so many available clusters, two gateways, and no worker yet."""
    async with AsyncExitStack() as stack:
        simulator = Part("simulator", folder, partial(_start_host, folder, speed))
        stack.push_async_callback(simulator.stop)
        await simulator.begin()
        host = await stack.enter_async_context(prepared(folder / "admin", PoolSpec(size=clusters)))
        await _fill(host, clusters)
        prefect = await stack.enter_async_context(a_prefect(folder))
        gateways = [
            await stack.enter_async_context(
                a_gateway(folder, folder / "gateway", name=f"gateway{number}", prefect=prefect.environment)
            )
            for number in range(1, GATEWAYS + 1)
        ]
        yield Crew(folder, simulator, prefect, host, gateways, stack)


async def _fill(host: Host, clusters: int) -> None:
    """Make them as a worker does, without Prefect."""
    gate, begun = asyncio.Semaphore(AT_ONCE), time.monotonic()

    async def one(name: str) -> None:
        async def missing() -> str:
            await make(host, name)
            return ""

        async with gate:
            # A host that is too busy to answer in time is asked again.
            await until(name, missing, timeout=1800)

    await gather(one(name) for name in names(clusters))
    print(f"  {clusters} clusters made in {time.monotonic() - begun:.0f} s", flush=True)
