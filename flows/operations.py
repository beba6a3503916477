"""Long work on one cluster: claimed, kept alive, tried again as often as is allowed, and recorded when it fails."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from prefect import get_run_logger, runtime, task
from prefect.artifacts import acreate_markdown_artifact

from flows.dispatch import start_rebuild
from flows.retries import EFFECT
from flows.runtime import Connection, connected
from pool.core.clusters import OperationKind
from pool.core.errors import IllegalTransition, OperationInProgress, PoolError
from pool.core.lifecycle import ClusterPhase
from pool.core.planner import to_rebuild
from pool.kubevirt.cluster import Cluster
from pool.state import OperationHandle
from pool.work import attempts, diagnostics

T = TypeVar("T")


async def attempt(
    pool: Connection,
    cluster_id: str,
    kind: OperationKind,
    work: Callable[[OperationHandle], Awaitable[T]],
    *,
    session_id: str | None = None,
    force: bool = False,
) -> T:
    """Claim the cluster and do `work`, as often as is allowed (pool.work.attempts).

    When the last attempt has failed, what is known of the cluster is kept as an artifact, and its rebuild is started
    if that is due. Raises what `work` or the claim raises.
    """

    async def failed(error: PoolError, over: bool) -> None:
        if not over:
            get_run_logger().warning("%s of %s failed: %s", kind, cluster_id, error)
            return
        cluster = Cluster.of(await pool.state.cluster(cluster_id))
        await cast(Any, keep_diagnostics)(cluster, str(error), return_state=True)
        await cast(Any, rebuild_if_due)(cluster_id, return_state=True)

    run_id = str(runtime.flow_run.id)
    return await attempts.attempt(
        pool.state, cluster_id, kind, run_id, work, session_id=session_id, force=force, failed=failed
    )


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
        allowed = (await pool.state.pool()).spec.rebuild_broken
        due = to_rebuild(await pool.state.clusters()) if allowed else None
    if due is None or due.name != cluster_id:
        get_run_logger().warning("%s stays in error: see docs/runbook.md", cluster_id)
        return
    run = await start_rebuild(due)
    get_run_logger().warning("%s is made anew from the image by flow run %s", cluster_id, run)


@task(**EFFECT, task_run_name="diagnostics-{cluster.id}")
async def keep_diagnostics(cluster: Cluster, error: str) -> None:
    """Keep what is known of a cluster that went wrong as the artifact `diagnostics-CLUSTER`; no secrets are in it."""
    async with connected() as pool:
        bundle = await diagnostics.bundle(pool.kube, cluster, pool.settings.namespace)
    text = f"**{error}**\n\n```json\n{json.dumps(bundle, indent=1, default=str)}\n```\n"
    await acreate_markdown_artifact(text, key=f"diagnostics-{cluster.id}", description=error)
