"""Bad minutes: sessions come and go while Prefect's server, the workers and the host's API are killed or frozen.

What must hold is judged (benchmarks.promises), what it took is printed. Every wait has an end, which says what was last
seen: a soak never hangs.
"""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import statistics
import time

from rich.console import Console
from rich.table import Table

from benchmarks.learners import LEARNERS, learn
from benchmarks.parts import Part, System, a_folder, a_system
from benchmarks.promises import BrokenPromises, Story, census, judge
from benchmarks.waits import until
from pool.core.lifecycle import ClusterPhase
from pool.core.settings import Settings
from pool.kube.client import Kube
from pool.state import PoolState

CLUSTERS, SPEED = 12, 20.0
RECOVERED = 300.0
"""Seconds in which a flow run must complete after a fault."""


async def measure(*, quick: bool, minutes: float = 20.0, seed: int | None = None) -> Table:
    """A soak of so many minutes. Raises BrokenPromises, TooLate, or what else went wrong."""
    seed = random.randrange(10**6) if seed is None else seed
    print(f"soak: {minutes:g} minutes, --seed {seed}", flush=True)
    logging.getLogger("stamina").setLevel(logging.ERROR)
    story = Story()
    with a_folder("soak") as folder:
        async with a_system(folder, speed=SPEED, workers=2) as system, Kube.connect(system.kubeconfig) as kube:
            state = PoolState(kube, Settings(kubeconfig=system.kubeconfig), now=kube.now)
            await system.runs.finished(await system.runs.start("bootstrap-pool", size=CLUSTERS), timeout=900)
            before = await census(kube, state)
            end = time.monotonic() + 60 * minutes
            try:
                async with asyncio.TaskGroup() as crowd:
                    for number in range(LEARNERS):
                        crowd.create_task(learn(number, kube, state, story, random.Random(f"{seed} {number}"), end))
                    crowd.create_task(_troubles(system, story, random.Random(seed), end))
            except BaseExceptionGroup as failures:
                raise failures.exceptions[0] from None  # the others were ended because of it
            await _calm(system, state)
            await judge(kube, state, story, before)
        if story.broken:
            Console().print(_table(story))
            raise BrokenPromises(story.broken)
    return _table(story)


async def _troubles(system: System, story: Story, chance: random.Random, end: float) -> None:
    while time.monotonic() < end:
        await asyncio.sleep(chance.uniform(3, 10))
        part = chance.choice([system.server, system.host, *system.workers])
        await _trouble(system, part, story, freeze=chance.random() < 0.5, seconds=chance.uniform(5, 40))


async def _trouble(system: System, part: Part, story: Story, *, freeze: bool, seconds: float) -> None:
    """One part dies, or stands still, for a while; then it is measured how long until a flow run completes."""
    begun = time.time()
    if freeze:
        part.signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        part.signal(signal.SIGCONT)
    else:
        await part.killed()
        await asyncio.sleep(seconds)
        await part.begin()
    if part is system.host:
        story.host_away.append((begun, time.time()))
    what = f"{part.kind} {'frozen' if freeze else 'killed'}"
    begun = time.monotonic()
    await until(f"recovery, {what} for {seconds:.0f} s", lambda: _completes(system), timeout=RECOVERED)
    took = time.monotonic() - begun
    story.recoveries[what].append(took)
    print(f"  {what} for {seconds:.0f} s, recovered in {took:.1f} s", flush=True)


async def _completes(system: System) -> str:
    """Returns once a flow run that looks at the host has completed. Raises RunFailed, httpx.HTTPError."""
    await system.runs.finished(await system.runs.start("pool-status"), timeout=60)
    return ""


async def _calm(system: System, state: PoolState) -> None:
    """Wait until every cluster is ready for the next, and nobody's flow run is left. Raises TooLate."""

    async def available() -> str:
        phases = [(await state.cluster(cluster.name)).phase for cluster in await state.clusters()]
        return "" if set(phases) == {ClusterPhase.AVAILABLE} else ", ".join(sorted(phases))

    await until("every cluster available", available, timeout=600)
    lost = {run["id"] for run in await system.runs.under_way()}

    async def ended() -> str:
        left = [run for run in await system.runs.under_way() if run["id"] in lost]
        return ", ".join(f"{run['name']} {run['state']['name']}" for run in left)

    await until("the end of every flow run", ended, timeout=180)


def _table(story: Story) -> Table:
    latest = max(story.lateness, default=0.0)
    verdict = f"{len(story.broken)} promises broken" if story.broken else "all clean; no double hold, no leak"
    title = f"soak: {story.sessions} sessions, {story.checked} clusters looked at, {verdict}"
    table = Table(title=title, caption=f"{len(story.lateness)} sessions expired, the latest {latest:.1f} s late")
    for column in ("what was done", "times", "median recovery", "longest"):
        table.add_column(column, justify="right")
    for what, took in sorted(story.recoveries.items()):
        table.add_row(what, f"{len(took)}", f"{statistics.median(took):.1f} s", f"{max(took):.1f} s")
    return table
