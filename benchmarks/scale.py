"""Many clusters, with one, two and four workers: how many sessions and resets a minute, and what each of them costs.

Everything shares this machine's cores, the simulated host too, which is the dearest. So times say what this machine
does; the seconds of a core that each kind of process takes hold elsewhere as well.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Group

from benchmarks.crew import Crew, a_crew
from benchmarks.parts import a_folder
from benchmarks.scale_tables import Tables
from benchmarks.takeover import takeover
from benchmarks.waits import until
from benchmarks.wave import wave

CLUSTERS, WORKERS, SPEED, REST = (30,), (1, 2, 4), 20.0, 300.0
"""A rest has one round of maintenance, wherever it begins."""
QUICK_CLUSTERS, QUICK_WORKERS, QUICK_SPEED, QUICK_REST = (2,), (2,), 100.0, 2.0


async def measure(
    *,
    quick: bool,
    clusters: Sequence[int] = (),
    workers: Sequence[int] = (),
    sessions: int = 0,
    rest: float = 0.0,
    speed: float = 0.0,
) -> Group:
    """Four tables: at rest, what waves cost, how the workers were in them, what a killed worker costs.

    `sessions`: at once, at most as many as clusters. Raises TooLate, ChildFailed, RunFailed.
    """
    crews = sorted(workers or (QUICK_WORKERS if quick else WORKERS))
    tables = Tables()
    for size in clusters or (QUICK_CLUSTERS if quick else CLUSTERS):
        at_once = min(sessions or size, size)
        with a_folder("scale") as folder:
            async with a_crew(folder, clusters=size, speed=speed or (QUICK_SPEED if quick else SPEED)) as crew:
                await crew.grow(crews[0])
                idle = await _rest(tables, crew, size, rest or (QUICK_REST if quick else REST))
                for count in crews:
                    await crew.grow(count)
                    before = await crew.prefect.stored()
                    done = await wave(crew, at_once)
                    tables.add_wave(size, crew, done, idle, await crew.prefect.stored() - before)
                if len(crew.workers) > 1:
                    tables.add_takeover(size, await takeover(crew, at_once))
    return Group(tables.rests, tables.costs, tables.waves, tables.takeovers)


async def _rest(tables: Tables, crew: Crew, size: int, seconds: float) -> Counter[str]:
    """What there is to be paid for with nothing to do. Returns the share of a core of one process of each kind."""
    await until("every cluster available", crew.missing, timeout=600)
    begun = datetime.now(UTC)
    async with crew.measured() as spent:
        await asyncio.sleep(seconds)
    runs = await crew.prefect.runs.since("pool-maintenance", begun)
    tables.add_rest(size, crew, spent, sum(run["start_time"] is not None for run in runs))
    return Counter({kind: spent.cpu[kind] / len(pids) / spent.seconds for kind, pids in crew.pids().items() if pids})
