"""A simulated cluster with a pool on it, children that work on it, and what must be there at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.learner import connect_guest
from pool.core.clusters import PooledCluster
from pool.core.pools import DEFAULT_POOL, Pool, PoolSpec
from pool.core.settings import Settings
from pool.kube.client import Kube
from pool.kube.resources import CONFIG_MAPS
from pool.kube.watching import Watching
from pool.kubevirt.cluster import Cluster
from pool.kubevirt.preflight import ensure_storage_proved
from pool.state import PoolState
from pool.work import images, namespaces
from pool.work.attestation import golden_pair
from simulator.app import Simulator
from simulator.timing.delays import Delays
from tests.pool.bench import SETTINGS, now
from tests.pool.crash.census import READY, census, differences, host, settled, until
from tests.pool.crash.child import Job, main
from tests.pool.crash.killing import Killer, run_child

Outcome = dict[str, Any]


@dataclass
class World:
    """One simulator with a pool of `size` clusters, at first only wanted ones."""

    simulator: Simulator
    kube: Kube
    watching: Watching
    killer: Killer
    size: int

    def __post_init__(self) -> None:
        self.settings = SETTINGS
        self.store = self.simulator.api.store
        self.state = PoolState(self.kube, self.settings, now=now)

    async def ensure_pool(self) -> Pool:
        """The Pool, as it is wanted here."""
        return await self.state.ensure_pool(DEFAULT_POOL, PoolSpec(size=self.size, min_standby=0))

    async def child(self, flow: str, at: int | None = None, **parameters: Any) -> int | None:
        """Run a flow in a child, killed at its write `at`. Returns its writes, or None if it was killed."""
        return await self.carry_out(self.job(flow, **parameters), at)

    def job(self, flow: str, **parameters: Any) -> Job:
        """A flow run for a child, or for one child after the other."""
        return Job(flow, parameters, self._environment())

    async def carry_out(self, job: Job, at: int | None = None) -> int | None:
        """As `child`."""
        return await run_child(self.killer, main, job, at=at)

    def _environment(self) -> dict[str, str]:
        waits = {f"CKS_POOL_{name.upper()}": str(getattr(SETTINGS, name)) for name in TIMEOUTS}
        return waits | {
            "CKS_POOL_KUBECONFIG": str(self.simulator.kubeconfig_path),
            # A dead run is silent from its last write on, and the next run need not wait; no child lives to a beat. Two
            # fresh processes tell the time to half a second: no two of their stamps are to fall into the grace.
            "CKS_POOL_OPERATION_GRACE": "0.000001",
            "CKS_POOL_OPERATION_HEARTBEAT": "3600",
        }

    async def damage(self, name: str) -> None:
        """Leave something in the cluster's guest that a reset must remove."""
        async with connect_guest(self.kube, Cluster.of(await self.state.cluster(name))) as guest:
            await guest.create(CONFIG_MAPS, CONFIG_MAPS.manifest("damage", "default", data={}))

    async def damaged(self, name: str) -> bool:
        """Whether it is there."""
        async with connect_guest(self.kube, Cluster.of(await self.state.cluster(name))) as guest:
            return await guest.find(CONFIG_MAPS, "damage", "default") is not None

    async def marks(self) -> dict[str, tuple[int, int]]:
        """Epoch and golden generation of every cluster: what an operation does to them is counted from there."""
        return {
            one.name: (one.status.epoch, one.status.golden.generation if one.status.golden else 0)
            for one in await self.state.clusters()
        }

    async def outcome(self, before: dict[str, tuple[int, int]]) -> Outcome:
        """Who holds what, where every cluster stands, and what there is: nothing of it depends on where a run died."""
        await until(self.store, lambda: settled(self.store), lambda: f"not settled: {host(self.store)}")
        clusters = {one.name: _standing(one, before.get(one.name, (0, 0))) for one in await self.state.clusters()}
        sessions = {
            one.name: (
                str(one.phase),
                cluster := one.status.assigned_cluster,
                _since(one.status.epoch, before, cluster),
            )
            for one in await self.state.sessions()
        }
        return {"clusters": clusters, "sessions": sessions, "host": host(self.store)}

    async def is_ready(self, name: str) -> None:
        """The cluster has what a ready one has, and no more; its golden pair is the recorded one."""
        await until(
            self.store,
            lambda: census(self.store, name) == READY,
            lambda: f"{name} has {differences(census(self.store, name), READY)}",
        )
        found = await self.state.cluster(name)
        assert found.status.golden is not None
        await golden_pair(self.kube, Cluster.of(found), found.status.golden)


TIMEOUTS = [name for name in Settings.model_fields if name.endswith("_timeout") and name != "request_timeout"]


SLOW = Delays(
    clone=250, snapshot_create=100, snapshot_ready=200, snapshot_unlock=250, restore_pvc=400, shutdown=80, kill=80
)
"""Storage and shutdowns that take longer than the next run to come: it finds half of everything."""


@asynccontextmanager
async def world_at(
    folder: Path, killer: Killer, *, size: int = 1, bare: bool = False, delays: Delays | None = None
) -> AsyncIterator[World]:
    """A world without clusters yet, a thousand times as fast as `delays`; a `bare` one has nothing of the pool."""
    kubeconfig = folder / "kubeconfig"
    async with (
        Simulator(speed=1000.0, kubeconfig=kubeconfig, delays=delays) as simulator,
        Kube.connect(kubeconfig) as kube,
        Watching(kube) as watching,
    ):
        world = World(simulator, kube, watching, killer, size)
        if not bare:
            await namespaces.ensure_pool_namespace(kube, world.settings)
            await namespaces.ensure_crds(kube, watching)
            await namespaces.ensure_templates_namespace(kube, world.settings)
            pool = await world.ensure_pool()
            await images.ensure_image(kube, watching, pool, world.settings)
            await ensure_storage_proved(kube, watching, pool, world.settings)
        yield world


def _standing(cluster: PooledCluster, before: tuple[int, int]) -> dict[str, Any]:
    status = cluster.status
    return {
        "phase": str(status.phase),
        "epochs": status.epoch - before[0],
        "session": status.assigned_session,
        "operation": status.operation is not None,
        "failure": status.failure is not None,
        "rebuilding": status.rebuilding,
        # How many is left open: a refresh cut off after it recorded one takes another.
        "renewed": (status.golden.generation if status.golden else 0) > before[1],
        "conditions": {str(one.type): str(one.status) for one in status.conditions},
    }


def _since(epoch: int | None, before: dict[str, tuple[int, int]], cluster: str | None) -> int:
    return (epoch or 0) - before.get(cluster or "", (0, 0))[0]
