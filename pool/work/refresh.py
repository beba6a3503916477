"""A newer golden generation for an idle cluster, beside the old one, which goes only once a reset proved the new."""

from __future__ import annotations

from pool.core.clusters import Golden, OperationKind
from pool.core.errors import IllegalTransition, OperationInProgress, SnapshotMissing
from pool.core.lifecycle import ClusterPhase
from pool.core.queue import is_free
from pool.kube.gather import gather
from pool.kube.resources import VM_SNAPSHOTS
from pool.kubevirt.snapshots import delete_snapshot
from pool.work.attempts import attempt
from pool.work.attestation import Attestation
from pool.work.generations import other_suffix
from pool.work.golden import snapshotted
from pool.work.reset import restore_to
from pool.work.steps import Host, Job, step


async def refresh(host: Host, cluster_id: str, *, run_id: str) -> Attestation | None:
    """A new generation of one idle cluster, proved by a reset to it; the old one is dropped only then.

    None if the pool is short of standby, or somebody got the cluster first: a refresh can wait.
    """
    found = await host.state.cluster(cluster_id)
    others = sum(
        is_free(cluster)
        for cluster in await host.state.clusters()
        if cluster.name != cluster_id and cluster.spec.pool == found.spec.pool
    )
    wanted = (await host.state.pool(found.spec.pool)).spec.min_standby
    if found.phase is ClusterPhase.AVAILABLE and others < wanted:
        host.warn(f"{cluster_id} is needed: only {others} other clusters stand by")
        return None
    try:
        return await attempt(host, cluster_id, OperationKind.GOLDEN, run_id, steps)
    except (IllegalTransition, OperationInProgress) as error:
        host.warn(f"{cluster_id} is not refreshed: {error}")
        return None


async def steps(job: Job) -> Attestation:
    """From an idle cluster to an available one with a newer generation, reset to it once."""
    old = job.operation.cluster.status.golden
    if old is None:
        raise SnapshotMissing(f"{job.cluster.id} has no golden snapshots", cure="run rebuild-cluster")
    generation = old.generation + 1
    golden = await snapshotted(job, generation, other_suffix(job.cluster, old))
    attestation = await restore_to(job, golden)
    await job.operation.record_golden(golden, f"generation {generation}, proved by a reset")
    await drop_others(job, golden)
    await job.operation.finish(attested=attestation.evidence, reason=f"refreshed to golden generation {generation}")
    return attestation


@step
async def drop_others(job: Job, golden: Golden) -> None:
    """Remove the cluster's golden snapshots but those of this generation.

    KubeVirt: not while a restore of an old one runs.
    """
    keep = {golden.control_plane.uid, golden.worker.uid}
    found = await job.kube.list(VM_SNAPSHOTS, job.cluster.namespace, labels=job.cluster.selector)
    old = [one for one in found if one["metadata"]["uid"] not in keep]
    timeout = job.settings.delete_timeout
    await gather(delete_snapshot(job.fence, job.watching, job.cluster, one, timeout=timeout) for one in old)
