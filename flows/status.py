"""The pool as a table artifact, and in the run's state message."""

from __future__ import annotations

from typing import Any

from prefect import flow, task
from prefect.artifacts import acreate_table_artifact
from prefect.states import Completed

from flows.runtime import connected
from flows.tables import rows, summary
from flows.tasks import EFFECT


@flow(name="pool-status")
async def pool_status() -> Any:
    """Publish the pool as the artifact `pool-status`, a new version each time."""
    counts, contract = await publish_status()
    return Completed(message=counts, data=contract)


@task(**EFFECT)
async def publish_status() -> tuple[str, dict[str, Any]]:
    """Write the table artifact. Returns the counts in words and the platform's statistics (JSON)."""
    async with connected() as pool:
        clusters, stats = await pool.state.clusters(), await pool.state.stats()
    counts = summary(stats)
    await acreate_table_artifact(rows(clusters), key="pool-status", description=counts)
    return counts, stats.model_dump(mode="json", by_alias=True)
