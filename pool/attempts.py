"""Long work on one cluster: claimed, kept alive, and tried again as often as is allowed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pool.errors import (
    IllegalTransition,
    InvalidInput,
    NotHolder,
    OperationInProgress,
    PoolError,
    StaleOperation,
    UnknownCluster,
    is_transient,
)
from pool.lifecycle import ClusterPhase
from pool.models import OperationKind
from pool.state import OperationHandle, PoolState

T = TypeVar("T")

REFUSALS = (IllegalTransition, InvalidInput, NotHolder, OperationInProgress, StaleOperation, UnknownCluster)
"""Errors that say this run must not touch the cluster: trying again would only ask the same."""

Failed = Callable[[PoolError, bool], Awaitable[None]]
"""Is told why an attempt failed, and whether the cluster is in `error` now."""


async def attempt(
    state: PoolState,
    cluster_id: str,
    kind: OperationKind,
    run_id: str,
    work: Callable[[OperationHandle], Awaitable[T]],
    *,
    session_id: str | None = None,
    force: bool = False,
    failed: Failed,
) -> T:
    """Claim the cluster and do `work`; when it fails, do it again until its attempts are used up.

    Each attempt has a run ID of its own, so that it trusts nothing a failed one left half done. `session_id` asks for
    a reset in place. Raises what `work` or the claim raises, the last time.
    """
    count = 0
    last: PoolError | None = None
    while True:
        count += 1
        name = run_id if count == 1 else f"{run_id}.{count}"
        try:
            claim = state.operation(cluster_id, kind, name, session_id=session_id, force=force and count == 1)
            async with claim as operation:
                return await work(operation)
        except REFUSALS as refusal:
            # Force was for what was found at first; and why another attempt is refused matters less than what failed.
            raise (last or refusal) from refusal.__cause__
        except PoolError as error:
            last = error
            over = (await state.cluster(cluster_id)).phase is ClusterPhase.ERROR
            await failed(error, over)
            if over or count >= state.settings.reset_attempts:
                raise
            if is_transient(error):
                await asyncio.sleep(state.settings.operation_heartbeat)
