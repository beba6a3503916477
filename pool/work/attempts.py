"""Long work on one cluster: claimed, kept alive, and tried again as often as is allowed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from pool.core.clusters import OperationKind, PooledCluster
from pool.core.errors import (
    ApiUnavailable,
    IllegalTransition,
    InvalidInput,
    NotHolder,
    OperationInProgress,
    PoolError,
    Silenced,
    StaleOperation,
    UnknownCluster,
    is_transient,
)
from pool.core.lifecycle import ClusterPhase
from pool.kubevirt.cluster import Cluster
from pool.work.steps import Host, Job

logger = logging.getLogger(__name__)

T = TypeVar("T")

REFUSALS = (IllegalTransition, InvalidInput, NotHolder, OperationInProgress, StaleOperation, UnknownCluster)
"""Errors that say this run must not touch the cluster: trying again would only ask the same."""

OUTAGE_PATIENCE = 1800.0
"""Seconds for which a run waits until the host's API is seen again: control planes are upgraded in less."""
MOST_INTERRUPTIONS = 12
"""Outages that one run waits out: what answers again and again and fails each time is not out, it is broken."""


async def attempt(
    host: Host,
    cluster_id: str,
    kind: OperationKind,
    run_id: str,
    steps: Callable[[Job], Awaitable[T]],
    *,
    session_id: str | None = None,
    epoch: int | None = None,
    force: bool = False,
    if_waiting: bool = False,
    unless_cordoned: bool = False,
) -> T:
    """Claim the cluster and carry out `steps`; when they fail, do so again until its attempts are used up.

    Each try has a run ID of its own, so that it trusts nothing a failed one left half done. An outage of the host's API
    is waited out and is no failed attempt: the same try goes on if nothing of it could be recorded and no other run was
    faster, else another one begins. `session_id` asks for a reset in place, which is refused, as force is, if the
    cluster was handed over since `epoch`; `if_waiting` claims only what waits for its reset, `unless_cordoned` nothing
    that is cordoned by then. Raises what the steps or the claim raise, the last time.
    """
    state = host.state
    tries, failures, interruptions = 1, 0, 0
    last: PoolError | None = None
    while True:
        name = run_id if tries == 1 else f"{run_id}.{tries}"
        try:
            # Force was for what was found at first.
            again = tries > 1 or interruptions > 0
            asked: dict[str, Any] = {"session_id": session_id, "epoch": epoch, "force": force and not again}
            asked |= {"if_waiting": if_waiting, "unless_cordoned": unless_cordoned}
            claim = state.operation(cluster_id, kind, name, **asked)
            async with claim as operation:
                return await steps(await _taken(Job(host, Cluster.of(operation.cluster), operation)))
        except (Silenced, ApiUnavailable) as outage:
            interruptions += 1
            now = await _after(host, cluster_id, outage)
            if isinstance(outage, Silenced) and not _is_own(now, name):
                raise (last or outage) from outage.__cause__
            if interruptions > MOST_INTERRUPTIONS:
                raise
            if not _is_own(now, name):
                tries += 1
            await asyncio.sleep(state.settings.operation_heartbeat)
        except REFUSALS as refusal:
            # Why another attempt is refused matters less than what failed.
            raise (last or refusal) from refusal.__cause__
        except PoolError as failure:
            now = await _after(host, cluster_id, failure)
            last, failures = failure, failures + 1
            if now.phase is ClusterPhase.ERROR or failures >= state.settings.reset_attempts:
                raise
            host.warn(f"{kind} of {cluster_id} failed: {failure}")
            tries += 1
            if is_transient(failure):
                await asyncio.sleep(state.settings.operation_heartbeat)


async def _taken(job: Job) -> Job:
    """The job, whose VMs no other run can write to any more."""
    # A teardown writes to no VM, and may have lost its rights in the namespace that it removes.
    if job.operation.ownership.kind is not OperationKind.TEARDOWN:
        await job.fence.take(*job.cluster.machines)
    return job


async def unless_others_do(
    host: Host, cluster_id: str, work: Awaitable[T], *, unless_cordoned: bool = False
) -> T | None:
    """The result of `work` on the cluster; None if another run does it, or has done it, in the meantime, or if it was
    cordoned and is to be left alone then.

    Raises what `work` raises, refusals too if nobody works on the cluster and it is of no use as it is.
    """
    try:
        return await work
    except (IllegalTransition, OperationInProgress) as refusal:
        now = await host.state.cluster(cluster_id)
        if unless_cordoned and now.spec.cordoned:
            host.warn(f"{cluster_id} is left as it is: {refusal}")
            return None
        served = now.phase in (ClusterPhase.AVAILABLE, ClusterPhase.LOCKED)
        if now.status.operation is None and not served:
            raise
        host.warn(f"{cluster_id} is left to the run that came first: {refusal}")
        return None


async def _after(host: Host, cluster_id: str, failure: PoolError) -> PooledCluster:
    """The cluster after an attempt. An outage is waited out for OUTAGE_PATIENCE, then the `failure` is raised."""
    loop = asyncio.get_running_loop()
    end = loop.time() + OUTAGE_PATIENCE
    while True:
        try:
            return await host.state.cluster(cluster_id)
        except ApiUnavailable as error:
            if loop.time() >= end:
                raise failure from error
            logger.warning("%s is not seen, looking again: %s", cluster_id, error)
        await asyncio.sleep(host.settings.operation_heartbeat)


def _is_own(cluster: PooledCluster, run_id: str) -> bool:
    """Whether the operation still is this run's, its end or failure unrecorded."""
    return cluster.status.operation is not None and cluster.status.operation.run_id == run_id
