"""More sessions than clusters, all at once: what the handovers cost in writes, against the least they can cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.assign import CountingKube, pool_of
from pool.core.errors import NoClusterAvailable
from pool.core.settings import Settings
from pool.kube.watching import Watching
from pool.state import PoolState

LEAST_WRITES = 3
"""Of a handover: the session is created, the cluster locked, the session marked."""


async def measure(*, quick: bool) -> Table:
    """API writes a session, when twice as many sessions as clusters ask at the same moment and nobody waits."""
    clusters, sessions = (5, 10) if quick else (100, 200)
    table = Table(title=f"{sessions} sessions against {clusters} clusters at once")
    for column in ("processes", "served", "time", "writes a session", "with Events", "least", "ratio"):
        table.add_column(column, justify="right")
    for processes in (1,) if quick else (1, 2, 4):
        async with pool_of(clusters) as (_, state, kubeconfig):
            begun = time.perf_counter()
            crowds = await _crowds(kubeconfig, sessions, processes)
            took = time.perf_counter() - begun
            held = [one.status.assigned_session for one in await state.clusters() if one.status.assigned_session]
        served, writes, events = (sum(crowd[part] for crowd in crowds) for part in range(3))
        if not served == len(held) == len(set(held)) == clusters:
            raise RuntimeError(f"{served} served, {len(held)} clusters held by {len(set(held))}")
        each, least = writes / sessions, LEAST_WRITES * clusters / sessions
        figures = (f"{each:.2f}", f"{(writes + events) / sessions:.2f}", f"{least:.2f}", f"{each / least:.2f}")
        table.add_row(str(processes), str(served), f"{took:.2f} s", *figures)
    return table


async def _crowds(kubeconfig: Path, sessions: int, processes: int) -> list[tuple[int, int, int]]:
    """Served sessions, writes and Events of each process; all begin together once all have connected."""
    context = get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(processes, mp_context=context) as workers:
        together = manager.Barrier(processes)
        loop = asyncio.get_running_loop()
        shares = [range(number, sessions, processes) for number in range(processes)]
        return await asyncio.gather(
            *(loop.run_in_executor(workers, _run, kubeconfig, share, together) for share in shares)
        )


def _run(kubeconfig: Path, share: Iterable[int], together: Any) -> tuple[int, int, int]:
    return asyncio.run(_crowd(kubeconfig, share, together))


async def _crowd(kubeconfig: Path, share: Iterable[int], together: Any) -> tuple[int, int, int]:
    async with CountingKube.connect(kubeconfig) as kube, Watching(kube) as watching:
        assert isinstance(kube, CountingKube)
        state = PoolState(kube, Settings(), now=kube.now, watching=watching)
        async with state.following():
            await asyncio.to_thread(together.wait)
            served = sum(await asyncio.gather(*(_served(state, f"session-{number}") for number in share)))
            await state.events.drain()
        writes = sum(count for method, count in kube.calls.items() if method != "GET")
        return served, writes, kube.events


async def _served(state: PoolState, session_id: str) -> bool:
    try:
        await state.assign(session_id)
    except NoClusterAvailable:
        return False
    return True
