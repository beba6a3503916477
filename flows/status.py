"""A pool as a table artifact, and in the run's state message."""

from __future__ import annotations

from typing import Any

from prefect import flow, task
from prefect.artifacts import acreate_table_artifact
from prefect.states import Completed

from flows.clusters import OfPool
from flows.names import run_named
from flows.runtime import connected
from flows.tables import rows, summary
from flows.tasks import EFFECT
from pool.core.contract import ClusterPoolStats
from pool.core.pool_status import status_of
from pool.core.pools import DEFAULT_POOL
from pool.work.upkeep.status import prefix_taken


@flow(name="pool-status", flow_run_name=run_named("pool-status"))
async def pool_status(pool: OfPool = DEFAULT_POOL) -> Any:
    """Publish the pool as the artifact `pool-status`, a new version each time.

    Args:
        pool: The Pool, by name.
    """
    counts, contract = await publish_status(pool)
    return Completed(message=counts, data=contract)


@task(**EFFECT, task_run_name="publish-status-{name}")
async def publish_status(name: str) -> tuple[str, dict[str, Any]]:
    """Write the table artifact. Returns the counts in words and the platform's statistics (JSON)."""
    async with connected() as host:
        pool, sessions = await host.state.pool(name), await host.state.sessions(name)
        clusters = await host.state.clusters(name)
        taken = await prefix_taken(host, pool)
        status = status_of(pool, clusters, sessions, host.now(), prefix_taken=taken)
    stats = ClusterPoolStats.of(clusters)
    counts = summary(stats, pool.changed(status=status))
    await acreate_table_artifact(rows(clusters), key="pool-status", description=counts)
    return counts, stats.model_dump(mode="json", by_alias=True)
