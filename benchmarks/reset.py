"""Resets against the delays that nobody can save, and against the plain way to do them, in one run.

The plain way: stop both VMs, wait ten seconds, restore and boot the control plane, then the worker, looking every ten
seconds whether a step is done; all delays scaled like the simulator's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from benchmarks.hosts import CountingKube, a_host, make, names
from pool.core.errors import PoolError
from pool.guest.boots import boots_of
from pool.guest.health import wait_healthy
from pool.kube.client import Kube
from pool.kube.gather import gather
from pool.kube.resources import VM_RESTORES, VMIS, VMS
from pool.kubevirt.cluster import Cluster
from pool.kubevirt.manifests import restore
from pool.kubevirt.restores import finished
from pool.work.reset import reset
from pool.work.steps import Host
from simulator.timing.delays import Delays

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


def _started() -> dict[str, Any]:
    """The change that has a VM run, and die at once when it is stopped."""
    return {"spec": {"runStrategy": "Always", "template": {"spec": {"terminationGracePeriodSeconds": 0}}}}


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
        async with clusters_of(max(crowd.counts), crowd.speed) as host:
            for count in crowd.counts:
                table.add_row(*await _row(host, names(count), crowd))
    return table


async def _row(host: Host, clusters: list[str], crowd: Crowd) -> tuple[str, ...]:
    assert isinstance(host.kube, CountingKube)
    path = critical_path(Delays().scaled(crowd.speed))
    host.kube.calls = 0
    seconds = await _timed(lambda name: reset(host, name, run_id=f"bench-{time.monotonic_ns()}"), clusters)
    each = host.kube.calls / len(clusters)
    shown = plain = "-"
    if crowd.plain:
        by_hand = await _timed(lambda name: _plain_way(host, name, TICK / crowd.speed), clusters)
        plain, shown = f"{by_hand:.2f} s", f"{by_hand / seconds:.2f}"
    ratio = f"{seconds / path:.2f}"
    sizes = f"{len(clusters)}", f"{crowd.speed:g}", f"{path:.2f} s"
    return *sizes, f"{seconds:.2f} s", ratio, f"{each:.0f}", plain, shown


def critical_path(delays: Delays) -> float:
    """What one reset cannot do without: stop, restore, start, boot, the nodes' first sign of life."""
    start_pod = delays.pod_schedule + delays.pod_start + delays.domain_start
    return delays.kill + delays.restore_pvc + start_pod + delays.boot + delays.api_start + delays.reboot_ready


@asynccontextmanager
async def clusters_of(count: int, speed: float) -> AsyncIterator[Host]:
    """The way to a pool of `count` available clusters, in a simulator that is a process of its own."""
    async with a_host(speed) as host:
        await gather(make(host, name) for name in names(count))
        yield host


async def _timed(work: Callable[[str], Coroutine[Any, Any, object]], clusters: list[str]) -> float:
    begun = time.perf_counter()
    await gather(work(name) for name in clusters)
    return time.perf_counter() - begun


async def _plain_way(host: Host, name: str, tick: float) -> None:
    kube, found = host.kube, await host.state.cluster(name)
    cluster, taken = Cluster.of(found), found.status.golden
    assert taken is not None
    for machine in cluster.machines:
        await kube.patch(VMS, machine.name, {"spec": {"runStrategy": "Halted"}}, machine.namespace)
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
        await kube.patch(VMS, machine.name, _started(), machine.namespace)
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
