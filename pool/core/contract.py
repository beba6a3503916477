"""The platform's JSON: one cluster, the pool's counts, one session. Its clients rely on every name here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from pydantic import Field

from pool.core.clusters import PooledCluster
from pool.core.fields import Model, Time
from pool.core.lifecycle import ClusterPhase, SessionPhase
from pool.core.sessions import Session


def _absent(value: object) -> bool:
    return value is None


class ClusterPool(Model):
    """The platform's JSON for one cluster; its clients rely on every name here."""

    cluster_id: str
    namespace: str
    status: ClusterPhase
    assigned_session: str | None = Field(default=None, exclude_if=_absent)
    lock_time: Time | None = Field(default=None, exclude_if=_absent)
    last_reset: Time | None
    control_plane_vm: str | None = Field(alias="controlPlaneVM")
    worker_node_vm: str | None = Field(alias="workerNodeVM")
    created_at: Time | None
    last_health_check: Time | None

    @classmethod
    def of(cls, cluster: PooledCluster) -> Self:
        """The cluster as the platform reads it."""
        status = cluster.status
        return cls(
            cluster_id=cluster.name,
            namespace=cluster.spec.namespace,
            status=status.phase,
            assigned_session=status.assigned_session,
            lock_time=status.lock_time,
            last_reset=status.last_reset,
            control_plane_vm=status.control_plane_vm,
            worker_node_vm=status.worker_node_vm,
            created_at=status.created_at or cluster.metadata.creation_timestamp,
            last_health_check=status.last_health_check,
        )


class ClusterPoolStats(Model):
    """The platform's JSON for the pool; the five counts add up to the total."""

    total_clusters: int
    creating_clusters: int
    available_clusters: int
    locked_clusters: int
    resetting_clusters: int
    error_clusters: int
    status_by_cluster: dict[str, ClusterPhase]

    @classmethod
    def of(cls, clusters: Iterable[PooledCluster]) -> Self:
        """Count the clusters, each in exactly one phase."""
        phases = {cluster.name: cluster.phase for cluster in clusters}
        counts = {f"{phase}_clusters": list(phases.values()).count(phase) for phase in ClusterPhase}
        return cls.model_validate({"total_clusters": len(phases), "status_by_cluster": phases, **counts})


class SessionLease(Model):
    """The platform's JSON for a session."""

    session_id: str
    status: SessionPhase
    assigned_cluster: str | None = Field(default=None, exclude_if=_absent)
    cluster_lock_time: Time | None = Field(default=None, exclude_if=_absent)
    expires_at: Time | None = Field(default=None, exclude_if=_absent)
    epoch: int | None = Field(default=None, exclude_if=_absent)
    message: str = ""

    @classmethod
    def of(cls, session: Session) -> Self:
        """The session as the platform reads it."""
        status = session.status
        return cls(
            session_id=session.name,
            status=status.phase,
            assigned_cluster=status.assigned_cluster,
            cluster_lock_time=status.cluster_lock_time,
            expires_at=status.expires_at,
            epoch=status.epoch,
            message=status.message,
        )
