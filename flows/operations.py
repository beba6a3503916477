"""Long work on one cluster: claimed, kept alive, tried again as often as is allowed, and recorded when it fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from prefect import get_run_logger, runtime, task
from prefect.artifacts import acreate_markdown_artifact

from flows.dispatch import start_rebuild
from flows.retries import EFFECT
from flows.runtime import Connection, connected
from pool import diagnostics
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
from pool.kubevirt.cluster import Cluster
from pool.lifecycle import ClusterPhase
from pool.models import OperationKind
from pool.planner import to_rebuild
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
    session_id: str | None = None,
    force: bool = False,
) -> T:
    """Claim the cluster and do `work`; when it fails, do it again until its attempts are used up.

    Each attempt has a run ID of its own, so that it trusts nothing a failed one left half done. After the last one
    the cluster is in `error`, and what is known of it is kept as an artifact. `session_id` asks for a reset in place.
    Raises what `work` or the claim raises.
    """
    count = 0
    failed: PoolError | None = None
    while True:
        count += 1
        run_id = str(runtime.flow_run.id) if count == 1 else f"{runtime.flow_run.id}.{count}"
        try:
            claim = pool.state.operation(cluster_id, kind, run_id, session_id=session_id, force=force and count == 1)
            async with claim as operation:
                return await work(operation)
        except REFUSALS as refusal:
            # Force was for what was found at first; and why another attempt is refused matters less than what failed.
            raise (failed or refusal) from refusal.__cause__
        except PoolError as error:
            failed = error
            now = await pool.state.cluster(cluster_id)
            if now.phase is ClusterPhase.ERROR:
                cluster = Cluster(cluster_id, now.spec.namespace)
                await cast(Any, keep_diagnostics)(cluster, str(error), return_state=True)
                await cast(Any, rebuild_if_due)(cluster_id, return_state=True)
                raise
            if count >= pool.settings.reset_attempts:
                raise
            get_run_logger().warning("%s of %s, attempt %d failed: %s; again", kind, cluster_id, count, error)
            if is_transient(error):
                await asyncio.sleep(pool.settings.operation_heartbeat)


async def unless_others_do(work: Callable[[str], Awaitable[Any]], cluster_id: str) -> bool:
    """Do `work` on the cluster; False if another run does it, or has done it, in the meantime.

    Raises what `work` raises, refusals too if nobody works on the cluster and it is of no use as it is.
    """
    try:
        await work(cluster_id)
    except (IllegalTransition, OperationInProgress) as refusal:
        async with connected() as pool:
            now = await pool.state.cluster(cluster_id)
        served = now.phase in (ClusterPhase.AVAILABLE, ClusterPhase.LOCKED)
        if now.status.operation is None and not served:
            raise
        get_run_logger().info("%s is left to the run that came first: %s", cluster_id, refusal)
        return False
    return True


@task(**EFFECT, task_run_name="rebuild-if-due-{cluster_id}")
async def rebuild_if_due(cluster_id: str) -> None:
    """Start the rebuild of a cluster whose resets failed, if it is its turn; maintenance looks again."""
    async with connected() as pool:
        due = to_rebuild(await pool.state.clusters()) if pool.settings.rebuild_broken else None
    if due is None or due.name != cluster_id:
        get_run_logger().warning("%s stays in error: see docs/runbook.md", cluster_id)
        return
    run = await start_rebuild(due)
    get_run_logger().warning("%s is made anew from the image by flow run %s", cluster_id, run)


@task(**EFFECT, task_run_name="diagnostics-{cluster.id}")
async def keep_diagnostics(cluster: Cluster, error: str) -> None:
    """Keep what is known of a cluster that went wrong as the artifact `diagnostics-CLUSTER`; no secrets are in it."""
    async with connected() as pool:
        bundle = await diagnostics.bundle(pool.kube, cluster)
    text = f"**{error}**\n\n```json\n{json.dumps(bundle, indent=1, default=str)}\n```\n"
    await acreate_markdown_artifact(text, key=f"diagnostics-{cluster.id}", description=error)
