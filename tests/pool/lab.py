"""What the tests of the pool's state work with: the state over HTTP, a clock, clusters in any phase, counted calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pool.core.clusters import (
    POOL_LABEL,
    POOL_UID_LABEL,
    TEARDOWN_FINALIZER,
    ClusterStatus,
    ConditionType,
    OperationKind,
    PooledCluster,
)
from pool.core.crds import definitions
from pool.core.lifecycle import ClusterPhase
from pool.core.operation_rules import Request
from pool.core.planner.of_sessions import expired
from pool.core.pools import DEFAULT_POOL, Pool
from pool.core.resource import Metadata
from pool.core.sessions import Session
from pool.core.settings import Settings
from pool.kube.client import Kube, Object
from pool.kube.resources import CRDS, EVENTS, NAMESPACES, POOLED_CLUSTERS
from pool.kube.watching import Watching
from pool.state import OperationHandle, PoolState, Released, operations
from tests.pool.builders import cluster, operation

ATTESTED = {kind: f"{kind} seen by the test" for kind in ConditionType}


class Clock:
    """A clock that stands still until a test moves it; it starts at the present, as the server's does."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC).replace(microsecond=0)

    def __call__(self) -> datetime:
        return self.time

    def forward(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class CountingKube(Kube):
    """The real client; it keeps a list of the calls it sent."""

    calls: list[tuple[str, str]]

    async def request(self, method: str, path: str, *args: Any, **kwargs: Any) -> Object:
        self.calls = [*getattr(self, "calls", []), (method, path)]
        return await super().request(method, path, *args, **kwargs)

    def counted(self) -> list[str]:
        """Methods and kinds of the calls since the last time, history's events left out."""
        calls, self.calls = getattr(self, "calls", []), []
        return [f"{method} {path.split('/cks-pool/')[-1]}" for method, path in calls if "/events" not in path]


class Lab:
    """One pool."""

    def __init__(self, kube: CountingKube, watching: Watching, settings: Settings) -> None:
        self.kube = kube
        self.settings = settings
        self.clock = Clock()
        self.watching = watching
        self._pools: dict[str, Pool] = {}
        self.state = self.another()

    def another(self, **fields: Any) -> PoolState:
        """The state as another process has it, whose durations are those of the lab's clock as well."""
        given = {"now": self.clock, "watching": self.watching, "monotonic": lambda: self.clock().timestamp()} | fields
        return PoolState(self.kube, given.pop("settings", self.settings), **given)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, kubeconfig: Path, settings: Settings | None = None, *, install: bool = True
    ) -> AsyncIterator[Lab]:
        async with CountingKube.connect(kubeconfig) as kube, Watching(kube) as watching:
            assert isinstance(kube, CountingKube)
            lab = cls(kube, watching, settings or Settings())
            if install:
                await lab._install()
            kube.counted()
            yield lab

    async def _install(self) -> None:
        await self.kube.create(NAMESPACES, NAMESPACES.manifest(self.settings.namespace))
        for crd in definitions():
            await self.kube.create(CRDS, crd)
            await self.watching.until(CRDS, crd["metadata"]["name"], None, _established, timeout=10, what="CRD served")
        await self.state.ensure_pool()

    async def add(
        self,
        name: str,
        phase: str = "available",
        *,
        cordoned: bool = False,
        pool: str = DEFAULT_POOL,
        **status: Any,
    ) -> PooledCluster:
        """A cluster in that phase, written directly: how it got there is not the test's matter."""
        wanted = cluster(name, phase, cordoned=cordoned, **status)
        wanted = wanted.changed(spec=wanted.spec.changed(pool=pool))
        self._pools[pool] = of = self._pools.get(pool) or await self.state.ensure_pool(pool)
        labels = {POOL_LABEL: pool, POOL_UID_LABEL: of.metadata.uid}
        named = {"name": name, "namespace": self.settings.namespace, "labels": labels}
        bare = wanted.changed(metadata=Metadata(**named, finalizers=[TEARDOWN_FINALIZER]))
        made = PooledCluster.from_object(await self.kube.create(POOLED_CLUSTERS, bare.to_object()))
        if wanted.status.clean:
            # The rules let a cluster become clean only at the end of an operation.
            before = {"phase": ClusterPhase.RESETTING, "clean": False, "operation": operation()}
            made = await self._written(made, wanted.status.changed(**before))
        return await self._written(made, wanted.status)

    async def _written(self, cluster: PooledCluster, status: ClusterStatus) -> PooledCluster:
        obj = cluster.changed(status=status).to_object()
        return PooledCluster.from_object(await self.kube.replace(POOLED_CLUSTERS, obj, subresource="status"))

    async def delete(self, name: str) -> PooledCluster:
        """As `kubectl delete pcl`; the cluster as it is then."""
        await self.kube.delete(POOLED_CLUSTERS, name, self.settings.namespace)
        return await self.state.cluster(name)

    async def pool(self, size: int, phase: str = "available") -> None:
        """cluster1 .. clusterN, rested long and one after the other."""
        for number in range(1, size + 1):
            rested = self.clock() - timedelta(seconds=1000 - number)
            await self.add(f"cluster{number}", phase, last_reset=rested)

    async def begin(self, cluster_id: str, kind: OperationKind, run_id: str, **asked: Any) -> OperationHandle:
        """As `begin`, on the lab's state."""
        return await begin(self.state, cluster_id, kind, run_id, **asked)

    async def silence(self) -> None:
        """Whoever works on a cluster is seen, and seen again after the grace as he was."""
        await self.state.clusters()
        self.clock.forward(self.settings.operation_grace)

    async def reset(self, cluster_id: str, run: str = "reset-run") -> PooledCluster:
        """What the reset flow writes."""
        async with self.state.operation(cluster_id, OperationKind.RESET, run) as work:
            return await work.finish(attested=ATTESTED)

    async def end_due(self) -> list[Released]:
        """As maintenance does it, by the lab's clock."""
        return await end_due(self.state, self.clock())

    async def events(self, cluster_id: str) -> list[str]:
        """The messages of the cluster's events, oldest first."""
        await self.state.events.drain()
        found = await self.kube.list(EVENTS, self.settings.namespace)
        return [e["message"] for e in sorted(found, key=_version) if e["involvedObject"]["name"] == cluster_id]

    async def check(self) -> None:
        """The invariants of who holds what, as they stand at rest (nothing in flight)."""
        check_holdings(await self.state.sessions(), await self.state.clusters())


async def begin(state: PoolState, cluster_id: str, kind: OperationKind, run_id: str, **asked: Any) -> OperationHandle:
    """An operation whose run has no heartbeat but those that the test gives it."""
    return await operations.begin(state._store, cluster_id, Request(kind, run_id, **asked))


async def end_due(state: PoolState, now: datetime) -> list[Released]:
    """End every session whose time is over, or that is silent, as maintenance does. What waits for a reset then."""
    due = list(expired(await state.sessions(), await state.clusters(), now))
    ended = [await state.expire(one.session_id) for one in due]
    return [released for released in ended if released.cluster_id is not None]


def check_holdings(sessions: list[Session], clusters: list[PooledCluster]) -> None:
    """No cluster is held twice, no session holds two, both sides agree, and available means attested."""
    active = {session.name: session for session in sessions if session.phase == "Active"}
    on = [session.status.assigned_cluster for session in active.values()]
    assert len(on) == len(set(on)), f"a cluster is held twice: {on}"
    for one in clusters:
        status = one.status
        if status.phase == "locked":
            assert status.assigned_session in active, f"{one.name} is locked for nobody"
            assert active[status.assigned_session].status.assigned_cluster == one.name
            assert active[status.assigned_session].metadata.uid == status.assigned_session_uid
            assert active[status.assigned_session].status.epoch == status.epoch
        assert status.clean == (status.phase == "available")
        if status.phase == "available":
            assert status.golden is not None
            assert status.operation is None
            assert status.assigned_session is None
    held = {one.name for one in clusters if one.status.assigned_session}
    assert set(on) == held, f"sessions say {on}, clusters say {held}"


def _established(obj: Object | None) -> bool | None:
    conditions = ((obj or {}).get("status") or {}).get("conditions") or []
    return True if any(c["type"] == "Established" and c["status"] == "True" for c in conditions) else None


def _version(obj: Object) -> int:
    return int(obj["metadata"]["resourceVersion"])
