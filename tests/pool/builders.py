"""Clusters and sessions for tests, in a line each; times are seconds after T0."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pool.core.clusters import (
    ClusterCondition,
    ClusterSpec,
    ClusterStatus,
    ConditionType,
    Golden,
    GoldenSnapshot,
    Operation,
    OperationKind,
    PooledCluster,
)
from pool.core.lifecycle import ClusterPhase, SessionPhase
from pool.core.pools import POOL_FINALIZER, Pool, PoolSpec
from pool.core.resource import ConditionStatus, Metadata
from pool.core.sessions import Session, SessionSpec, SessionStatus
from pool.kubevirt.cluster import Cluster, pool_labels

T0 = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def golden(generation: int = 1, **fields: Any) -> Golden:
    half = {"control_plane": "cp-snap", "worker": "wk-snap"}
    snapshots = {role: GoldenSnapshot(name=name, uid=f"{name}-{generation}") for role, name in half.items()}
    return Golden.model_validate({"generation": generation, "taken_at": T0} | snapshots | fields)


def pool(name: str = "default", *, removing: bool = False, generation: int = 1, **spec: Any) -> Pool:
    return Pool(
        metadata=Metadata(
            name=name,
            namespace="cks-pool",
            uid=f"uid-{name}",
            resource_version="1",
            generation=generation,
            finalizers=[POOL_FINALIZER],
            deletion_timestamp=T0 if removing else None,
        ),
        spec=PoolSpec.model_validate(spec),
    )


def member(name: str = "cluster1", *, uid: str = "", of: Pool | None = None) -> Cluster:
    """A cluster of the pool, as work on it knows it."""
    of = of or pool()
    return Cluster(name, name, uid or f"uid-{name}", of.name, of.metadata.uid)


def cluster(
    name: str, phase: str = "available", *, cordoned: bool = False, removing: bool = False, **status: Any
) -> PooledCluster:
    wanted = ClusterPhase(phase)
    if wanted in (ClusterPhase.AVAILABLE, ClusterPhase.RESETTING):
        status = {"golden": golden(), "last_health_check": T0} | status
    if wanted is ClusterPhase.AVAILABLE:
        status = {"clean": True} | status
    if wanted is ClusterPhase.LOCKED:
        held = status.setdefault("assigned_session", "someone")
        defaults = {"assigned_session_uid": f"uid-{held}", "lock_time": T0, "expires_at": at(3600), "epoch": 1}
        status = defaults | {"golden": golden(), "last_health_check": T0} | status
    return PooledCluster(
        metadata=Metadata(
            name=name,
            namespace="cks-pool",
            uid=f"uid-{name}",
            resource_version="1",
            deletion_timestamp=T0 if removing else None,
            labels=pool_labels(pool()),
        ),
        spec=ClusterSpec(namespace=name, cordoned=cordoned),
        status=ClusterStatus.model_validate({"phase": wanted} | status),
    )


def session(name: str, phase: str = "Pending", *, created: float = 0, spec: Any = None, **status: Any) -> Session:
    return Session(
        metadata=Metadata(
            name=name, namespace="cks-pool", uid=f"uid-{name}", resource_version="1", creation_timestamp=at(created)
        ),
        spec=SessionSpec.model_validate(spec or {}),
        status=SessionStatus.model_validate({"phase": SessionPhase(phase)} | status),
    )


def active(name: str, on: str, *, epoch: int = 1, expires: float = 3600) -> Session:
    return session(name, "Active", assigned_cluster=on, epoch=epoch, expires_at=at(expires), cluster_lock_time=T0)


def operation(
    kind: str = "reset", run: str = "run1", *, beat: float = 0, attempt: int = 1, word: str = ""
) -> Operation:
    return Operation(
        kind=OperationKind(kind), run_id=run, word=word, started_at=T0, heartbeat_at=at(beat), attempt=attempt
    )


def unhealthy(message: str = "node wk NotReady") -> ClusterCondition:
    return ClusterCondition(
        type=ConditionType.GUEST_HEALTHY,
        status=ConditionStatus.FALSE,
        reason="NodeNotReady",
        message=message,
        last_transition_time=T0,
    )
