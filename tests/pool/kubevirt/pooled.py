"""A cluster of a pool on a bench: used by a session, given back, and reset with all the attempts that a run has."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pool.core.clusters import ConditionType, Golden, OperationKind, PooledCluster
from pool.core.crds import definitions
from pool.core.errors import PoolError
from pool.core.settings import Settings
from pool.guest.canary import plant_canary
from pool.kube.client import Object
from pool.kube.resources import CRDS, NAMESPACES, VM_RESTORES
from pool.kubevirt.manifests import restore
from pool.state import OperationHandle, PoolState
from pool.work import attempts

if TYPE_CHECKING:
    from tests.pool.kubevirt.conftest import Bench


@dataclass
class Pool:
    """The cluster, waiting for its reset; `begun` has the number of each attempt that began."""

    bench: Bench
    state: PoolState
    golden: Golden
    runs: int = 0
    begun: list[int] = field(default_factory=list)

    def scaled(self, *, heartbeat: float, grace: float) -> None:
        """Heartbeats and their grace in seconds, on the scale of the bench's other delays."""
        times = {"operation_heartbeat": heartbeat, "operation_grace": grace}
        self.state = state_of(self.bench, self.bench.settings.model_copy(update=times))

    async def cluster(self) -> PooledCluster:
        return await self.state.cluster("cluster1")

    async def reset(self, **impatient: float) -> PooledCluster:
        """A run with all its attempts, whatever comes of it; returns the cluster as it is then."""
        with suppress(PoolError):
            await self.run(**impatient)
        return await self.cluster()

    async def run(self, **impatient: float) -> None:
        """The same; raises what the run raises."""
        self.runs += 1
        settings = self.bench.settings.model_copy(update=impatient)

        async def work(operation: OperationHandle) -> None:
            self.begun.append(operation.attempt)
            attestation = await self.bench.reset(self.golden, operation.run_id, settings)
            await plant_canary(self.bench.kube, self.bench.cluster, operation.epoch)
            await operation.finish(attested=attestation.evidence)

        async def failed(_error: PoolError, _over: bool) -> None:
            """Nothing more is to be done about it here."""

        await attempts.attempt(self.state, "cluster1", OperationKind.RESET, f"run-{self.runs}", work, failed=failed)

    async def while_restoring(self, then: Callable[[], Awaitable[None]]) -> PooledCluster:
        """A run during which, as soon as it has made the worker's restore, something else happens.

        Raises what the run raises.
        """
        name = restore(self.bench.cluster.worker, "wk-snap", f"run-{self.runs + 1}")["metadata"]["name"]

        async def meddle() -> None:
            await self.bench.watching.until(
                VM_RESTORES, name, "cluster1", lambda found: True if found else None, timeout=10, what="a restore"
            )
            await then()

        results = await asyncio.gather(self.run(), meddle(), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return await self.cluster()


def state_of(bench: Bench, settings: Settings) -> PoolState:
    return PoolState(bench.kube, settings, now=lambda: datetime.now(UTC), watching=bench.watching)


async def used_and_given_back(bench: Bench) -> Pool:
    """The pool's resources installed, the cluster made, snapshotted, damaged by a session and released."""
    await bench.kube.create(NAMESPACES, NAMESPACES.manifest(bench.settings.namespace))
    for crd in definitions():
        await bench.kube.create(CRDS, crd)
        name = crd["metadata"]["name"]
        await bench.watching.until(CRDS, name, None, _established, timeout=10, what="CRD served")
    await bench.bootstrap()
    taken = await bench.take_golden()
    await plant_canary(bench.kube, bench.cluster, 0)
    state = state_of(bench, bench.settings)
    await state.ensure_cluster(await state.ensure_pool(), "cluster1")
    async with state.operation("cluster1", OperationKind.GOLDEN, "golden-run") as operation:
        await operation.record_golden(taken, "both ready")
        await operation.finish(attested={kind: f"{kind} seen by the test" for kind in ConditionType})
    await state.assign("alice")
    await plant_canary(bench.kube, bench.cluster, 1)
    await bench.damage()
    await state.release("alice")
    return Pool(bench, state, taken)


def _established(obj: Object | None) -> bool | None:
    conditions = ((obj or {}).get("status") or {}).get("conditions") or []
    return True if any(c["type"] == "Established" and c["status"] == "True" for c in conditions) else None
