"""What must hold on a bad day, judged by what the host says at its end.

No cluster is held twice or handed out with what an earlier session left, nothing is leaked, and every session ends
within 10 s of its time while the host answers.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from benchmarks.waits import TooLate, until
from pool.core.lifecycle import SessionPhase
from pool.core.sessions import Session
from pool.kube.client import Kube
from pool.kube.resources import DATA_VOLUMES, PVCS, VM_RESTORES, VM_SNAPSHOTS, VMIS, VMS, VOLUME_SNAPSHOTS
from pool.state import PoolState

LATE = 10.0
"""Seconds after its end by which a session must have ended, the host answering."""
COUNTED = (VMS, VMIS, PVCS, DATA_VOLUMES, VM_SNAPSHOTS, VOLUME_SNAPSHOTS, VM_RESTORES)


class BrokenPromises(RuntimeError):
    """What did not hold, a line each."""

    def __init__(self, broken: Sequence[str]) -> None:
        super().__init__("\n".join(broken))


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


async def census(kube: Kube, state: PoolState) -> Counter[str]:
    """How much there is of each kind in the clusters' namespaces."""
    found: Counter[str] = Counter()
    for cluster in await state.clusters():
        for kind in COUNTED:
            found[f"{kind.kind} in {cluster.name}"] = len(await kube.list(kind, cluster.spec.namespace))
    return found


async def judge(kube: Kube, state: PoolState, story: Story, before: Counter[str]) -> None:
    """Say what was broken, by all sessions there were and what there is of each kind now."""

    async def difference() -> str:
        now = await census(kube, state)
        # Counters leave out what is not positive.
        return f"{now - before} more, {before - now} fewer" if now != before else ""

    try:
        # What is removed takes a moment to be gone.
        await until("as much of each kind as before", difference, timeout=60)
    except TooLate as leak:
        story.broken.append(str(leak))
    sessions = await state.sessions()
    story.broken += [f"session {one.name} has not ended" for one in sessions if not one.phase.ended]
    story.broken += held_twice(sessions)
    for session in sessions:
        if (late := lateness(session, story.host_away)) is not None:
            story.lateness.append(late)
            if late > LATE:
                story.broken.append(f"session {session.name} ended {late:.0f} s late")


def held_twice(sessions: Iterable[Session]) -> list[str]:
    """Who got a cluster before its holder of before had ended, or at an epoch that somebody had."""
    found, holders = [], defaultdict(list)
    for session in sessions:
        if (cluster := session.status.assigned_cluster) and (since := session.status.cluster_lock_time):
            holders[cluster].append((since, session))
    for cluster, held in holders.items():
        for (_, first), (since, second) in pairwise(sorted(held, key=lambda one: one[0])):
            ended = first.status.ended_at
            if ended is None or ended > since or first.status.epoch == second.status.epoch:
                found.append(f"{cluster} was held by {first.name} and {second.name} at once")
    return found


def lateness(session: Session, host_away: Iterable[tuple[float, float]]) -> float | None:
    """Seconds for which an expired session was late while the host answered; None for one that ended otherwise."""
    end, ended = session.status.expires_at, session.status.ended_at
    if session.phase is not SessionPhase.EXPIRED or end is None or ended is None:
        return None
    due, over = end.timestamp(), ended.timestamp()
    away = sum(max(0.0, min(until, over) - max(since, due)) for since, until in host_away)
    return max(0.0, over - due - away)
