"""Making the clusters that are missing, side by side, until each guest is healthy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from prefect import flow, get_run_logger, task
from prefect.states import Completed
from pydantic import Field

from flows.clusters import ClusterIds, Size, at_most, named
from flows.golden import create_golden_snapshots
from flows.namespaces import create_namespaces
from flows.operations import attempt, unless_others_do
from flows.outcomes import completed
from flows.retries import EFFECT
from flows.runtime import connected, utcnow
from pool.core.clusters import ClonedImage, ClusterCondition, ConditionType, OperationKind
from pool.core.lifecycle import ClusterPhase
from pool.core.resource import ConditionStatus
from pool.guest.health import NodeHealth
from pool.kubevirt.cluster import Cluster
from pool.state import OperationHandle
from pool.work import provision
from pool.work.images import ensure_cluster_image

GoldenToo = Annotated[bool, Field(description="Take the golden snapshots as well, so that the clusters are available.")]


@flow(name="bootstrap-pool")
async def bootstrap_pool(size: Size = None, cluster_ids: ClusterIds = None, golden_snapshots: GoldenToo = True) -> Any:
    """Make every missing cluster, in parallel, until its guest cluster is healthy. Existing ones are left alone.

    Args:
        size: How many clusters the pool has, 1 to 500; the pool's setting if left out.
        cluster_ids: Only these clusters, by name; all of the pool if left out.
        golden_snapshots: Take the golden snapshots as well, so that the clusters are available.
    """
    await completed(await create_namespaces(size=size, cluster_ids=cluster_ids, return_state=True))
    missing = await ensure_clusters(size, cluster_ids)
    async with connected() as pool:
        limit = (await pool.state.pool()).spec.max_concurrent_operations
        ours = await at_most(limit, partial(unless_others_do, bootstrap_cluster), missing)
    made = [name for name, mine in zip(missing, ours, strict=True) if mine]
    if golden_snapshots and made:
        await completed(await create_golden_snapshots(cluster_ids=made, return_state=True))
    left = [name for name in missing if name not in made]
    message = f"{len(made)} clusters made: {', '.join(made)}" if missing else "0 clusters made: none was missing"
    message += f"; left to the runs that make them already: {', '.join(left)}" if left else ""
    return Completed(message=message, data=made)


@task(**EFFECT)
async def ensure_clusters(size: int | None, cluster_ids: Sequence[str] | None) -> list[str]:
    """A PooledCluster for each wanted cluster. Returns those that are still to be made."""
    async with connected() as pool:
        of = await pool.state.ensure_pool()
        found = [await pool.state.ensure_cluster(of, name) for name in named(of, size, cluster_ids)]
    return [cluster.name for cluster in found if cluster.phase is ClusterPhase.CREATING]


async def bootstrap_cluster(cluster_id: str) -> None:
    """One cluster, from its namespace to a healthy guest."""
    async with connected() as pool:
        cluster = Cluster.of(await pool.state.cluster(cluster_id))

        async def work(operation: OperationHandle) -> None:
            await make(operation, cluster)

        await attempt(pool, cluster_id, OperationKind.BOOTSTRAP, work)


async def make(operation: OperationHandle, cluster: Cluster) -> None:
    """The steps of making a cluster, under a claim on it."""
    control_plane, worker = cluster.machines
    await operation.update(control_plane_vm=control_plane.name, worker_node_vm=worker.name)
    await operation.update(image=await ensure_image(cluster))
    await ensure_machines(cluster)
    await wait_machines(cluster)
    nodes = await wait_guest(cluster)
    evidence = ", ".join(f"{node.name} Ready" for node in nodes)
    async with connected() as pool:
        await pool.state.set_condition(cluster.id, _true(ConditionType.GUEST_HEALTHY, evidence))
        await pool.state.set_condition(cluster.id, _true(ConditionType.VMS_READY, "both VMs run"))
    get_run_logger().info("%s is up: %s", cluster.id, evidence)


@task(**EFFECT, task_run_name="ensure-image-{cluster.id}")
async def ensure_image(cluster: Cluster) -> ClonedImage:
    """The image that the cluster is cloned from, imported."""
    async with connected() as pool:
        of = await pool.state.pool(cluster.pool)
        return await ensure_cluster_image(pool.kube, pool.watching, cluster, of, pool.settings)


@task(**EFFECT, task_run_name="ensure-machines-{cluster.id}")
async def ensure_machines(cluster: Cluster) -> None:
    """Identity, Services, cloud-init and both VMs, made at once."""
    async with connected() as pool:
        of = await pool.state.pool(cluster.pool)
        image = await ensure_cluster_image(pool.kube, pool.watching, cluster, of, pool.settings)
        await provision.ensure_secrets(pool.kube, cluster, of, utcnow())
        await provision.ensure_vms(pool.kube, cluster, of, image, pool.settings)


@task(**EFFECT, task_run_name="wait-machines-{cluster.id}")
async def wait_machines(cluster: Cluster) -> None:
    """Both VMs run. Warns of disks that took longer than they need have."""
    async with connected() as pool:
        warnings = await provision.wait_vms(pool.kube, pool.watching, cluster, pool.settings)
    for warning in warnings:
        get_run_logger().warning(warning)


@task(**EFFECT, task_run_name="wait-guest-{cluster.id}")
async def wait_guest(cluster: Cluster) -> tuple[NodeHealth, ...]:
    """The guest cluster is healthy, with both nodes."""
    async with connected() as pool:
        return await provision.wait_guest(pool.kube, cluster, pool.settings)


def _true(kind: ConditionType, evidence: str) -> ClusterCondition:
    return ClusterCondition(
        type=kind, status=ConditionStatus.TRUE, reason="Bootstrapped", message=evidence, last_transition_time=utcnow()
    )
