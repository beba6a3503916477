"""Work that is a flow run of its own: started through the Prefect API, at most once for the same reason."""

from __future__ import annotations

from typing import Any

from prefect import task
from prefect.deployments import arun_deployment

from flows.runtime import connected
from flows.tasks import EFFECT
from pool.core.clusters import PooledCluster


@task(**EFFECT, task_run_name="start-{deployment}")
async def start_run(deployment: str, parameters: dict[str, Any], reason: str) -> str:
    """Start a flow run of `deployment` (flow and deployment share the name). Returns the flow run's name.

    `reason` tells one wish from another: asked again for the same reason, the first run is returned, whatever became
    of it (Prefect: `idempotency_key`).
    """
    run = await arun_deployment(
        f"{deployment}/{deployment}",
        parameters=parameters,
        timeout=0,
        as_subflow=False,
        idempotency_key=f"{deployment}:{reason}",
    )
    return run.name


async def start_reset(cluster_id: str, epoch: int, reason: str = "released", *, waiting: bool = True) -> str:
    """Start the reset of a cluster that was given back at `epoch`. Returns the flow run's name.

    `waiting`: the run does nothing should another have reset the cluster by then.

    Prefect may remember more than one cluster of that name and epoch, of pools that were torn down: so the resource's
    UID is part of the reason. Should the Prefect API not answer, maintenance finds the cluster `resetting` with nobody
    on it and starts the reset.
    """
    async with connected() as pool:
        uid = (await pool.state.cluster(cluster_id)).metadata.uid
    parameters = {"cluster_id": cluster_id, "if_waiting": waiting}
    return await start_run("reset-cluster", parameters, f"{uid}:{epoch}:{reason}")


async def start_rebuild(cluster: PooledCluster) -> str:
    """Start the rebuild of a cluster in `error`, once for each failure. Returns the flow run's name."""
    since = cluster.status.failure.since.isoformat() if cluster.status.failure else ""
    return await start_run("rebuild-cluster", {"cluster_id": cluster.name}, f"{cluster.metadata.uid}:{since}")
