"""Bad minutes: sessions come and go while Prefect's server, the workers and the host's API are killed or frozen.

What must hold is asserted: no cluster is held twice or handed out with what an earlier session left, nothing is leaked,
and every session ends within 10 s of its time while the host answers. What it took is printed.
"""

from __future__ import annotations

import asyncio
import random
import signal
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from rich.table import Table

from benchmarks.parts import Part, System, a_system
from demo.learner import connect_guest
from demo.processes import ChildFailed
from pool.core.errors import AlreadyExists, ApiError, PoolError
from pool.core.lifecycle import ClusterPhase, SessionPhase
from pool.core.sessions import Session
from pool.core.settings import Settings
from pool.kube.client import Kube
from pool.kube.resources import CONFIG_MAPS, DATA_VOLUMES, PVCS, VM_RESTORES, VM_SNAPSHOTS, VMIS, VMS, VOLUME_SNAPSHOTS
from pool.kubevirt.cluster import Cluster
from pool.state import PoolState

CLUSTERS, LEARNERS, SPEED = 12, 14, 20.0
TTL = 60
LATE = 10.0
"""Seconds after its end by which a session must have ended, the host answering."""
MARKER = CONFIG_MAPS.manifest("a-learner-was-here", "default", data={})
COUNTED = (VMS, VMIS, PVCS, DATA_VOLUMES, VM_SNAPSHOTS, VOLUME_SNAPSHOTS, VM_RESTORES)


@dataclass
class Story:
    """What happened."""

    sessions: int = 0
    checked: int = 0
    """Clusters that were looked at for what an earlier session left."""
    broken: list[str] = field(default_factory=list)
    """Promises that were, in words."""
    lateness: list[float] = field(default_factory=list)
    recoveries: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    host_away: list[tuple[float, float]] = field(default_factory=list)
    """By the machine's clock: from, until."""
    held: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Cluster and epoch of each session that got one."""


async def measure(*, quick: bool, minutes: float = 20.0, seed: int | None = None) -> Table:
    """A soak of so many minutes. Raises AssertionError if a promise was broken."""
    seed = random.randrange(10**6) if seed is None else seed
    print(f"soak: {minutes:g} minutes, --seed {seed}", flush=True)
    chance, story = random.Random(seed), Story()
    with tempfile.TemporaryDirectory() as folder:
        async with a_system(Path(folder), speed=SPEED, workers=2) as system, Kube.connect(system.kubeconfig) as kube:
            state = PoolState(kube, Settings(kubeconfig=system.kubeconfig), now=kube.now)
            await system.runs.finished(await system.runs.start("bootstrap-pool", size=CLUSTERS), timeout=900)
            before = await census(kube, state)
            end = time.monotonic() + 60 * minutes
            async with asyncio.TaskGroup() as crowd:
                for number in range(LEARNERS):
                    crowd.create_task(learner(number, kube, state, story, chance, end))
                while time.monotonic() < end:
                    await asyncio.sleep(chance.uniform(3, 10))
                    await trouble(system, story, chance)
            await all_available(state, story)
            after = await census(kube, state)
            await judge(state, story)
    if before != after:
        story.broken.append(f"leaked or lost: {after - before} more, {before - after} fewer")
    assert not story.broken, "\n".join(story.broken)
    return _table(story)


async def census(kube: Kube, state: PoolState) -> Counter[str]:
    """How much there is of each kind in the clusters' namespaces."""
    found: Counter[str] = Counter()
    for cluster in await state.clusters():
        for kind in COUNTED:
            found[f"{kind.kind} in {cluster.name}"] = len(await kube.list(kind, cluster.spec.namespace))
    return found


async def learner(number: int, kube: Kube, state: PoolState, story: Story, chance: random.Random, end: float) -> None:
    """Session after session: some give back, some overstay."""
    turn = 0
    while time.monotonic() < end - TTL:
        turn += 1
        name = f"s{number}-{turn}"
        try:
            session = await state.assign(name, ttl_seconds=TTL, wait_seconds=60)
        except PoolError:
            await asyncio.sleep(1)
            continue
        story.sessions += 1
        await _use(kube, state, session, story)
        await asyncio.sleep(chance.uniform(2, 30))
        if chance.random() < 0.6:
            with suppress(PoolError):
                await state.release(name)


async def _use(kube: Kube, state: PoolState, session: Session, story: Story) -> None:
    held = session.status.assigned_cluster or "", session.status.epoch or 0
    story.held[held] += 1
    if story.held[held] > 1:
        story.broken.append(f"{session.name} got {held[0]} at epoch {held[1]}, which another session has had")
    with suppress(PoolError):
        cluster = Cluster.of(await state.cluster(held[0]))
        async with connect_guest(kube, cluster) as guest:
            try:
                await guest.create(CONFIG_MAPS, MARKER, "default")
            except AlreadyExists:
                # Perhaps of this very session, whose answer was lost: it looks once, so it is not.
                story.broken.append(f"{session.name} found in {held[0]} what an earlier session left")
        story.checked += 1


async def trouble(system: System, story: Story, chance: random.Random) -> None:
    """One part dies, or stands still, for a while; then it is measured how long until a flow run completes."""
    part = chance.choice([system.server, system.host, *system.workers])
    freeze, seconds = chance.random() < 0.5, chance.uniform(5, 40)
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
    what = f"{_kind(part)} {'frozen' if freeze else 'killed'}"
    took = await _recovered(system)
    story.recoveries[what].append(took)
    print(f"  {what} for {seconds:.0f} s, recovered in {took:.1f} s", flush=True)


def _kind(part: Part) -> str:
    return "a worker" if part.name.startswith("worker") else part.name


async def _recovered(system: System) -> float:
    """Seconds until a flow run that looks at the host completes."""
    begun = time.monotonic()
    while time.monotonic() - begun < 300:
        try:
            await system.runs.finished(await system.runs.start("pool-status"), timeout=60)
        except (ChildFailed, httpx.HTTPError, TimeoutError):
            await asyncio.sleep(1)
        else:
            break
    return time.monotonic() - begun


async def all_available(state: PoolState, story: Story) -> None:
    """Everybody has gone, and every cluster is ready for the next."""
    end = time.monotonic() + 600
    phases: list[str] = []
    while time.monotonic() < end:
        with suppress(ApiError):
            phases = [str(cluster.phase) for cluster in await state.clusters()]
            if set(phases) == {ClusterPhase.AVAILABLE.value}:
                return
        await asyncio.sleep(1)
    story.broken.append(f"ten minutes after the last fault the clusters are {Counter(phases)}")


async def judge(state: PoolState, story: Story) -> None:
    """Look at each session's end."""
    for session in await state.sessions():
        end, ended = session.status.expires_at, session.status.ended_at
        if session.phase is not SessionPhase.EXPIRED or end is None or ended is None:
            continue
        due, over = end.timestamp(), ended.timestamp()
        away = sum(max(0.0, min(until, over) - max(since, due)) for since, until in story.host_away)
        late = max(0.0, over - due - away)
        story.lateness.append(late)
        if late > LATE:
            story.broken.append(f"session {session.name} ended {late:.0f} s late")


def _table(story: Story) -> Table:
    latest = max(story.lateness, default=0.0)
    title = f"soak: {story.sessions} sessions, {story.checked} clusters looked at, all clean; no double hold, no leak"
    table = Table(title=title, caption=f"{len(story.lateness)} sessions expired, the latest {latest:.1f} s late")
    for column in ("what was done", "times", "median recovery", "longest"):
        table.add_column(column, justify="right")
    for what, took in sorted(story.recoveries.items()):
        table.add_row(what, f"{len(took)}", f"{statistics.median(took):.1f} s", f"{max(took):.1f} s")
    return table
