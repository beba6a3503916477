"""The JSON of sessions: what is asked for, and how one is told."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

from pydantic import Field, model_validator

from gateway.models import Asked
from pool.core.contract import SessionLease
from pool.core.fields import HeartbeatTimeout, Model, PoolName, Priority, SessionId, Time, TtlSeconds
from pool.core.queue import Place
from pool.core.sessions import Session

MOST_WAIT = 3600
"""Seconds for which somebody may wait without asking again."""
MOST_EXTENSION = 86400
"""Seconds that are asked for at once; the Pool's own maximum cuts it anyway."""


class SessionRequest(Asked):
    """A cluster is wanted for a session."""

    session_id: Annotated[SessionId, Field(examples=["alice-7f3a"])]
    """The session's ID, chosen by the caller: a DNS name. Asked for again, it has the same cluster."""
    pool: Annotated[PoolName | None, Field(examples=["default"])] = None
    """Of which Pool; the token's own, or `default`, if left out."""
    ttl_seconds: Annotated[TtlSeconds | None, Field(examples=[3600])] = None
    """Seconds that it may keep the cluster, cut to the Pool's maximum; the Pool's default if left out."""
    priority: Priority = 0
    """Who has more is served first; then by age. -100 to 100."""
    wait_seconds: Annotated[int, Field(ge=0, le=MOST_WAIT, examples=[120])] = 0
    """Seconds that somebody waits for a cluster if none is free: the session is queued so long, and a minute more."""
    heartbeat_timeout_seconds: HeartbeatTimeout | None = None
    """Seconds without a heartbeat after which the session ends; none are expected if left out."""


class SessionPatch(Asked):
    """What changes about a session; at least one of them."""

    extend_seconds: Annotated[int | None, Field(ge=1, le=MOST_EXTENSION, examples=[1800])] = None
    """Seconds to add to its end, cut to the Pool's maximum. It is a heartbeat, too."""
    heartbeat: Annotated[bool, Field(examples=[True])] = False
    """Its user is there."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.extend_seconds is None and not self.heartbeat:
            raise ValueError("expected extendSeconds, or heartbeat: true")
        return self


def _absent(value: object) -> bool:
    return value is None


class SessionView(SessionLease):
    """A session, as the platform knows it."""

    pool: str
    """The Pool whose cluster it has, had or waits for."""
    place: int | None = Field(default=None, exclude_if=_absent)
    """Its place in the queue, from 1; left out of one that does not wait, or lost its place."""
    queue_length: int | None = Field(default=None, exclude_if=_absent)
    """How many wait for that Pool."""
    expected_at: Time | None = Field(default=None, exclude_if=_absent)
    """When the next cluster of the Pool is expected, where that is known; the first in the queue gets it."""
    heartbeat_timeout_seconds: int | None = Field(default=None, exclude_if=_absent)
    """Seconds without a heartbeat after which it ends."""
    last_heartbeat: Time | None = Field(default=None, exclude_if=_absent)
    """When its user was heard of last."""

    @classmethod
    def told(cls, session: Session, place: Place | None = None, expected: datetime | None = None) -> Self:
        """The session, and where it stands in the queue if it waits."""
        lease = SessionLease.of(session).model_dump()
        return cls.model_validate(
            lease
            | {
                "pool": session.spec.pool,
                "place": place.number if place else None,
                "queue_length": place.length if place else None,
                "expected_at": expected,
                "heartbeat_timeout_seconds": session.spec.heartbeat_timeout_seconds,
                "last_heartbeat": session.status.last_heartbeat,
            }
        )


class PatchedSession(SessionView):
    """A session that was extended or heard of."""

    cut: bool | None = Field(default=None, exclude_if=_absent)
    """Whether the extension was cut to the Pool's maximum."""


class ReleasedSession(Model):
    """What a session gave back."""

    session_id: str = Field(examples=["alice-7f3a"])
    cluster_id: str | None = Field(examples=["cluster1"])
    """The cluster that waits for its reset now; null if it held none, or the reset has begun."""
    epoch: int | None = Field(examples=[4])
    """The epoch at which it held it."""
    removing: bool = False
    """The cluster is on its way out, and not reset."""
