"""A process killed after each of its writes in turn, then the same again: the end is as if it had not been killed.

The same run carries on with its own run ID. Maintenance (serving the queue, which repairs half-done handovers) runs
afterwards, as it does every few minutes; before it nothing may be held twice either.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Any

import pytest

from pool.errors import IllegalTransition, NotHolder, PoolError, UnknownCluster
from pool.kube.resources import NAMESPACES
from pool.settings import Settings
from simulator.app import Simulator
from tests.pool import scenarios
from tests.pool.children import Job, Scenario, run
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
    await lab.pool(2)
    await lab.add("held", last_reset=lab.clock() - timedelta(days=9))
    await lab.state.assign("holder")
    await lab.add("past", last_reset=lab.clock() - timedelta(days=9))
    await lab.state.assign("over", ttl_seconds=60)
    lab.clock.forward(60)
    await lab.state.expire("over")
    await lab.add("dirty", "resetting", epoch=3)
    await lab.state.ensure_cluster("fresh", "fresh")


async def outcome(lab: Lab) -> dict[str, Any]:
    """Everything that must not depend on where a process died."""
    clusters = {
        c.name: (c.phase, c.status.assigned_session, c.status.epoch, c.status.expires_at, c.status.operation is None)
        for c in await lab.state.clusters()
    }
    sessions = {s.name: (s.phase, s.status.assigned_cluster, s.status.epoch) for s in await lab.state.sessions()}
    return {"clusters": clusters, "sessions": sessions}


@pytest.mark.parametrize("scenario", scenarios.ALL, ids=lambda scenario: scenario.__name__)
async def test_killed_after_each_write_and_run_again(api_server: Simulator, scenario: Scenario) -> None:
    assert api_server.kubeconfig_path is not None
    async with Lab.open(api_server.kubeconfig_path) as installed:
        whole, writes = await _attempt(api_server, installed, scenario, None)
        assert writes
        survived = 0
        for point in range(1, writes + 1):
            again, _ = await _attempt(api_server, installed, scenario, point)
            assert again == whole, f"killed after write {point} of {writes}"
            survived += 1
        print(f"crash points: {survived} survived of {writes} ({scenario.__name__})")


async def _attempt(
    server: Simulator, installed: Lab, scenario: Scenario, die_after: int | None
) -> tuple[dict[str, Any], int]:
    name = f"{scenario.__name__.replace('_', '-')}-{die_after or 'whole'}"
    kubeconfig = server.kubeconfig_path
    assert kubeconfig is not None
    async with Lab.open(kubeconfig, Settings(namespace=name), install=False) as lab:
        lab.clock.time = installed.clock.time
        await prepare(lab)
        lab.clock.forward(LATER.get(scenario, 0))
        job = Job(kubeconfig, lab.settings, lab.clock(), scenario, die_after)
        writes = await asyncio.to_thread(run, job)
        assert (writes is None) == (die_after is not None)
        _held_once(await lab.state.sessions())
        if die_after is not None:
            try:
                await scenario(lab.state)
            except DONE_ALREADY.get(scenario, ()) as error:
                logger.info("done already: %s", error)
        await lab.state.serve_queue()
        check_holdings(await lab.state.sessions(), await lab.state.clusters())
        return await outcome(lab), writes or 0


def _held_once(sessions: list[Any]) -> None:
    held = [session.status.assigned_cluster for session in sessions if session.phase == "Active"]
    assert len(held) == len(set(held))
