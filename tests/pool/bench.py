"""A cluster on a simulator, a thousand times faster than real ones; tests take it as far as they need."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from demo.learner import connect_guest
from pool.core.clusters import ConditionType, Golden, OperationKind, PooledCluster
from pool.core.pools import Pool
from pool.core.settings import Settings
from pool.kube.client import Kube, Object
from pool.kube.resources import (
    CONFIG_MAPS,
    DATA_VOLUMES,
    POOLED_CLUSTERS,
    POOLS,
    PVCS,
    VM_RESTORES,
    VM_SNAPSHOTS,
    VMS,
    VOLUME_SNAPSHOTS,
)
from pool.kube.watching import Watching
from pool.kubevirt.cluster import Cluster
from pool.kubevirt.fence import Fence
from pool.state import PoolState
from pool.work import bootstrap, golden, images, namespaces, refresh, reset
from pool.work.attestation import Attestation
from pool.work.demolition import demolish
from pool.work.steps import Host, Job
from simulator.app import Simulator
from tests.pool.builders import member, pool, unhealthy
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
POOL = pool()
CLUSTER = member()


def fence_of_nobody(kube: Kube) -> Fence:
    """That of a run whose claim always holds."""

    async def prove() -> None:
        """Nothing is to be said against it."""

    return Fence.of(kube, "nobody", 0, secrets.token_hex(4), prove)


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
    pool: Pool = POOL
    cluster: Cluster = CLUSTER
    """Pool and cluster as they would be; `prepare` makes them."""
    ahead: timedelta = timedelta()
    """By so much the clock of the pool's state is moved on."""
    watched: float = 0.0
    """So many seconds longer runs seem to have been watched."""
    runs: int = 0

    def __post_init__(self) -> None:
        self.configured()

    def configured(self, **settings: Any) -> None:
        """Go on with these settings changed."""
        self.settings = self.settings.model_copy(update=settings)
        self.state = self.another()

    def another(self, **settings: Any) -> PoolState:
        """The state as another process has it."""
        changed = self.settings.model_copy(update=settings)
        return PoolState(self.kube, changed, now=self._now, watching=self.watching, monotonic=self._monotonic)

    def _now(self) -> datetime:
        return self.kube.now() + self.ahead

    def _monotonic(self) -> float:
        return time.monotonic() + self.watched

    def host(self, **settings: Any) -> Host:
        """What work is done with; the work may get other settings than the state."""
        return Host(self.settings.model_copy(update=settings), self.kube, self.watching, self.state)

    def run_id(self) -> str:
        """A new run's ID."""
        self.runs += 1
        return f"run-{self.runs}"

    def fence(self) -> Fence:
        """That of nobody's run."""
        return fence_of_nobody(self.kube)

    async def taken(self) -> Fence:
        """The same, with the cluster's VMs."""
        fence = self.fence()
        await fence.take(*self.cluster.machines)
        return fence

    async def prepare(self) -> None:
        """Everything a cluster needs but itself, and its resource."""
        await namespaces.ensure_pool_namespace(self.kube, self.settings)
        await namespaces.ensure_crds(self.kube, self.watching)
        await namespaces.ensure_templates_namespace(self.kube, self.settings)
        self.pool = await self.state.ensure_pool()
        self.cluster = Cluster.of(await self.state.ensure_cluster(self.pool, "cluster1"))
        await namespaces.ensure_cluster_namespace(self.kube, self.watching, self.cluster, self.pool, self.settings)
        await images.ensure_image(self.kube, self.watching, self.pool, self.settings)

    async def bootstrap(self) -> None:
        """A healthy cluster without golden snapshots."""
        await self.prepare()
        await bootstrap.bootstrap(self.host(), self.cluster.id, run_id=self.run_id())

    async def take_golden(self) -> Golden:
        """The cluster is available, with golden snapshots."""
        return await golden.take(self.host(), self.cluster.id, run_id=self.run_id())

    async def refresh(self) -> Golden:
        """It has a newer generation."""
        assert await refresh.refresh(self.host(), self.cluster.id, run_id=self.run_id())
        recorded = (await self.pooled()).status.golden
        assert recorded is not None
        return recorded

    async def reset(self, run_id: str | None = None, **settings: Any) -> Attestation:
        """A whole reset, with its attempts."""
        done = await reset.reset(self.host(**settings), self.cluster.id, run_id=run_id or self.run_id())
        assert done is not None
        return done

    async def pooled(self) -> PooledCluster:
        """The cluster's resource."""
        return await self.state.cluster(self.cluster.id)

    async def note(self, **status: Any) -> None:
        """Have the cluster's resource say something else, whatever is true."""
        changed = (await self.pooled()).with_status(**status)
        await self.kube.replace(POOLED_CLUSTERS, changed.to_object(), subresource="status")

    async def want(self, **spec: Any) -> None:
        """The Pool is changed."""
        await self.kube.patch(POOLS, self.pool.name, {"spec": spec}, self.settings.namespace)
        self.pool = await self.state.pool()

    async def lose(self) -> None:
        """The cluster's resource is gone without its teardown, as when a backup is restored."""
        where = ("cluster1", self.settings.namespace)
        await self.kube.patch(POOLED_CLUSTERS, where[0], {"metadata": {"finalizers": None}}, where[1])
        await self.kube.delete(POOLED_CLUSTERS, *where)

    async def demolish(self, cluster: Cluster) -> None:
        """Take down what was made for the cluster, in a rebuild that gets no further."""
        async with self.interrupted(OperationKind.REBUILD, "demolition", cluster) as job:
            await demolish(job)

    async def pooled_beside(self, name: str, *, cordoned: bool = False, healthy: bool = True) -> None:
        """Another available cluster, of which there is only the resource."""
        golden = (await self.pooled()).status.golden
        await self.state.ensure_cluster(await self.state.ensure_pool(), name)
        await self.kube.patch(POOLED_CLUSTERS, name, {"spec": {"cordoned": cordoned}}, self.settings.namespace)
        async with self.state.operation(name, OperationKind.GOLDEN, self.run_id()) as run:
            await run.update(golden=golden)
            await run.finish(attested=dict.fromkeys(ConditionType, "seen by the test"))
        if not healthy:
            await self.state.set_condition(name, unhealthy())

    @asynccontextmanager
    async def interrupted(
        self, kind: OperationKind, run_id: str, cluster: Cluster | None = None, **settings: Any
    ) -> AsyncIterator[Job]:
        """An operation whose process is gone at the end of the context, as far as others can see. An error is recorded
        as a run does. It works on the VMs of `cluster`, if that is not the one it claims.
        """
        cluster = cluster or self.cluster
        with suppress(asyncio.CancelledError):
            async with self.state.operation(self.cluster.id, kind, run_id) as operation:
                job = Job(self.host(**settings), cluster, operation)
                await job.fence.take(*cluster.machines)
                yield job
                raise asyncio.CancelledError

    def grace_is_over(self) -> None:
        """Whoever was interrupted counts as dead from now on."""
        self.watched += self.settings.operation_grace

    async def power(self) -> list[str]:
        """What the VMs are told to do."""
        return [vm["spec"]["runStrategy"] for vm in await self.kube.list(VMS, self.cluster.namespace)]

    async def snapshots(self) -> dict[str, str]:
        """UIDs of the golden snapshots there are, by name."""
        found = await self.kube.list(VM_SNAPSHOTS, self.cluster.namespace)
        return {one["metadata"]["name"]: one["metadata"]["uid"] for one in found}

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
