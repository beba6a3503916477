"""A pool that does what a plan says, in memory: what each action and each end of an operation makes of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import singledispatchmethod
from typing import Any

from pool.core.clusters import ClonedImage, Failure, OperationKind, PooledCluster
from pool.core.lifecycle import ClusterPhase
from pool.core.operation_rules import unlocked
from pool.core.planner import Observed, PlanConfig, plan
from pool.core.planner.actions import (
    Action,
    CreateMissing,
    Expire,
    FinishPoolRemoval,
    OnCluster,
    RemoveSurplus,
    StartBootstrap,
    StartGolden,
    StartRebuild,
    StartReset,
    StartTeardown,
    TakeOver,
)
from pool.core.pools import Pool
from pool.core.sessions import Session
from tests.pool.builders import T0, cluster, golden, operation
from tests.pool.core.planner.planning import silent

KINDS = {
    StartReset: OperationKind.RESET,
    StartBootstrap: OperationKind.BOOTSTRAP,
    StartGolden: OperationKind.GOLDEN,
    StartRebuild: OperationKind.REBUILD,
    StartTeardown: OperationKind.TEARDOWN,
}


ATTEMPTS = 2


class World:
    """One pool, and the hour."""

    def __init__(self, pool: Pool, clusters: list[PooledCluster], sessions: list[Session]) -> None:
        self.pool: Pool | None = pool
        self.clusters = {one.name: one for one in clusters}
        self.sessions = {one.name: one for one in sessions}
        self.now = T0
        self.runs = 0

    def planned(self) -> list[Action]:
        if self.pool is None:
            return []
        observed = Observed.of(self.pool, self.sessions.values(), self.clusters.values(), self.silent())
        return plan(observed, PlanConfig(), self.now)

    def passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def change(self, name: str, **status: Any) -> None:
        self.clusters[name] = self.clusters[name].with_status(**status)

    def silent(self) -> frozenset[str]:
        return silent(self.clusters.values(), self.now)

    def live(self) -> list[PooledCluster]:
        return [c for c in self.clusters.values() if c.status.operation and c.name not in self.silent()]

    @singledispatchmethod
    def act(self, action: Any) -> None:
        """Nothing: it only looks, or reports."""

    @act.register
    def _(self, action: Expire) -> None:
        self.sessions[action.session_id] = self.sessions[action.session_id].with_status(
            phase="Expired", ended_at=self.now
        )
        self.clusters[action.cluster_id] = unlocked(self.clusters[action.cluster_id], ClusterPhase.RESETTING)

    @act.register
    def _(self, action: OnCluster) -> None:
        self.begin(action.cluster_id, action.kind if isinstance(action, TakeOver) else KINDS[type(action)])

    @act.register
    def _(self, action: CreateMissing) -> None:
        assert action.cluster_id not in self.clusters
        self.clusters[action.cluster_id] = cluster(action.cluster_id, "creating")
        self.begin(action.cluster_id, OperationKind.BOOTSTRAP)

    @act.register
    def _(self, action: RemoveSurplus) -> None:
        found = self.clusters[action.cluster_id]
        self.clusters[found.name] = found.changed(
            metadata=found.metadata.model_copy(update={"deletion_timestamp": self.now})
        )

    @act.register
    def _(self, action: FinishPoolRemoval) -> None:
        assert not self.clusters
        self.pool = None

    def begin(self, name: str, kind: OperationKind) -> None:
        found = self.clusters[name]
        takeovers = found.status.takeovers + (found.status.operation is not None)
        self.runs += 1
        work = operation(kind, f"run{self.runs}").changed(heartbeat_at=self.now)
        self.change(name, operation=work, takeovers=takeovers)
        if kind is OperationKind.RESET:
            self.change(name, phase=ClusterPhase.RESETTING)
        if kind is OperationKind.REBUILD:
            self.change(name, phase=ClusterPhase.CREATING, rebuilding=True, golden=None, conditions=[])

    def ends(self, name: str, how: str) -> None:
        """What becomes of the operation: `done`, `fails` or `silent`."""
        endings: dict[str, Callable[[PooledCluster], None]] = {"done": self._done, "fails": self._fails}
        if how in endings:
            endings[how](self.clusters[name])

    def _done(self, found: PooledCluster) -> None:
        work = found.status.operation
        assert work is not None
        if work.kind is OperationKind.TEARDOWN:
            del self.clusters[found.name]
            return
        if work.kind is not OperationKind.RESET and self.pool is not None:
            image = ClonedImage(url=self.pool.spec.image.url, disk="golden")
            self.change(found.name, golden=golden(taken_at=self.now), image=image, rebuilding=False)
        phase = ClusterPhase.LOCKED if found.status.assigned_session else ClusterPhase.AVAILABLE
        self.change(found.name, phase=phase, operation=None, failure=None, conditions=[], last_reset=self.now)

    def _fails(self, found: PooledCluster) -> None:
        work, before = found.status.operation, found.status.failure
        assert work is not None
        attempts = (before.attempts if before else 0) + 1
        failure = Failure(reason="Failed", message="", since=T0, last_time=self.now, attempts=attempts)
        if attempts >= ATTEMPTS:
            self.clusters[found.name] = unlocked(found, ClusterPhase.ERROR)
        self.change(found.name, operation=None, failure=failure)
