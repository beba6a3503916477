"""Session: a learner's claim on one cluster."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Self

from pydantic import Field

from pool.core.fields import Count, DnsLabel, HeartbeatTimeout, Model, Priority, Time, TtlSeconds
from pool.core.lifecycle import SessionPhase
from pool.core.resource import Resource

IDEMPOTENCY_KEY = "cks.io/idempotency-key"
"""Annotation: the key that a Session was asked for with. Asked for with it again, it does not begin anew."""


class SessionSpec(Model):
    """What is asked for."""

    pool: DnsLabel = "default"
    """The Pool, in the same namespace, of which a cluster is wanted."""
    ttl_seconds: TtlSeconds | None = None
    """How long the session may keep its cluster, from the assignment; the pool's default if left out."""
    priority: Priority = 0
    """Higher is served first; then by age."""
    requested_at: Time | None = None
    """When it was asked for, by the asker's clock: the order within one second of creation."""
    wait_seconds: Count | None = None
    """Seconds after creation for which somebody waits for a cluster; left out, the session waits until it is served."""
    heartbeat_timeout_seconds: HeartbeatTimeout | None = None
    """Seconds without a heartbeat after which the session counts as abandoned; left out, none are expected."""


class SessionStatus(Model):
    """What it has."""

    phase: SessionPhase = SessionPhase.PENDING
    """Pending, Active, Released or Expired."""
    assigned_cluster: Annotated[str, Field(max_length=40)] | None = None
    """The cluster it holds, or held."""
    cluster_lock_time: Time | None = None
    """When it got the cluster."""
    expires_at: Time | None = None
    """When its time ends."""
    last_heartbeat: Time | None = None
    """Last sign of life of its user, where the platform sends one."""
    epoch: Count | None = None
    """The cluster's epoch at the handover; its owner shows it when giving the cluster back."""
    ended_at: Time | None = None
    """When it was released or expired."""
    message: Annotated[str, Field(max_length=4096)] = ""
    """One line for people: its place in the queue, or why it ended."""


class Session(Resource):
    """A learner's claim on one cluster; its name is the session's ID."""

    KIND: ClassVar[str] = "Session"

    spec: SessionSpec = Field(default_factory=SessionSpec)
    status: SessionStatus = Field(default_factory=SessionStatus)

    def set_aside(self) -> Self:
        """Neither waiting nor over, so it is neither served nor forgotten."""
        return self.with_status(phase=SessionPhase.ACTIVE)

    @property
    def phase(self) -> SessionPhase:
        """Shorthand for `status.phase`."""
        return self.status.phase

    @property
    def idempotency_key(self) -> str:
        """The key that it was asked for with, or nothing."""
        return self.metadata.annotations.get(IDEMPOTENCY_KEY, "")


def silence_ends(session: Session) -> datetime | None:
    """When an active session that promised heartbeats counts as abandoned; None: never. The first is its assignment."""
    timeout, status = session.spec.heartbeat_timeout_seconds, session.status
    last = max((at for at in (status.last_heartbeat, status.cluster_lock_time) if at is not None), default=None)
    if session.phase is not SessionPhase.ACTIVE or timeout is None or last is None:
        return None
    return last + timedelta(seconds=timeout)
