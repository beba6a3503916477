"""Removing a cluster: its namespace with all in it, its right to clone, and then its resource."""

from __future__ import annotations

from pool.core.clusters import OperationKind
from pool.work import namespaces
from pool.work.attempts import attempt
from pool.work.steps import Host, Job, step


async def teardown(host: Host, cluster_id: str, *, run_id: str, force: bool = False) -> None:
    """Remove a cluster with everything that belongs to it. A locked one only by `force`; its session is ended.

    Raises what the last attempt failed of, or why the cluster is not to be removed.
    """
    await attempt(host, cluster_id, OperationKind.TEARDOWN, run_id, steps, force=force)


async def steps(job: Job) -> None:
    """From anything at all to nothing."""
    await remove_namespace(job)
    await job.operation.remove()


@step
async def remove_namespace(job: Job) -> None:
    """The cluster's namespace is gone, and its right to clone. Raises NamespaceNotOurs, WaitTimeout."""
    await namespaces.delete_cluster_namespace(job.kube, job.watching, job.cluster, timeout=job.settings.delete_timeout)
    await namespaces.remove_clone_binding(job.kube, job.cluster, job.settings)
