"""A process stopped at each write of a long operation in turn, overtaken, and continued once the next session began.

What it does then harms nothing: the session's VMs, disks and resources are as they were, and nothing was made or lost.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.pool.crash.census import until
from tests.pool.crash.killing import Killer
from tests.pool.crash.operations import ONE, Operation, bootstrapped, broken, ready, used, wanted
from tests.pool.crash.stopping import Stopper
from tests.pool.crash.tally import Tally
from tests.pool.crash.world import World, world_at

REFUSED = {"StaleOperation", "IllegalTransition", "OperationInProgress", "UnknownCluster", ""}
"""How a run ends that had not claimed the cluster when it was stopped, or had done with it."""

OVERTAKEN = {"StaleOperation", "UnknownCluster", "WaitTimeout", "RestoreFailed"}
"""How one ends that had: told by a write of its own, by a wait whose time ran out while it stood still, or by one for a
restore that the other run has removed."""

ALL = {
    "reset": (Operation("reset-cluster", {"cluster_id": ONE}, used), (5, 13, 21, 29)),
    "golden": (Operation("create-golden-snapshots", {}, bootstrapped), (14, 24)),
    "refresh": (Operation("create-golden-snapshots", {"refresh": True}, ready), (10,)),
    "bootstrap": (Operation("bootstrap-cluster", {"cluster_id": ONE}, wanted), (12, 30)),
    "rebuild": (Operation("rebuild-cluster", {"cluster_id": ONE}, broken), (12, 30)),
    "teardown": (Operation("teardown-pool", {"confirm": "teardown"}, ready), (4,)),
}
"""What is stopped, and at which of its writes unless all are asked for: those are for seconds each."""

WHOLE = (
    "virtualmachines",
    "persistentvolumeclaims",
    "datavolumes",
    "virtualmachinesnapshots",
    "pooledclusters",
    "sessions",
)
"""Kinds of which not a word may change."""
TOLD = ("events",)
"""What tells of the past: a stopped run may tell its part late."""


@pytest.fixture
def stopper(monkeypatch: pytest.MonkeyPatch) -> Stopper:
    """Sees what children send to the simulators of this test."""
    return Stopper().installed(monkeypatch)


@pytest.fixture
async def world(tmp_path: Path, killer: Killer, stopper: Stopper) -> AsyncIterator[World]:
    """A pool of one cluster."""
    async with world_at(tmp_path, killer) as opened:
        yield opened


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ALL)
async def test_stopped_runs(name: str, world: World, stopper: Stopper, stops: Tally) -> None:
    operation, sample = ALL[name]
    for point in stops.sample(sample):
        if not await _attempt(world, stopper, operation, point):
            stops.tried -= 1
            break
        stops.survived += 1
    assert stops.survived, "the child's writes are not seen"


async def _attempt(world: World, stopper: Stopper, operation: Operation, at: int) -> bool:
    """Whether there was such a write."""
    await operation.prepare(world)
    before: dict[Any, Any] = {}
    claimed = False

    async def meanwhile() -> None:
        nonlocal claimed
        claimed = any(one.status.operation is not None for one in await world.state.clusters())
        await world.child("pool-maintenance")
        if not await world.state.clusters():
            await world.ensure_pool()
            await world.child("bootstrap-pool")
        assert str((await world.state.cluster(ONE)).phase) == "available"
        await world.state.assign(f"after{at}")
        await world.damage(ONE)
        before.update(photograph(world))

    ended = await stopper.run(world.job(operation.flow, **operation.parameters), at, meanwhile)
    if ended is None:
        return False
    where = f"stopped at write {at}, {stopper.held}; it ended with {ended or 'no error'}"
    # What it had made late, and took back, has its controllers' time to go.
    await until(world.store, lambda: not _changed(before, world), lambda: f"{where}: {_changed(before, world)}")
    assert await world.damaged(ONE), where
    session = await world.state.session(f"after{at}")
    assert str(session.phase) == "Active", where
    assert ended in (OVERTAKEN if claimed else REFUSED), where
    await world.state.release(session.name)
    await world.state.remove_ended_session(await world.state.session(session.name))
    await world.child("pool-maintenance")
    return True


def photograph(world: World) -> dict[Any, Any]:
    """Every object by kind, namespace and name: its UID, or all of it."""
    return {
        (plural, *key): _words(plural, stored.obj) if plural in WHOLE else stored.obj["metadata"]["uid"]
        for (_group, plural), found in world.store.dump().items()
        for key, stored in found.items()
        if plural not in TOLD
    }


def _words(plural: str, obj: dict[str, Any]) -> dict[str, Any]:
    """All that an object says; but KubeVirt notes on a VM that a snapshot of it is there, and takes that back."""
    if plural != "virtualmachines":
        return obj
    return obj | {"metadata": {key: value for key, value in obj["metadata"].items() if key != "resourceVersion"}}


def _changed(before: dict[Any, Any], world: World) -> list[Any]:
    after = photograph(world)
    return [(key, before.get(key), after.get(key)) for key in after | before if before.get(key) != after.get(key)]
