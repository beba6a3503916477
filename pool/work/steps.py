"""What long work is made of: steps on one cluster, each of which first asks whether it still may.

A piece of work is a coroutine that awaits its steps in order. How a step is carried out is the host's: plainly, or with
a line of its own in Prefect's UI (flows.tasks). So what a flow run does, a test runs as well.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial, wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from pool.core.errors import NotOurs
from pool.core.pools import Pool
from pool.core.settings import Settings
from pool.kube.client import Kube
from pool.kube.watching import Watching
from pool.kubevirt.cluster import Cluster
from pool.kubevirt.fence import Fence
from pool.state import OperationHandle, PoolState

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class RunStep(Protocol):
    """How a step is carried out: `name` of the step, the cluster's ID, and the work itself."""

    async def __call__(self, name: str, cluster_id: str, work: Callable[[], Awaitable[T]], /) -> T:
        """The result of `work`; raises what it raises."""


async def plainly(_name: str, _cluster_id: str, work: Callable[[], Awaitable[T]]) -> T:
    """Carry a step out as it is."""
    return await work()


@dataclass(frozen=True)
class Host:
    """The host cluster as work uses it: one connection and what is built on it."""

    settings: Settings
    kube: Kube
    watching: Watching
    state: PoolState
    run_step: RunStep = plainly
    warn: Callable[[str], None] = logger.warning
    """Tells whoever follows the work, in a line."""

    def now(self) -> datetime:
        """The one time, by which everybody compares: the host API's."""
        return self.state.now()


@dataclass(frozen=True)
class Job:
    """One operation on one cluster, under its claim."""

    host: Host
    cluster: Cluster
    operation: OperationHandle

    @property
    def kube(self) -> Kube:
        """The host's API."""
        return self.host.kube

    @property
    def watching(self) -> Watching:
        """The waits of the process."""
        return self.host.watching

    @property
    def settings(self) -> Settings:
        """The settings of the process: how long what may take."""
        return self.host.settings

    @cached_property
    def fence(self) -> Fence:
        """What this run may do to the cluster's VMs, once it has taken them."""
        held = self.operation
        return Fence.of(self.kube, held.run_id, held.epoch, held.word, held.heartbeat)

    @property
    def run_id(self) -> str:
        """The run that works on the cluster, this attempt; by another name while a session holds the cluster.

        For the session may use what was restored: once it has left, a run that goes on does not know that as its own.
        """
        session = self.operation.cluster.status.assigned_session_uid
        return f"{self.operation.run_id}.{session}" if session else self.operation.run_id

    async def pool(self) -> Pool:
        """The Pool that the cluster is of. Raises UnknownPool, NotOurs if there is only another of that name."""
        found = await self.host.state.pool(self.cluster.pool)
        if found.metadata.uid != self.cluster.pool_uid:
            raise NotOurs(
                f"cluster {self.cluster.id}",
                expected=f"to be of Pool {found.name}, UID {found.metadata.uid}",
                actual=f"one of an earlier Pool of that name, UID {self.cluster.pool_uid}",
                cure=f"remove it: kubectl -n {self.settings.namespace} delete pcl {self.cluster.id}",
            )
        return found


def step(work: Callable[Concatenate[Job, P], Awaitable[T]]) -> Callable[Concatenate[Job, P], Coroutine[Any, Any, T]]:
    """Make `async def name(job, ...)` a step, named by its function in words.

    A run that was asleep for long is overtaken without knowing it: so a step begins with a heartbeat, which raises
    StaleOperation with nothing done.
    """
    name = getattr(work, "__name__", "step").replace("_", "-")

    @wraps(work)
    async def carried_out(job: Job, /, *args: P.args, **kwargs: P.kwargs) -> T:
        await job.operation.heartbeat()
        return await job.host.run_step(name, job.cluster.id, partial(work, job, *args, **kwargs))

    return carried_out
