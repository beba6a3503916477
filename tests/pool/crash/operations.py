"""The long operations: how each begins, and what must hold at its end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from pool.core.clusters import PooledCluster
from pool.kube.resources import POOLED_CLUSTERS
from pool.kubevirt.cluster import Cluster
from pool.work.attestation import attest_disks
from simulator.timing.delays import Delays
from tests.pool.crash.census import census, until
from tests.pool.crash.world import SLOW, World

Step = Callable[[World], Awaitable[None]]

ONE = "cluster1"


async def _nothing(world: World) -> None:
    """No preparation."""


@dataclass(frozen=True)
class Operation:
    """`flow` is killed after `prepare`; then `again` runs, as it would by itself or by an operator; then `proved`."""

    flow: str
    parameters: dict[str, Any] = field(default_factory=dict)
    prepare: Step = _nothing
    proved: Step = _nothing
    again: tuple[str, ...] = ("pool-maintenance",)
    retried: bool = False
    """The same flow run is carried out again first, as Prefect does with one that crashed."""
    delays: Delays | None = None
    size: int = 1
    least: int = 5
    """Writes there are at least: fewer mean that they are not seen."""
    every: int = 1
    """Of how many points one is tried, unless all are asked for; more for what takes seconds a point."""


async def bootstrapped(world: World) -> None:
    """A cluster that was just made, without golden snapshots."""
    await torn_down(world)
    await world.child("bootstrap-pool", golden_snapshots=False)


async def wanted(world: World) -> None:
    """A cluster's resource and namespace, with nothing in it."""
    await torn_down(world)
    await world.child("create-namespaces")


async def torn_down(world: World) -> None:
    """A Pool without clusters."""
    await world.ensure_pool()
    names = [one.name for one in await world.state.clusters()]
    if names:
        await world.child("teardown-pool", confirm="teardown", force=True, cluster_ids=names)


async def ready(world: World) -> None:
    """Available clusters."""
    await world.ensure_pool()
    phases = [str(one.phase) for one in await world.state.clusters()]
    if len(phases) < world.size or set(phases) - {"available", "locked"}:
        await world.child("bootstrap-pool")


async def used(world: World) -> None:
    """A cluster that was used and given back."""
    await ready(world)
    session = f"session{(await world.state.cluster(ONE)).status.epoch}"
    await world.state.assign(session)
    await world.damage(ONE)
    await world.state.release(session)
    await world.state.remove_ended_session(await world.state.session(session))


async def held(world: World) -> None:
    """Every cluster is held and used."""
    await ready(world)
    for number in range(1, world.size + 1):
        session = await world.state.assign(f"holder{number}")
        await world.damage(str(session.status.assigned_cluster))


async def broken(world: World) -> None:
    """A cluster in `error`."""
    await ready(world)
    found = await world.state.cluster(ONE)
    for phase in ("resetting", "error"):
        failed = found.with_status(phase=phase, clean=False)
        obj = await world.kube.replace(POOLED_CLUSTERS, failed.to_object(), subresource="status")
        found = PooledCluster.from_object(obj)


async def clean(world: World) -> None:
    """Nothing of a session is left on any cluster, and its disks stem from the recorded generation."""
    for found in await world.state.clusters():
        await world.is_ready(found.name)
        assert not await world.damaged(found.name), f"{found.name} was not reset"
        assert found.status.golden is not None
        await attest_disks(world.kube, Cluster.of(found), found.status.golden)


async def golden_taken(world: World) -> None:
    """The cluster is ready, with the first generation."""
    await world.is_ready(ONE)


async def gone(world: World) -> None:
    """Nothing is left of the cluster, nor of its Pool."""
    await until(world.store, lambda: not census(world.store, ONE).total(), lambda: f"left: {census(world.store, ONE)}")
    assert await world.state.clusters() == []
    assert await world.state.pool_names() == []


async def forgotten(world: World) -> None:
    """As `clean`; the ended sessions are removed for the next time."""
    await clean(world)
    for session in await world.state.sessions():
        await world.state.remove_ended_session(session)


ALL = {
    "reset": Operation("reset-cluster", {"cluster_id": ONE}, used, clean, every=2),
    "reset, retried": Operation("reset-cluster", {"cluster_id": ONE}, used, clean, retried=True, every=5),
    "reset, slow": Operation("reset-cluster", {"cluster_id": ONE}, used, clean, delays=SLOW, every=5),
    "reset in place": Operation("reset-cluster", {"cluster_id": ONE, "session_id": "holder1"}, held, clean, every=4),
    "golden": Operation("create-golden-snapshots", {}, bootstrapped, golden_taken, every=5),
    "golden, slow": Operation("create-golden-snapshots", {}, bootstrapped, golden_taken, delays=SLOW, every=9),
    "refresh": Operation("create-golden-snapshots", {"refresh": True}, ready, clean, every=9),
    "bootstrap": Operation("bootstrap-cluster", {"cluster_id": ONE}, wanted, golden_taken, every=6),
    "rebuild": Operation("rebuild-cluster", {"cluster_id": ONE}, broken, golden_taken, every=12),
    "teardown": Operation("teardown-pool", {"confirm": "teardown"}, ready, gone, every=3),
    "release all": Operation(
        "release-all-clusters", {}, held, forgotten, again=("release-all-clusters", "pool-maintenance"), size=2, every=9
    ),
}
