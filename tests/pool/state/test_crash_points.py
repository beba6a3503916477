"""A process killed at each of its writes in turn, then the same again: the end is as if it had not been killed.

The same run carries on with its own run ID. Maintenance (serving the queue, which repairs half-done handovers) runs
afterwards, as it does every few minutes; before it nothing may be held twice either.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pool.core.errors import IllegalTransition, NotHolder, PoolError, UnknownCluster
from pool.core.settings import Settings
from pool.kube.resources import NAMESPACES
from simulator.app import Simulator
from tests.pool import scenarios
from tests.pool.children import Job, Scenario, main
from tests.pool.crash.killing import Killer, run_child
from tests.pool.crash.sweep import sweep
from tests.pool.crash.tally import Tally
from tests.pool.lab import Lab, check_holdings

logger = logging.getLogger(__name__)

DONE_ALREADY: dict[Scenario, tuple[type[PoolError], ...]] = {
    scenarios.reset_in_place: (NotHolder,),
    scenarios.fail_for_good: (NotHolder,),
    scenarios.take_golden: (IllegalTransition,),
    scenarios.tear_down: (UnknownCluster,),
}
"""What a repetition may say when the first run had got to the end: it asked for something that is done."""

LATER: dict[Scenario, float] = {scenarios.expire: 7200}
"""Seconds that pass before it."""


async def prepare(lab: Lab) -> None:
    """A pool with a cluster for every scenario, in a namespace of its own."""
    await lab.kube.create(NAMESPACES, NAMESPACES.manifest(lab.settings.namespace))
    await lab.state.ensure_pool()
    await lab.pool(2)
    await lab.add("held", last_reset=lab.clock() - timedelta(days=9))
    await lab.state.assign("holder")
    await lab.add("past", last_reset=lab.clock() - timedelta(days=9))
    await lab.state.assign("over", ttl_seconds=60)
    lab.clock.forward(60)
    await lab.state.expire("over")
    await lab.add("dirty", "resetting", epoch=3)
    await lab.state.ensure_cluster(await lab.state.pool(), "fresh")


async def outcome(lab: Lab) -> dict[str, Any]:
    """Everything that must not depend on where a process died."""
    clusters = {
        c.name: (c.phase, c.status.assigned_session, c.status.epoch, c.status.expires_at, c.status.operation is None)
        for c in await lab.state.clusters()
    }
    sessions = {s.name: (s.phase, s.status.assigned_cluster, s.status.epoch) for s in await lab.state.sessions()}
    return {"clusters": clusters, "sessions": sessions}


@pytest.mark.parametrize("scenario", scenarios.ALL, ids=lambda scenario: f"state: {scenario.__name__}")
async def test_killed_at_each_write_and_run_again(
    api_server: Simulator, killer: Killer, tally: Tally, scenario: Scenario
) -> None:
    assert api_server.kubeconfig_path is not None
    async with Lab.open(api_server.kubeconfig_path) as installed:
        attempts = Attempts(api_server.kubeconfig_path, installed, killer, scenario)
        await sweep(tally, killer, attempts.make)


@dataclass(frozen=True)
class Attempts:
    """Each attempt has a namespace of its own, prepared alike."""

    kubeconfig: Path
    installed: Lab
    killer: Killer
    scenario: Scenario

    async def make(self, at: int | None) -> tuple[int | None, dict[str, Any]]:
        """Carry the scenario out, killed at that write and run again. As tests.pool.crash.sweep.Attempt."""
        name = f"{self.scenario.__name__.replace('_', '-')}-{at or 'whole'}"
        async with Lab.open(self.kubeconfig, Settings(namespace=name), install=False) as lab:
            lab.clock.time = self.installed.clock.time
            await prepare(lab)
            lab.clock.forward(LATER.get(self.scenario, 0))
            job = Job(self.kubeconfig, lab.settings, lab.clock(), self.scenario)
            writes = await run_child(self.killer, main, job, at=at)
            _held_once(await lab.state.sessions())
            if writes is None:
                await self._again(lab)
            await lab.state.serve_queue()
            check_holdings(await lab.state.sessions(), await lab.state.clusters())
            return writes, await outcome(lab)

    async def _again(self, lab: Lab) -> None:
        try:
            await self.scenario(lab.state)
        except DONE_ALREADY.get(self.scenario, ()) as error:
            logger.info("done already: %s", error)


def _held_once(sessions: list[Any]) -> None:
    held = [session.status.assigned_cluster for session in sessions if session.phase == "Active"]
    assert len(held) == len(set(held))
