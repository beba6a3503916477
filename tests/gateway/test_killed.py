"""A gateway killed at each of its writes, and another one asked the same again: as if it had not been killed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pool.core.settings import Settings
from pool.kube.resources import NAMESPACES
from simulator.app import Simulator
from tests.gateway.child import Call, Job, answers, main
from tests.gateway.test_sessions import SESSIONS
from tests.pool.crash.killing import Killer, run_child
from tests.pool.crash.sweep import sweep
from tests.pool.crash.tally import Tally
from tests.pool.lab import Lab, check_holdings

LIVES = {
    "asked for and extended": (
        Call("POST", SESSIONS, {"sessionId": "alice", "ttlSeconds": 600}, "start"),
        Call("PATCH", f"{SESSIONS}/alice", {"extendSeconds": 600}, "more"),
    ),
    "begun anew, waiting if need be": (Call("POST", SESSIONS, {"sessionId": "over", "waitSeconds": 60}, "start"),),
    "given back": (Call("DELETE", f"{SESSIONS}/holder"),),
}


@pytest.mark.parametrize("life", LIVES)
async def test_killed_at_each_write_and_asked_again(
    api_server: Simulator,
    killer: Killer,
    tally: Tally,
    life: str,
) -> None:
    assert api_server.kubeconfig_path is not None
    async with Lab.open(api_server.kubeconfig_path):
        await sweep(tally, killer, Attempts(api_server.kubeconfig_path, killer, LIVES[life]).make)


@dataclass(frozen=True)
class Attempts:
    """Each attempt has a namespace of its own, prepared alike."""

    kubeconfig: Path
    killer: Killer
    calls: tuple[Call, ...]

    async def make(self, at: int | None) -> tuple[int | None, Any]:
        """As tests.pool.crash.sweep.Attempt."""
        name = f"killed-at-{at or 'none'}"
        async with Lab.open(self.kubeconfig, Settings(namespace=name), install=False) as lab:
            await lab.kube.create(NAMESPACES, NAMESPACES.manifest(name))
            await lab.pool(3)
            for session in ("over", "holder"):
                await lab.state.assign(session)
            await lab.state.release("over")
            job = Job(self.kubeconfig, name, self.calls)
            writes = await run_child(self.killer, main, job, at=at)
            if writes is None:
                await answers(job)
            check_holdings(await lab.state.sessions(), await lab.state.clusters())
            return writes, await outcome(lab)


async def outcome(lab: Lab) -> Any:
    """What must not depend on where a process died: who has what, at which epoch, for how long."""
    clusters = [
        (one.name, one.phase, one.status.assigned_session, one.status.epoch, one.status.extension_keys)
        for one in await lab.state.clusters()
    ]
    sessions = []
    for one in await lab.state.sessions():
        status = one.status
        ends, began = status.expires_at, status.cluster_lock_time
        # The end is in whole seconds.
        lasts = round((ends - began).total_seconds() / 10) if ends and began else None
        sessions.append((one.name, one.phase, status.assigned_cluster, status.epoch, lasts))
    return clusters, sessions
