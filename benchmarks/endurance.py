"""What a worker holds after some flow runs and after many: its memory and its open files."""

from __future__ import annotations

import time
from collections.abc import Sequence

import psutil
from rich.table import Table

from benchmarks.parts import System, a_folder, a_system
from pool.kube.gather import gather

RUNS, QUICK = (200, 2000), (4, 8)
TOGETHER = 20
"""Runs that are started side by side."""


async def measure(*, quick: bool, runs: Sequence[int] = ()) -> Table:
    """Memory and open files after each number of runs; growth and ratio are to the first. Raises RunFailed."""
    table = Table(title="endurance: what one worker holds")
    for column in ("runs", "time each", "memory", "open files", "growth a run", "ratio of memory"):
        table.add_column(column, justify="right")
    with a_folder("endurance") as folder:
        async with a_system(folder, speed=100.0, workers=1) as system:
            await system.runs.run("bootstrap-pool", size=1)
            first: tuple[int, int] | None = None
            done = 0
            for wanted in sorted(runs) or (QUICK if quick else RUNS):
                begun, each = time.monotonic(), wanted - done
                while done < wanted:
                    count = min(TOGETHER, wanted - done)
                    await gather(_run(system) for _ in range(count))
                    done += count
                worker = psutil.Process(system.workers[0].pid)
                memory, files = worker.memory_info().rss, worker.num_fds()
                first = first or (done, memory)
                growth = f"{(memory - first[1]) / 1024 / (done - first[0]):.1f} KiB" if done > first[0] else "-"
                took = f"{(time.monotonic() - begun) / each:.2f} s"
                table.add_row(
                    f"{done}", took, f"{memory / 2**20:.0f} MiB", f"{files}", growth, f"{memory / first[1]:.2f}"
                )
                print(f"  {done} runs: {memory / 2**20:.0f} MiB, {files} open files", flush=True)
    return table


async def _run(system: System) -> None:
    run = await system.runs.start("pool-status")
    await system.runs.finished(run, timeout=600)
