"""Resets against the delays that nobody can save, and against the plain way to do them, in one run.

The plain way: stop both VMs, wait ten seconds, restore and boot the control plane, then the worker, looking every ten
seconds whether a step is done; all delays scaled like the simulator's.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from pool.core.clusters import Golden
from pool.core.errors import PoolError
from pool.core.pools import Pool
from pool.core.resource import Metadata
from pool.core.settings import Settings
from pool.guest.boots import boots_of
from pool.guest.health import wait_healthy
from pool.kube.client import Kube
from pool.kube.gather import gather
from pool.kube.resources import VM_RESTORES, VMIS, VMS
from pool.kube.watching import Watching
from pool.kubevirt.cluster import Cluster
from pool.kubevirt.machines import kill, start
from pool.kubevirt.manifests import restore
from pool.kubevirt.restores import finished
from pool.work import golden, images, namespaces, provision, reset
from simulator.delays import Delays

POOL = Pool(metadata=Metadata(name="default", uid="uid-default"))
TICK = 10.0
"""Seconds between two looks of the plain way, before scaling."""


@dataclass(frozen=True)
class Crowd:
    """So many clusters, reset at once so many at a time, in a world whose delays are divided by `speed`.

    The more at once, the slower the world: what is to be seen is the pool, not a busy machine playing the guests.
    """

    speed: float
    counts: tuple[int, ...]
    plain: bool


CROWDS = (Crowd(5.0, (1,), plain=True), Crowd(2.0, (10,), plain=True), Crowd(1.0, (50,), plain=False))
QUICK = (Crowd(50.0, (1,), plain=True),)


async def measure(*, quick: bool) -> Table:
    """Time of resets at once: the pool's, the plain way's, and the sum of the delays on the critical path."""
    table = Table(title="reset-cluster's core")
    titles = (
        "at once",
        "delays divided by",
        "critical path",
        "pool",
        "ratio",
        "calls each",
        "plain way",
        "plain / pool",
    )
    for column in titles:
        table.add_column(column, justify="right")
    for crowd in QUICK if quick else CROWDS:
        async with clusters_of(max(crowd.counts), crowd.speed) as (kube, watching, settings, made):
            for count in crowd.counts:
                some = list(made.items())[:count]
                table.add_row(*await _row(kube, watching, settings, some, crowd))
    return table


async def _row(
    kube: CountingKube, watching: Watching, settings: Settings, some: list[tuple[Cluster, Golden]], crowd: Crowd
) -> tuple[str, ...]:
    path = critical_path(Delays().scaled(crowd.speed))
    kube.calls = 0
    seconds = await _timed(lambda one: _pool_way(kube, watching, settings, *one), some)
    each = kube.calls / len(some)
    shown = plain = "-"
    if crowd.plain:
        by_hand = await _timed(lambda one: _plain_way(kube, *one, TICK / crowd.speed), some)
        plain, shown = f"{by_hand:.2f} s", f"{by_hand / seconds:.2f}"
    ratio = f"{seconds / path:.2f}"
    return f"{len(some)}", f"{crowd.speed:g}", f"{path:.2f} s", f"{seconds:.2f} s", ratio, f"{each:.0f}", plain, shown


def critical_path(delays: Delays) -> float:
    """What one reset cannot do without: stop, restore, start, boot, the nodes' first sign of life."""
    start_pod = delays.pod_schedule + delays.pod_start + delays.domain_start
    return delays.kill + delays.restore_pvc + start_pod + delays.boot + delays.api_start + delays.reboot_ready


class CountingKube(Kube):
    """The real client, counting its calls."""

    calls = 0

    async def request(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        self.calls += 1
        return await super().request(*args, **kwargs)


@asynccontextmanager
async def clusters_of(
    count: int, speed: float
) -> AsyncIterator[tuple[CountingKube, Watching, Settings, dict[Cluster, Golden]]]:
    """`count` clusters with their golden generation, in a simulator that is a process of its own."""
    with tempfile.TemporaryDirectory() as folder, simulator(Path(folder) / "kubeconfig", speed) as kubeconfig:
        settings = Settings(kubeconfig=kubeconfig)
        async with CountingKube.connect(kubeconfig) as kube, Watching(kube) as watching:
            assert isinstance(kube, CountingKube)
            await namespaces.ensure_templates_namespace(kube, settings)
            await images.ensure_image(kube, watching, POOL, settings)
            clusters = [_cluster(number) for number in range(1, count + 1)]
            taken = await gather(_make(kube, watching, one, settings) for one in clusters)
            yield kube, watching, settings, dict(zip(clusters, taken, strict=True))


@contextmanager
def simulator(kubeconfig: Path, speed: float) -> Iterator[Path]:
    """A simulator with controllers and guests as `python -m simulator` starts it, until it answers."""
    command = [sys.executable, "-m", "simulator", "--kubeconfig", str(kubeconfig), "--speed", f"{speed:g}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield kubeconfig
        finally:
            process.terminate()


def _cluster(number: int) -> Cluster:
    name = f"cluster{number}"
    return Cluster(name, name, f"uid-{name}", POOL.name, POOL.metadata.uid)


async def _make(kube: Kube, watching: Watching, cluster: Cluster, settings: Settings) -> Golden:
    def now() -> datetime:
        return datetime.now(UTC)

    await namespaces.ensure_cluster_namespace(kube, watching, cluster, POOL, settings)
    await provision.ensure_cluster(kube, watching, cluster, POOL, settings, now=now)
    return await golden.take_golden(kube, watching, cluster, settings, generation=1, now=now)


async def _timed(work: Callable[[Any], Any], some: list[tuple[Cluster, Golden]]) -> float:
    begun = time.perf_counter()
    await gather(work(one) for one in some)
    return time.perf_counter() - begun


async def _pool_way(kube: Kube, watching: Watching, settings: Settings, cluster: Cluster, taken: Golden) -> None:
    await reset.reset_cluster(kube, watching, cluster, taken, settings, run_id=f"bench-{time.monotonic_ns()}")


async def _plain_way(kube: Kube, cluster: Cluster, taken: Golden, tick: float) -> None:
    for machine in cluster.machines:
        await kill(kube, machine)
    await asyncio.sleep(tick)
    halves = (taken.control_plane.name, taken.worker.name)
    for machine, snapshot in zip(cluster.machines, halves, strict=True):
        while await kube.find(VMIS, machine.name, machine.namespace) is not None:
            await asyncio.sleep(tick)
        wanted = restore(machine, snapshot, f"plain-{time.monotonic_ns()}")
        await kube.create(VM_RESTORES, wanted)
        name = wanted["metadata"]["name"]
        while not finished(await kube.get(VM_RESTORES, name, machine.namespace)):
            await asyncio.sleep(tick)
        await start(kube, machine)
        while not (await kube.get(VMS, machine.name, machine.namespace)).get("status", {}).get("ready"):
            await asyncio.sleep(tick)
        await kube.delete(VM_RESTORES, name, machine.namespace)
    while not await _healthy(kube, cluster):
        await asyncio.sleep(tick)


async def _healthy(kube: Kube, cluster: Cluster) -> bool:
    try:
        await wait_healthy(kube, cluster, await boots_of(kube, cluster), timeout=0.2)
    except PoolError:
        return False
    return True
