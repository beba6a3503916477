"""What a plan consists of: one class an action, each says what it is about and why.

An action that starts work on a cluster carries its `wish`: a text that is the same whoever plans it, for as long as
the cluster is as it was seen. Whoever starts the work gives it as the idempotency key, so the same wish is one run.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pool.core.clusters import OperationKind, PooledCluster
from pool.core.operation_rules import last_failed
from pool.core.sessions import Session


def wish(kind: OperationKind, cluster: PooledCluster) -> str:
    """What tells this wish for an operation from an earlier or later one for the same cluster.

    It changes with each handover, golden generation, reset, failed attempt, outage and silent run; not with health
    checks.
    """
    status = cluster.status
    parts = [cluster.metadata.uid, str(kind), f"epoch {status.epoch}"]
    parts += [f"generation {status.golden.generation}"] if status.golden else []
    parts += [f"reset {status.last_reset.isoformat()}"] if status.last_reset else []
    if status.failure:
        parts.append(f"failure {status.failure.attempts} {last_failed(status.failure).isoformat()}")
    parts += [f"outage {status.outage.count}"] if status.outage else []
    parts += [f"after {status.operation.run_id}"] if status.operation else []
    return ":".join(parts)


@dataclass(frozen=True)
class Expire:
    """End the session: its time is over, or it is silent for longer than it promised."""

    session_id: str
    cluster_id: str


@dataclass(frozen=True)
class EndWaiting:
    """End the session, as read, which waits for a cluster of a pool that is being removed."""

    session_id: str
    session: Session = field(compare=False, repr=False)


@dataclass(frozen=True)
class BindPending:
    """Finish half-done handovers and serve the queue; `reason` says what was found."""

    reason: str


@dataclass(frozen=True)
class ForgetSessions:
    """Remove sessions, as read, that ended long ago or that nobody waits for any more; `left`: how many come later."""

    sessions: tuple[Session, ...]
    left: int = 0

    def __str__(self) -> str:
        later = f", {self.left} more later" if self.left else ""
        return f"ForgetSessions({len(self.sessions)} sessions{later})"


@dataclass(frozen=True)
class OnCluster:
    """Work on one cluster that takes a place among those that go on at once."""

    cluster_id: str
    reason: str = field(default="", kw_only=True)
    wish: str = field(default="", kw_only=True, compare=False, repr=False)


@dataclass(frozen=True)
class Started(OnCluster):
    """Work that is started as a run of its own."""

    @property
    def operation(self) -> OperationKind:
        """What is done to the cluster."""
        return OPERATIONS[type(self)]


@dataclass(frozen=True)
class TakeOver(Started):
    """Its run is silent: run the same kind again, which takes over."""

    kind: OperationKind
    stale_run: str

    @property
    def operation(self) -> OperationKind:
        return self.kind


@dataclass(frozen=True)
class StartReset(Started):
    """Start the cluster's reset. `waiting`: it is out of service until then, and need not be reset once it is not."""

    waiting: bool = True


@dataclass(frozen=True)
class StartBootstrap(Started):
    """Bring up (again) a cluster that is being created and that nobody works on."""


@dataclass(frozen=True)
class StartGolden(Started):
    """Take the golden snapshots of a bootstrapped cluster that has none."""


@dataclass(frozen=True)
class StartRebuild(Started):
    """Make the cluster again from the image: what it is reset to is outdated, or cannot be reset to."""


@dataclass(frozen=True)
class StartTeardown(Started):
    """Carry the removal of a deleted cluster on, whatever came of it so far."""


OPERATIONS: dict[type[Started], OperationKind] = {
    StartReset: OperationKind.RESET,
    StartBootstrap: OperationKind.BOOTSTRAP,
    StartGolden: OperationKind.GOLDEN,
    StartRebuild: OperationKind.REBUILD,
    StartTeardown: OperationKind.TEARDOWN,
}
"""What is done to the cluster, where the action does not say so itself."""


@dataclass(frozen=True)
class CreateMissing(OnCluster):
    """Add the cluster to the pool, and bring it up."""


@dataclass(frozen=True)
class RemoveSurplus(OnCluster):
    """Delete the cluster's resource; its teardown follows from that.

    `version`: the resourceVersion at which it was found idle, it is not deleted at another; empty: at any.
    """

    uid: str = field(default="", compare=False)
    version: str = field(default="", compare=False)


@dataclass(frozen=True)
class CheckHealth:
    """Look at the guest; the result goes to the cluster's conditions."""

    cluster_id: str


@dataclass(frozen=True)
class ReportBroken:
    """A locked cluster is unhealthy: tell the operators; it is the session's until released."""

    cluster_id: str
    session_id: str
    message: str


@dataclass(frozen=True)
class FinishPoolRemoval:
    """The last cluster of a deleted Pool is gone: its images go, then its finalizer."""

    pool: str


OfSessions = Expire | EndWaiting | BindPending | ForgetSessions
Action = OfSessions | OnCluster | CheckHealth | ReportBroken | FinishPoolRemoval
