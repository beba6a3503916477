"""Bootstraps side by side against one alone: from nothing to an available cluster, golden snapshots included."""

from __future__ import annotations

import time

from rich.table import Table

from benchmarks.hosts import CountingKube, a_host, make, names
from pool.kube.gather import gather

SPEED, COUNTS = 2.0, (1, 3, 30)
QUICK_SPEED, QUICK_COUNTS = 50.0, (1, 2)


async def measure(*, quick: bool) -> Table:
    """Time of so many at once, each in a world of its own, in one run."""
    table = Table(title="bootstrap and golden snapshots")
    for column in ("at once", "delays divided by", "time", "ratio to one", "calls each"):
        table.add_column(column, justify="right")
    speed, counts = (QUICK_SPEED, QUICK_COUNTS) if quick else (SPEED, COUNTS)
    alone: float | None = None
    for count in counts:
        async with a_host(speed) as host:
            assert isinstance(host.kube, CountingKube)
            host.kube.calls = 0
            begun = time.perf_counter()
            await gather(make(host, name) for name in names(count))
            seconds = time.perf_counter() - begun
            alone = alone or seconds
            each = host.kube.calls / count
        table.add_row(f"{count}", f"{speed:g}", f"{seconds:.2f} s", f"{seconds / alone:.2f}", f"{each:.0f}")
    return table
