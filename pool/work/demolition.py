"""Taking down what was made for a cluster, or for an earlier one of its name; its namespace and Services stay."""

from __future__ import annotations

from pool.kube.client import Object
from pool.kube.gather import gather
from pool.kube.resources import DATA_VOLUMES, PVCS, SECRETS, VM_SNAPSHOTS
from pool.kubevirt.cluster import CLUSTER_LABEL
from pool.kubevirt.former import left_of_former, secret_names
from pool.kubevirt.machines import delete_vm
from pool.kubevirt.ownership import named, removable
from pool.kubevirt.restores import delete_restores, restores_of
from pool.kubevirt.snapshots import delete_snapshot
from pool.work.steps import Job, step


@step
async def clear_former(job: Job) -> None:
    """Nothing is left of an earlier cluster of this name, whose VMs somebody may have used."""
    left = await left_of_former(job.kube, job.cluster)
    if left:
        job.host.warn(f"removed, since left of an earlier {job.cluster.id}: {', '.join(left)}")
        await _demolish(job)


@step
async def demolish(job: Job) -> None:
    """Remove the cluster's VMs, snapshots, restores, disks and secrets, so that it can be made anew from the image.

    A learner may have read the old CA's key, so the next cluster gets a new one.
    """
    await _demolish(job)


async def _demolish(job: Job) -> None:
    for removal in (_restores, _machines, _snapshots, _disks, _secrets):
        await removal(job)


async def _restores(job: Job) -> None:
    found = await restores_of(job.kube, job.cluster)
    await delete_restores(job.fence, job.watching, job.cluster, found, timeout=job.settings.delete_timeout)


async def _machines(job: Job) -> None:
    timeout = job.settings.delete_timeout
    await gather(delete_vm(job.fence, job.watching, machine, timeout=timeout) for machine in job.cluster.machines)


async def _snapshots(job: Job) -> None:
    for found in await job.kube.list(VM_SNAPSHOTS, job.cluster.namespace, labels=job.cluster.selector):
        await delete_snapshot(job.fence, job.watching, job.cluster, found, timeout=job.settings.delete_timeout)


async def _disks(job: Job) -> None:
    for resource in (DATA_VOLUMES, PVCS):
        for found in await job.kube.list(resource, job.cluster.namespace, labels=job.cluster.selector):
            await job.fence.remove(resource, found)
            await _gone(job, found)


async def _secrets(job: Job) -> None:
    for name in secret_names(job.cluster):
        found = await job.kube.find(SECRETS, name, job.cluster.namespace)
        if found is not None:
            await job.fence.remove(SECRETS, removable(found, job.cluster))


async def _gone(job: Job, found: Object) -> None:
    resource = DATA_VOLUMES if found["kind"] == DATA_VOLUMES.kind else PVCS
    what = f"{named(found)} to be deleted"
    await job.watching.gone(resource, found, timeout=job.settings.delete_timeout, what=what, labels=CLUSTER_LABEL)
