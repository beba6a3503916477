"""Making a cluster anew from the golden image: what was there goes, all that a cluster needs is made again."""

from __future__ import annotations

from functools import partial

from pool.core.clusters import Golden, OperationKind
from pool.work import bootstrap, golden
from pool.work.attempts import attempt
from pool.work.demolition import demolish
from pool.work.images import ensure_image
from pool.work.steps import Host, Job


async def rebuild(host: Host, cluster_id: str, *, run_id: str) -> Golden:
    """Make an idle or broken cluster anew, with new golden snapshots: it is available at the end.

    Raises what the last attempt failed of, or why the cluster is not to be made anew.
    """
    pool = await host.state.pool((await host.state.cluster(cluster_id)).spec.pool)
    # Before the cluster is touched: an image that cannot be had costs none of those that there are.
    image = partial(ensure_image, host.kube, host.watching, pool, host.settings)
    await host.run_step("ensure-image", cluster_id, image)
    await attempt(host, cluster_id, OperationKind.REBUILD, run_id, steps)
    return await golden.take(host, cluster_id, run_id=run_id)


async def steps(job: Job) -> None:
    """From anything at all to a healthy cluster without golden snapshots."""
    # First of all, should it be gone: the right to look for the cluster's secrets is in there.
    await bootstrap.ensure_namespace(job)
    await demolish(job)
    await bootstrap.steps(job)
