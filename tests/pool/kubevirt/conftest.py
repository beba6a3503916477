"""A cluster on a simulator, a thousand times faster than real ones; tests take it as far as they need."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pool.core import pools
from pool.core.clusters import Golden
from pool.core.settings import Settings
from pool.guest.kubeconfig import connect_guest
from pool.kube.client import Kube, Object
from pool.kube.resources import CONFIG_MAPS, DATA_VOLUMES, PVCS, VM_RESTORES, VOLUME_SNAPSHOTS
from pool.kube.watching import Watching
from pool.kubevirt.cluster import Cluster
from pool.work import golden, images, namespaces, provision, reset
from pool.work.reset import Attestation
from simulator.app import Simulator
from tests.pool.builders import member
from tests.pool.builders import pool as make_pool
from tests.pool.kubevirt.pooled import Pool, used_and_given_back
from tests.pool.wire import Wire

WAIT = 20.0
SETTINGS = Settings(
    provision_timeout=WAIT,
    boot_timeout=WAIT,
    stop_timeout=WAIT,
    snapshot_timeout=WAIT,
    restore_timeout=WAIT,
    health_timeout=WAIT,
    delete_timeout=WAIT,
    import_timeout=WAIT,
)
POOL = make_pool()
CLUSTER = member()


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Bench:
    """A simulator, the pool's ways to it, and one cluster."""

    simulator: Simulator
    kube: Kube
    watching: Watching
    wire: Wire
    settings: Settings = field(default_factory=lambda: SETTINGS)
    cluster: Cluster = CLUSTER
    pool: pools.Pool = POOL

    async def bootstrap(self) -> None:
        """A healthy cluster without golden snapshots."""
        await self.prepare()
        await provision.ensure_cluster(self.kube, self.watching, self.cluster, self.pool, self.settings, now=now)

    async def prepare(self) -> None:
        """Everything a cluster needs but itself."""
        await namespaces.ensure_templates_namespace(self.kube, self.settings)
        await namespaces.ensure_cluster_namespace(self.kube, self.watching, self.cluster, self.pool, self.settings)
        await images.ensure_image(self.kube, self.watching, self.pool, self.settings)

    async def take_golden(self, generation: int = 1) -> Golden:
        return await golden.take_golden(
            self.kube, self.watching, self.cluster, self.settings, generation=generation, now=now
        )

    async def reset(self, taken: Golden, run_id: str, settings: Settings | None = None) -> Attestation:
        where = (self.kube, self.watching, self.cluster)
        return await reset.reset_cluster(*where, taken, settings or self.settings, run_id=run_id)

    async def volumes(self) -> dict[str, int]:
        """How many disks, snapshots and restores there are in the cluster's namespace."""
        kinds = (PVCS, DATA_VOLUMES, VM_RESTORES, VOLUME_SNAPSHOTS)
        return {kind.plural: len(await self.kube.list(kind, self.cluster.namespace)) for kind in kinds}

    def objects(self) -> Counter[str]:
        """How many objects of each kind there are in the cluster's namespace, what tells of the past left out."""
        store = self.simulator.api.store
        counts = {plural: store.count((group, plural), self.cluster.namespace) for group, plural in store.collections()}
        return Counter({plural: count for plural, count in counts.items() if plural != "events"})

    @asynccontextmanager
    async def guest(self) -> AsyncIterator[Kube]:
        async with connect_guest(self.kube, self.cluster) as guest:
            yield guest

    async def damage(self, name: str = "damage") -> None:
        """Leave something in the guest that a reset must remove."""
        async with self.guest() as guest:
            await guest.create(CONFIG_MAPS, CONFIG_MAPS.manifest(name, "default", data={}))

    async def damaged(self, name: str = "damage") -> Object | None:
        async with self.guest() as guest:
            return await guest.find(CONFIG_MAPS, name, "default")


@asynccontextmanager
async def bench_at(kubeconfig: Path, speed: float) -> AsyncIterator[Bench]:
    """A bench whose simulator divides all delays by `speed`."""
    async with (
        Simulator(speed=speed, kubeconfig=kubeconfig) as simulator,
        Kube.connect(kubeconfig) as kube,
        Watching(kube) as watching,
    ):
        yield Bench(simulator, kube, watching, Wire(simulator))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench_at(tmp_path / "kubeconfig", 1000.0) as opened:
        yield opened


@pytest.fixture
async def pool(bench: Bench) -> Pool:
    """A pool of one cluster, used and given back."""
    return await used_and_given_back(bench)
