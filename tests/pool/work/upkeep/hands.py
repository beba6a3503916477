"""Upkeep with a worker that does what is started in no time, in the pool's state alone: no VM is touched."""

from __future__ import annotations

import itertools

from pool.core.clusters import OperationKind
from pool.core.planner.actions import Action
from pool.work.steps import Host
from pool.work.upkeep import keep_up
from pool.work.upkeep.acting import Keeper, Work
from tests.pool.builders import golden
from tests.pool.lab import ATTESTED, Lab


class Hands:
    """Keeps the pools of a lab up. What is started waits until `work` is called, as flow runs wait for a worker."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        # There are no guests to look at.
        settings = lab.settings.model_copy(update={"health_interval": 1e9})
        self.host = Host(settings, lab.kube, lab.watching, lab.state)
        self.started: dict[str, Work] = {}
        """What waits for a worker, by its wish."""
        self.asked = 0
        self._runs = itertools.count(1)

    async def start(self, work: Work) -> str:
        """As flow runs are started: asked again for the same wish there is one."""
        self.asked += 1
        self.started.setdefault(work.wish, work)
        return work.wish

    async def keep_up(self, name: str = "default") -> list[Action]:
        """One maintenance run."""
        return await keep_up(Keeper(self.host, self.start, f"maintenance{next(self._runs)}"), name)

    def waiting(self) -> list[tuple[str, str]]:
        """Kind and cluster of what was started and not done yet, in order."""
        return [(str(work.kind), work.cluster_id) for work in self.started.values()]

    async def work(self) -> None:
        """Do all that was started."""
        started, self.started = list(self.started.values()), {}
        for one in started:
            handle = await self.lab.begin(one.cluster_id, one.kind, f"run{next(self._runs)}")
            if one.kind is OperationKind.TEARDOWN:
                await handle.remove()
                continue
            if one.kind is not OperationKind.RESET:
                await handle.record_golden(golden(taken_at=self.lab.clock()))
            await handle.finish(attested=ATTESTED)

    async def settle(self, name: str = "default") -> None:
        """Maintenance and work in turn, until nothing is left to do."""
        for _ in range(20):
            await self.keep_up(name)
            if not self.started:
                return
            await self.work()
        raise AssertionError(f"never at rest: {self.started}")

    async def phases(self) -> dict[str, str]:
        """The phase of each cluster."""
        return {one.name: str(one.phase) for one in await self.lab.state.clusters()}
