"""Long work on one cluster: claimed, kept alive, tried again as often as is allowed, and recorded when it fails."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from prefect import get_run_logger, runtime

from flows.runtime import Connection
from pool.errors import (
    IllegalTransition,
    InvalidInput,
    NotHolder,
    OperationInProgress,
    PoolError,
    StaleOperation,
    UnknownCluster,
)
from pool.lifecycle import ClusterPhase
from pool.models import OperationKind
from pool.state import OperationHandle

T = TypeVar("T")

REFUSALS = (IllegalTransition, InvalidInput, NotHolder, OperationInProgress, StaleOperation, UnknownCluster)
"""Errors that say this run must not touch the cluster: trying again would only ask the same."""


async def attempt(
    pool: Connection,
    cluster_id: str,
    kind: OperationKind,
    work: Callable[[OperationHandle], Awaitable[T]],
    *,
    force: bool = False,
) -> T:
    """Claim the cluster and do `work`; when it fails, do it again until its attempts are used up.

    Each attempt has a run ID of its own, so that it trusts nothing a failed one left half done. After the last one
    the cluster is in `error`. Raises what `work` or the claim raises.
    """
    count = 0
    while True:
        count += 1
        run_id = str(runtime.flow_run.id) if count == 1 else f"{runtime.flow_run.id}.{count}"
        try:
            async with pool.state.operation(cluster_id, kind, run_id, force=force) as operation:
                return await work(operation)
        except REFUSALS:
            raise
        except PoolError as error:
            now = await pool.state.cluster(cluster_id)
            if now.phase is ClusterPhase.ERROR or count >= pool.settings.reset_attempts:
                raise
            get_run_logger().warning("%s of %s, attempt %d failed: %s; again", kind, cluster_id, count, error)
