"""The phases of clusters and sessions, and the only ways from one to another.

`TRANSITIONS` is the whole truth about a cluster's life: a pair that is not in it raises `IllegalTransition`.
"""

from __future__ import annotations

from enum import StrEnum

from pool.core.errors import IllegalTransition


class ClusterPhase(StrEnum):
    """Where a cluster is in its life: the five states that the platform knows."""

    CREATING = "creating"
    """Bootstrap in progress."""
    AVAILABLE = "available"
    """Attested clean and healthy, ready for assignment."""
    LOCKED = "locked"
    """Assigned to a session."""
    RESETTING = "resetting"
    """Being restored from its golden snapshots, or waiting for that."""
    ERROR = "error"
    """Needs manual intervention; `status.failure` says why."""


class SessionPhase(StrEnum):
    """Where a session is: waiting, holding a cluster, or over."""

    PENDING = "Pending"
    """Waits in the queue; `status.message` says at which place."""
    ACTIVE = "Active"
    """Holds `status.assignedCluster` until `status.expiresAt`."""
    RELEASED = "Released"
    """Given back by its owner, or its cluster was taken from it; `status.message` says which."""
    EXPIRED = "Expired"
    """Its time to live ran out."""

    @property
    def ended(self) -> bool:
        """Whether the session is over; its ID may be used for a new one."""
        return self in (SessionPhase.RELEASED, SessionPhase.EXPIRED)


_C = ClusterPhase

TRANSITIONS: dict[tuple[ClusterPhase, ClusterPhase], str] = {
    (_C.CREATING, _C.AVAILABLE): "bootstrapped, golden snapshots taken, healthy",
    (_C.AVAILABLE, _C.LOCKED): "assigned to a session",
    (_C.LOCKED, _C.RESETTING): "released, expired, a surplus lock, or reset in place",
    (_C.AVAILABLE, _C.RESETTING): "unhealthy while idle, or asked for",
    (_C.RESETTING, _C.AVAILABLE): "restored and attested healthy",
    (_C.RESETTING, _C.LOCKED): "reset in place, the session keeps it",
    (_C.CREATING, _C.ERROR): "attempts used up while bootstrapping",
    (_C.RESETTING, _C.ERROR): "attempts used up while resetting",
    (_C.ERROR, _C.RESETTING): "repair",
    (_C.ERROR, _C.CREATING): "rebuild from the image",
    (_C.AVAILABLE, _C.CREATING): "rebuild from the image, asked for",
    (_C.RESETTING, _C.CREATING): "rebuild from the image, its golden generation has ended",
}
"""Every legal change of a cluster's phase and its reason. Staying in a phase is no transition."""


def check_transition(actual: ClusterPhase, to: ClusterPhase, *, cluster: str = "cluster") -> str:
    """The reason of the edge `actual -> to`.

    Raises IllegalTransition (expected: the phases that lead to `to`; actual: where the cluster is) if there is none.
    """
    reason = TRANSITIONS.get((actual, to))
    if reason is None:
        sources = [str(a) for a, b in TRANSITIONS if b == to]
        raise IllegalTransition(
            f"{cluster} cannot become {to}",
            expected=" or ".join(sources),
            actual=actual,
            cure=f"look at its phase and operation (kubectl describe pcl {cluster}) and ask for what fits it",
        )
    return reason
