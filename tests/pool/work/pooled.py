"""A cluster of a pool on a bench: used by a session, given back, and reset with all the attempts that a run has."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TypeVar

from pool.core.clusters import PooledCluster
from pool.core.errors import PoolError
from pool.kube.resources import VM_RESTORES
from pool.kubevirt.manifests import restore
from pool.work.reset import reset
from tests.pool.bench import Bench

T = TypeVar("T")


@dataclass
class Pool:
    """The cluster, waiting for its reset; `begun` has the number of each attempt that began."""

    bench: Bench
    begun: list[int] = field(default_factory=list)

    def scaled(self, *, heartbeat: float, grace: float) -> None:
        """Heartbeats and their grace in seconds, on the scale of the bench's other delays."""
        self.bench.configured(operation_heartbeat=heartbeat, operation_grace=grace)

    async def reset(self, **impatient: float) -> PooledCluster:
        """A run with all its attempts, whatever comes of it; returns the cluster as it is then."""
        with suppress(PoolError):
            await self.run(**impatient)
        return await self.bench.pooled()

    async def run(self, **impatient: float) -> None:
        """The same; raises what the run raises."""
        host = replace(self.bench.host(**impatient), run_step=self._seen)
        await reset(host, self.bench.cluster.id, run_id=self.bench.run_id())

    async def _seen(self, name: str, _cluster_id: str, work: Callable[[], Awaitable[T]]) -> T:
        if name == "prepare":
            operation = (await self.bench.pooled()).status.operation
            self.begun.append(operation.attempt if operation else 0)
        return await work()

    async def while_restoring(self, then: Callable[[], Awaitable[None]]) -> PooledCluster:
        """A run during which, as soon as it has made the worker's restore, something else happens.

        Raises what the run raises.
        """
        run_id = f"run-{self.bench.runs + 1}"
        name = restore(self.bench.cluster.worker, "wk-snap", run_id)["metadata"]["name"]

        async def meddle() -> None:
            await self.bench.watching.until(
                VM_RESTORES, name, "cluster1", lambda found: True if found else None, timeout=10, what="a restore"
            )
            await then()

        results = await asyncio.gather(self.run(), meddle(), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return await self.bench.pooled()


async def used_and_given_back(bench: Bench) -> Pool:
    """The cluster made, snapshotted, damaged by a session and released."""
    await bench.bootstrap()
    await bench.take_golden()
    await bench.state.assign("alice")
    await bench.damage()
    await bench.state.release("alice")
    return Pool(bench)
