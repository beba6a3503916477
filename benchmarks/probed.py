"""A worker whose event loop is timed: `python -m benchmarks.probed FILE NAME`.

FILE gets a line for each tick: when it was (Unix time), and how many seconds late. What a worker does is as ever.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TextIO

from flows import WORK_POOL
from flows.signals import Stopped, run_beside_signals
from flows.worker import serve

TICK = 0.1
"""Seconds."""


async def tick(file: TextIO) -> None:
    """Write how late this loop is, again and again."""
    clock = asyncio.get_running_loop().time
    while True:
        due = clock() + TICK
        await asyncio.sleep(TICK)
        file.write(f"{time.time():.3f} {max(0.0, clock() - due):.4f}\n")


@asynccontextmanager
async def ticking(file: Path) -> AsyncIterator[None]:
    """While entered, this loop's ticks are written."""
    # Line by line: one that is killed has told all but the last.
    with file.open("w", buffering=1) as lines:
        task = asyncio.create_task(tick(lines), name="ticks")
        try:
            yield
        finally:
            task.cancel()


def lateness(file: Path, since: float, until: float) -> list[float]:
    """Seconds by which each tick between two moments (Unix time) was late, in order of size."""
    ticks = (line.split() for line in file.read_text().splitlines())
    return sorted(float(late) for at, late in ticks if since <= float(at) <= until)


async def work(file: Path, name: str) -> None:
    """A worker of that name, until cancelled."""
    async with ticking(file):
        await serve(WORK_POOL, name=name)


if __name__ == "__main__":
    try:
        run_beside_signals(partial(work, Path(sys.argv[1]), sys.argv[2]))
    except Stopped:
        raise SystemExit(0) from None
