"""What becomes of an operation that failed for good: evidence is kept, and the cluster's rebuild started if due."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from prefect import get_run_logger, task
from prefect.artifacts import acreate_markdown_artifact

from flows.dispatch import start_rebuild
from flows.progress import shown
from flows.runtime import connected
from flows.tasks import EFFECT
from pool.core.errors import PoolError
from pool.core.lifecycle import ClusterPhase
from pool.core.planner import to_rebuild
from pool.kubevirt.cluster import Cluster
from pool.work import diagnostics
from pool.work.attempts import REFUSALS
from pool.work.steps import Host
from pool.work.upkeep.status import note_pool_status


@asynccontextmanager
async def diagnosed(host: Host, cluster_id: str) -> AsyncIterator[None]:
    """While entered, work on a cluster. When it leaves the cluster in `error`, what is known of it is kept as an
    artifact, and its rebuild is started if that is due. The failure itself is raised.

    Steps of the work are shown. However it ends, the Pool's status then says how the pool is.
    """
    pool = (await host.state.cluster(cluster_id)).spec.pool
    try:
        async with shown(cluster_id):
            yield
    except REFUSALS:
        raise
    except PoolError as error:
        await _after(host, cluster_id, error)
        raise
    finally:
        await _note_status(host, pool)


async def _note_status(host: Host, pool: str) -> None:
    try:
        await note_pool_status(host, pool)
    except PoolError as error:
        host.warn(f"the status of pool {pool} is left to maintenance: {error}")


async def _after(host: Host, cluster_id: str, error: PoolError) -> None:
    try:
        found = await host.state.cluster(cluster_id)
    except PoolError as unseen:
        host.warn(f"{cluster_id} is not seen after it failed: {unseen}")
        return
    if found.phase is ClusterPhase.ERROR:
        cluster = Cluster.of(found)
        await cast(Any, keep_diagnostics)(cluster, str(error), return_state=True)
        await cast(Any, rebuild_if_due)(cluster_id, return_state=True)


@task(**EFFECT, task_run_name="rebuild-if-due-{cluster_id}")
async def rebuild_if_due(cluster_id: str) -> None:
    """Start the rebuild of a cluster whose resets failed, if it is its turn; maintenance looks again."""
    async with connected() as host:
        pool = await host.state.pool((await host.state.cluster(cluster_id)).spec.pool)
        clusters = [one for one in await host.state.clusters() if one.spec.pool == pool.name]
        due = to_rebuild(clusters) if pool.spec.rebuild_broken else None
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
    # Nothing that is shown may end the block it is shown in.
    shown = json.dumps(bundle, indent=1, default=str).replace("`", "'")
    text = f"**{error}**\n\n```json\n{shown}\n```\n"
    await acreate_markdown_artifact(text, key=f"diagnostics-{cluster.id}", description=error)
