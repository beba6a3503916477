"""Removing clusters: a deleted PooledCluster is kept by its finalizer until nothing is left of the cluster.

The wish is in the resources (`metadata.deletionTimestamp`) and nowhere else. So whoever comes next carries it on, from
wherever the last one left: each step removes what is there, and what is gone needs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from pool.core.clusters import POOL_UID_LABEL, OperationKind, PooledCluster
from pool.core.errors import IllegalTransition, NotOurs, UnknownPool
from pool.kube.resources import NAMESPACES, POOLS
from pool.kubevirt.cluster import CLUSTER_UID_LABEL
from pool.kubevirt.ownership import labels_of
from pool.work import namespaces
from pool.work.attempts import attempt
from pool.work.pools import let_go
from pool.work.steps import Host, Job, step


def check_nobody_holds(clusters: Sequence[PooledCluster], *, force: bool) -> None:
    """Raise IllegalTransition if one of the clusters is held by a session, unless that is forced. Pure."""
    held = [f"{one.name} by {one.status.assigned_session}" for one in clusters if one.status.assigned_session]
    if held and not force:
        raise IllegalTransition(
            "clusters are held by sessions",
            expected="clusters nobody holds",
            actual=", ".join(held),
            cure="release the sessions, name other clusters, or force it",
        )


async def ask_removal(host: Host, pool: str, clusters: Sequence[PooledCluster], *, whole: bool) -> None:
    """Delete the clusters' resources, as read, and with `whole` the Pool's: they stay until they are torn down.

    Raises Conflict if another cluster has a name meanwhile.
    """
    if whole:
        try:
            held = await host.state.hold_pool(pool)
            await host.kube.delete(POOLS, pool, host.settings.namespace, uid=held.metadata.uid)
        except UnknownPool as error:
            host.warn(f"only clusters are removed: {error}")
    for cluster in clusters:
        await host.state.delete_cluster(cluster)


async def teardown(host: Host, cluster_id: str, *, run_id: str, force: bool = False) -> None:
    """Remove a deleted cluster with everything that belongs to it, with all attempts.

    A held one is only taken from its session by `force`. Raises what the last attempt failed of, or why the cluster is
    not to be removed; it stays `removing` then.
    """
    found = await host.state.cluster(cluster_id)
    if POOL_UID_LABEL in found.metadata.labels:
        await attempt(host, cluster_id, OperationKind.TEARDOWN, run_id, steps, force=force)
        return
    await _check_nothing_made(host, found)
    async with host.state.operation(cluster_id, OperationKind.TEARDOWN, run_id, force=force) as operation:
        await operation.remove()


async def _check_nothing_made(host: Host, cluster: PooledCluster) -> None:
    """Raise NotOurs if a namespace was made for a cluster whose resource does not say whose it is."""
    namespace = await host.kube.find(NAMESPACES, cluster.spec.namespace)
    if namespace is not None and labels_of(namespace).get(CLUSTER_UID_LABEL) == cluster.metadata.uid:
        uid = labels_of(namespace).get(POOL_UID_LABEL)
        label = f"{POOL_UID_LABEL}={uid or 'UID'}"
        of_pool = f"; kubectl label namespace {cluster.spec.namespace} {label}, with the UID of its Pool"
        again = f"kubectl -n {host.settings.namespace} label pcl {cluster.name} {label}{'' if uid else of_pool}"
        raise NotOurs(
            f"PooledCluster {cluster.name} has lost its label {POOL_UID_LABEL}",
            expected=f"that of its namespace, {uid or 'which has lost it too'}",
            actual="none",
            cure=f"label it again ({again}), then it is removed with what was made for it",
        )


async def steps(job: Job) -> None:
    """From anything at all to nothing."""
    await remove_namespace(job)
    await remove_right_to_clone(job)
    await job.operation.remove()


@step
async def remove_namespace(job: Job) -> None:
    """The cluster's namespace is gone, with all that is in it. Raises NamespaceNotOurs, WaitTimeout."""
    timeout = job.settings.delete_timeout
    await namespaces.delete_cluster_namespace(job.kube, job.watching, job.cluster, timeout=timeout)


@step
async def remove_right_to_clone(job: Job) -> None:
    """Its right to clone the golden image is gone. Raises NotOurs."""
    await namespaces.remove_clone_binding(job.fence, job.cluster, job.settings)


async def finish_removal(host: Host, name: str) -> None:
    """Let a deleted Pool go with what is its own, once it has no clusters; nothing for one that is gone."""
    try:
        pool = await host.state.pool(name)
    except UnknownPool:
        return
    if pool.removing:
        await let_go(host, pool)
