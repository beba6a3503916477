"""Resetting a cluster: both disks back to the golden generation, and proof of it."""

from __future__ import annotations

from typing import Annotated, Any, cast

from prefect import flow, get_run_logger, task
from prefect.artifacts import acreate_table_artifact
from prefect.states import Completed
from pydantic import Field

from flows.clusters import OneCluster
from flows.operations import attempt, unless_others_do
from flows.retries import EFFECT
from flows.runtime import connected
from pool.core.clusters import Golden, OperationKind
from pool.core.errors import SnapshotMissing
from pool.core.fields import SessionId
from pool.core.lifecycle import ClusterPhase
from pool.guest.canary import plant_canary
from pool.kubevirt.cluster import Cluster
from pool.state import OperationHandle
from pool.work import reset
from pool.work.reset import Attestation

InPlace = Annotated[
    SessionId | None,
    Field(description="Reset in place: this session holds the cluster and keeps it, clean, at a new epoch."),
]
Force = Annotated[bool, Field(description="Take a locked cluster from its session. The session is told and ended.")]

IfWaiting = Annotated[bool, Field(description="Do nothing if the cluster does not wait for a reset any more.")]


@flow(name="reset-cluster", flow_run_name="reset-{cluster_id}")
async def reset_cluster(
    cluster_id: OneCluster, session_id: InPlace = None, force: Force = False, if_waiting: IfWaiting = False
) -> Any:
    """Restore both VMs of one cluster from its golden snapshots, and attest that it is clean and healthy.

    Args:
        cluster_id: The cluster's name, for example cluster1.
        session_id: Reset in place: this session holds the cluster and keeps it, clean, at a new epoch.
        force: Take a locked cluster from its session. The session is told and ended.
        if_waiting: Do nothing if the cluster does not wait for a reset any more: another run reset it.
    """
    if if_waiting:
        ours = await waits(cluster_id) and await unless_others_do(restore_cluster, cluster_id)
        done = "is available, restored" if ours else "does not wait for this reset any more: another run came first"
        return Completed(message=f"{cluster_id} {done}")
    generation = await restore_cluster(cluster_id, session_id=session_id, force=force)
    whose = f"{session_id}'s again" if session_id else "available"
    return Completed(message=f"{cluster_id} is {whose}, restored from golden generation {generation}")


async def waits(cluster_id: str) -> bool:
    """Whether the cluster is out of service until its reset."""
    async with connected() as pool:
        return (await pool.state.cluster(cluster_id)).phase is ClusterPhase.RESETTING


async def restore_cluster(cluster_id: str, *, session_id: str | None = None, force: bool = False) -> int:
    """The whole reset of one cluster. Returns the golden generation it was restored to."""
    async with connected() as pool:
        found = await pool.state.cluster(cluster_id)
        cluster = Cluster.of(found)

        async def work(operation: OperationHandle) -> int:
            return await restore(operation, cluster)

        return await attempt(pool, cluster_id, OperationKind.RESET, work, session_id=session_id, force=force)


async def restore(operation: OperationHandle, cluster: Cluster) -> int:
    """The steps of a reset, under a claim on the cluster; it is available at the end."""
    async with connected() as pool:
        golden = (await pool.state.cluster(cluster.id)).status.golden
    if golden is None:
        raise SnapshotMissing(
            f"{cluster.id} has no golden snapshots",
            expected="a golden generation",
            cure="run create-golden-snapshots, or rebuild-cluster",
        )
    attestation = await restore_to(operation, cluster, golden)
    await operation.finish(attested=attestation.evidence, reason="restored and attested healthy")
    return golden.generation


async def restore_to(operation: OperationHandle, cluster: Cluster, golden: Golden) -> Attestation:
    """Take both disks back to a generation, and attest that they are.

    A run that was asleep for long is overtaken without knowing it: so it asks before each step that would hurt.
    """
    run_id = operation.run_id
    await prepare(cluster, golden, run_id)
    await operation.heartbeat()
    await stop_both(cluster, run_id)
    await operation.heartbeat()
    await restore_both(cluster, golden, run_id)
    await operation.heartbeat()
    await start_both(cluster, golden, run_id)
    attestation = await attest(cluster, golden)
    await operation.heartbeat()
    await clean_up(cluster, operation.epoch)
    return attestation


@task(**EFFECT, task_run_name="prepare-{cluster.id}")
async def prepare(cluster: Cluster, golden: Golden, run_id: str) -> None:
    """The golden pair can be restored, and nothing of aborted resets is in the way."""
    async with connected() as pool:
        await reset.prepare(pool.kube, pool.watching, cluster, golden, pool.settings, run_id=run_id)


@task(**EFFECT, task_run_name="stop-{cluster.id}")
async def stop_both(cluster: Cluster, run_id: str) -> None:
    """Both VMs stopped by force, their VMIs gone."""
    async with connected() as pool:
        await reset.stop_both(pool.kube, pool.watching, cluster, pool.settings, run_id=run_id)


@task(**EFFECT, task_run_name="restore-{cluster.id}")
async def restore_both(cluster: Cluster, golden: Golden, run_id: str) -> dict[str, str]:
    """Both disks restored in parallel, and verified."""
    async with connected() as pool:
        return await reset.restore_both(pool.kube, pool.watching, cluster, golden, pool.settings, run_id=run_id)


@task(**EFFECT, task_run_name="start-{cluster.id}")
async def start_both(cluster: Cluster, golden: Golden, run_id: str) -> None:
    """Both VMs run, on the restored disks."""
    async with connected() as pool:
        await reset.start_both(pool.kube, pool.watching, cluster, golden, pool.settings, run_id=run_id)


@task(**EFFECT, task_run_name="attest-{cluster.id}")
async def attest(cluster: Cluster, golden: Golden) -> Attestation:
    """The cluster is clean and healthy; the evidence is kept as the artifact `attestation-CLUSTER`."""
    async with connected() as pool:
        attestation = await reset.attest(pool.kube, cluster, golden, pool.settings)
    await cast(Any, keep_attestation)(attestation, return_state=True)
    return attestation


@task(**EFFECT, task_run_name="keep-attestation-{attestation.cluster_id}")
async def keep_attestation(attestation: Attestation) -> None:
    """The evidence as an artifact of the run. That it cannot be written does not make the cluster less clean."""
    rows = [{"fact": fact, "evidence": evidence} for fact, evidence in attestation.facts.items()]
    key = f"attestation-{attestation.cluster_id}"
    await acreate_table_artifact(rows, key=key, description=f"Attestation of {attestation.cluster_id}")


@task(**EFFECT, task_run_name="clean-up-{cluster.id}")
async def clean_up(cluster: Cluster, epoch: int) -> None:
    """Restores deleted, leftover disks swept, the canary of this epoch planted."""
    async with connected() as pool:
        leftovers = await reset.clean_up(pool.kube, pool.watching, cluster, pool.settings)
        await plant_canary(pool.kube, cluster, epoch)
    for leftover in leftovers:
        get_run_logger().warning("removed what an aborted restore had left: %s", leftover)
