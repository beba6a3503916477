"""What a worker holds after 200 flow runs and after 2,000: its memory and its open files."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

import psutil
from rich.table import Table

from benchmarks.parts import System, a_system

RUNS = (200, 2000)
TOGETHER = 20
"""Runs that are started side by side."""


async def measure(*, quick: bool) -> Table:
    """Memory and open files after each number of runs; the ratio is to the first."""
    table = Table(title="endurance: what one worker holds")
    for column in ("runs", "a run", "memory", "open files", "ratio of memory"):
        table.add_column(column, justify="right")
    with tempfile.TemporaryDirectory() as folder:
        async with a_system(Path(folder), speed=100.0, workers=1) as system:
            await system.runs.run("bootstrap-pool", size=1)
            first, done = 0, 0
            for wanted in (4, 8) if quick else RUNS:
                begun = time.monotonic()
                each = wanted - done
                while done < wanted:
                    count = min(TOGETHER, wanted - done)
                    await asyncio.gather(*(_run(system) for _ in range(count)))
                    done += count
                worker = psutil.Process(system.workers[0].pid)
                memory, files = worker.memory_info().rss, worker.num_fds()
                first = first or memory
                took = (time.monotonic() - begun) / each
                row = f"{done}", f"{took:.2f} s", f"{memory / 2**20:.0f} MiB", f"{files}", f"{memory / first:.2f}"
                table.add_row(*row)
    return table


async def _run(system: System) -> None:
    run = await system.runs.start("pool-status")
    await system.runs.finished(run, timeout=600)
