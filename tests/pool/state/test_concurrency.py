"""Many processes, more sessions than clusters, and a server that makes trouble: nobody shares, nobody starves.

Answers come late, writes arrive twice, compare-and-swaps meet somebody else's write, lists show what was true a while
ago.

Every process plays learners: each waits for a cluster, uses it, gives it back, and a reset makes it clean again. The
moments at which each held its cluster are taken by one clock (the machine's), so an overlap would show.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pool.core.clusters import OperationKind
from pool.core.settings import Settings
from pool.state import PoolState
from simulator.api.faults import Fault, FaultKind
from simulator.app import Simulator
from tests.pool.children import CONTEXT, UnluckyKube
from tests.pool.lab import Lab
from tests.pool.scenarios import ATTESTED

PROCESSES, SESSIONS, CLUSTERS = 20, 200, 50

TROUBLE = (
    Fault(FaultKind.CONFLICT, probability=0.1, verbs=("update",)),
    Fault(FaultKind.LAG, probability=0.2, verbs=("list",), seconds=0.5),
)
"""What the server does, beside what `UnluckyKube` does to each client."""


@dataclass(frozen=True)
class Held:
    """One session's time with one cluster, on the machine's monotonic clock (seconds)."""

    session: str
    cluster: str
    epoch: int
    since: float
    until: float


@pytest.mark.timeout(300)
async def test_nobody_shares_a_cluster_and_nobody_starves(api_server: Simulator) -> None:
    assert api_server.kubeconfig_path is not None
    async with Lab.open(api_server.kubeconfig_path) as lab:
        for number in range(1, CLUSTERS + 1):
            await lab.add(f"cluster{number}")
        for fault in TROUBLE:
            api_server.faults.add(fault)
        names = [f"s{number}" for number in range(SESSIONS)]
        shares = [names[process::PROCESSES] for process in range(PROCESSES)]
        crowds = await asyncio.gather(
            *(asyncio.to_thread(_child, api_server.kubeconfig_path, share) for share in shares)
        )
        for fault in TROUBLE:
            assert fault.total, f"no {fault.kind} struck"
        api_server.faults.clear()
        held = [one for crowd in crowds for one in crowd]
        assert sorted(one.session for one in held) == sorted(names)
        _check_alone(held)
        await lab.state.serve_queue()
        for cluster in await lab.state.clusters():
            # A second lock, left by an answer that was lost: its session may have used it for all anybody knows.
            if cluster.phase == "resetting":
                await lab.reset(cluster.name)
        stats = await lab.state.stats()
        assert stats.available_clusters == stats.total_clusters == CLUSTERS
        await lab.check()


def _check_alone(held: list[Held]) -> None:
    handovers = [(one.cluster, one.epoch) for one in held]
    assert len(set(handovers)) == len(handovers), "a handover was given twice"
    by_cluster: dict[str, list[Held]] = defaultdict(list)
    for one in held:
        by_cluster[one.cluster].append(one)
    for several in by_cluster.values():
        several.sort(key=lambda one: one.since)
        for earlier, later in itertools.pairwise(several):
            assert earlier.until <= later.since, f"{earlier} and {later} overlap"


def _child(kubeconfig: Path, names: list[str]) -> list[Held]:
    here, there = CONTEXT.Pipe(duplex=False)
    child = CONTEXT.Process(target=_run, args=(kubeconfig, names, there))
    child.start()
    there.close()
    try:
        held: list[Held] = here.recv()
        return held
    finally:
        child.join()


def _run(kubeconfig: Path, names: list[str], answer: Any) -> None:
    answer.send(asyncio.run(_crowd(kubeconfig, names)))


async def _crowd(kubeconfig: Path, names: list[str]) -> list[Held]:
    async with UnluckyKube.connect(kubeconfig) as kube:
        state = PoolState(kube, Settings(), now=kube.now)
        return await asyncio.gather(*(_learn(state, name) for name in names))


async def _learn(state: PoolState, name: str) -> Held:
    session = await state.assign(name, wait_seconds=240)
    since = time.monotonic()
    cluster, epoch = session.status.assigned_cluster, session.status.epoch
    assert cluster is not None
    assert epoch is not None
    assert (await state.cluster(cluster)).status.assigned_session == name
    until = time.monotonic()
    released = await state.release(name, epoch=epoch)
    if released.cluster_id is not None:
        await _reset(state, released.cluster_id, f"reset-{name}")
    return Held(name, cluster, epoch, since, until)


async def _reset(state: PoolState, cluster_id: str, run: str) -> None:
    async with state.operation(cluster_id, OperationKind.RESET, run) as work:
        await work.finish(attested=ATTESTED)
