"""Making a cluster anew from the golden image: what was there goes, all that a cluster needs is made again."""

from __future__ import annotations

from functools import partial

from pool.core.clusters import Golden, OperationKind
from pool.core.lifecycle import ClusterPhase
from pool.core.planner import Observed, PlanConfig
from pool.core.planner.replacements import why_outdated
from pool.work import bootstrap, golden
from pool.work.attempts import attempt, unless_others_do
from pool.work.demolition import demolish
from pool.work.images import ensure_image
from pool.work.steps import Host, Job


async def rebuild(host: Host, cluster_id: str, *, run_id: str, if_due: bool = False) -> Golden | None:
    """Make an idle or broken cluster anew, with new golden snapshots: it is available at the end.

    `if_due`: nothing is done, and None returned, if it is not broken or outdated, is cordoned or to go, or if
    another run has it. Raises what the last attempt failed of, or why the cluster is not to be made anew.
    """
    if not if_due:
        return await anew(host, cluster_id, run_id)
    if not await _is_due(host, cluster_id):
        return None
    work = anew(host, cluster_id, run_id, unless_cordoned=True)
    return await unless_others_do(host, cluster_id, work, unless_cordoned=True)


async def anew(host: Host, cluster_id: str, run_id: str, *, unless_cordoned: bool = False) -> Golden:
    """As `rebuild`, whether it is due or not."""
    pool = await host.state.pool((await host.state.cluster(cluster_id)).spec.pool)
    # Before the cluster is touched: an image that cannot be had costs none of those that there are.
    image = partial(ensure_image, host.kube, host.watching, pool, host.settings)
    await host.run_step("ensure-image", cluster_id, image)
    await attempt(host, cluster_id, OperationKind.REBUILD, run_id, steps, unless_cordoned=unless_cordoned)
    return await golden.take(host, cluster_id, run_id=run_id, unless_cordoned=unless_cordoned)


async def steps(job: Job) -> None:
    """From anything at all to a healthy cluster without golden snapshots."""
    # First of all, should it be gone: the right to look for the cluster's secrets is in there.
    await bootstrap.ensure_namespace(job)
    await demolish(job)
    await bootstrap.steps(job)


async def _is_due(host: Host, cluster_id: str) -> bool:
    found = await host.state.cluster(cluster_id)
    if found.spec.cordoned or found.removing:
        return False
    if found.phase is ClusterPhase.ERROR or found.status.rebuilding:
        return True
    observed = Observed.of(await host.state.pool(found.spec.pool), [], [found])
    return bool(why_outdated(observed, found, PlanConfig.of(host.settings), host.now()))
