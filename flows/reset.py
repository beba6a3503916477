"""Resetting a cluster: both disks back to the golden generation, and proof of it."""

from __future__ import annotations

from typing import Annotated, Any, cast

from prefect import flow, task
from prefect.artifacts import acreate_table_artifact
from prefect.states import Completed
from pydantic import Field

from flows.clusters import OneCluster
from flows.names import run_named
from flows.operations import diagnosed
from flows.runtime import connected
from flows.tasks import EFFECT, run_id, stopwatch
from pool.core.fields import SessionId
from pool.work.attestation import Attestation
from pool.work.reset import reset

InPlace = Annotated[
    SessionId | None,
    Field(description="Reset in place: this session holds the cluster and keeps it, clean, at a new epoch."),
]
Force = Annotated[bool, Field(description="Take a locked cluster from its session. The session is told and ended.")]
Epoch = Annotated[
    int | None,
    Field(
        ge=0,
        description="Refuse a reset in place, or by force, of a cluster that was handed over since it had this epoch.",
    ),
]

IfWaiting = Annotated[bool, Field(description="Do nothing if the cluster does not wait for a reset any more.")]


@flow(name="reset-cluster", flow_run_name=run_named("reset-cluster"))
async def reset_cluster(
    cluster_id: OneCluster,
    session_id: InPlace = None,
    force: Force = False,
    if_waiting: IfWaiting = False,
    epoch: Epoch = None,
) -> Any:
    """Restore both VMs of one cluster from its golden snapshots, and attest that it is clean and healthy.

    Args:
        cluster_id: The cluster's name, for example cluster1.
        session_id: Reset in place: this session holds the cluster and keeps it, clean, at a new epoch.
        force: Take a locked cluster from its session. The session is told and ended.
        if_waiting: Do nothing if the cluster does not wait for a reset (any more): another run reset it, say, or it is
            cordoned.
        epoch: The cluster's epoch when this was asked for: a reset in place, or by force, is refused if the cluster was
            handed over since. Left out, it is not checked.
    """
    took = stopwatch()
    async with connected() as host, diagnosed(host, cluster_id):
        asked: dict[str, Any] = {"session_id": session_id, "epoch": epoch, "force": force, "if_waiting": if_waiting}
        done = await reset(host, cluster_id, run_id=run_id(), **asked)
    if done is None:
        return Completed(message=f"{cluster_id} does not wait for this reset any more")
    await keep_attestation(done)
    whose = f"{session_id}'s again" if session_id else "available"
    return Completed(message=f"{cluster_id} is {whose}, restored from golden generation {done.generation}, in {took()}")


async def keep_attestation(attestation: Attestation) -> None:
    """The evidence as the artifact `attestation-CLUSTER`. Unwritten, it does not make the cluster less clean."""
    await cast(Any, write_attestation)(attestation, return_state=True)


@task(**EFFECT, task_run_name="keep-attestation-{attestation.cluster_id}")
async def write_attestation(attestation: Attestation) -> None:
    """One row a fact."""
    rows = [{"fact": fact, "evidence": evidence} for fact, evidence in attestation.facts.items()]
    key = f"attestation-{attestation.cluster_id}"
    await acreate_table_artifact(rows, key=key, description=f"Attestation of {attestation.cluster_id}")
