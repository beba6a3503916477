"""What maintenance has to do: a function of what was observed, nothing else.

The plan is safe to interrupt after any action and to make again: every action looks again before it changes anything,
and what was done shows in the next observation. Maintenance plans and acts until nothing is left, a few rounds at
most. Actions come most urgent first.

Never here: anything to a locked cluster beyond looking at it, anything to a cluster somebody works on and lives, more
than `max_concurrent_operations` clusters out of service, a cluster in `error` (it waits for an operator) but for one
rebuild of one whose resets failed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pool.core.clusters import ConditionType, OperationKind, PooledCluster
from pool.core.lifecycle import ClusterPhase, SessionPhase
from pool.core.operation_rules import last_failed
from pool.core.queue import LONG_AGO, free, patience_ends, queue, repairs, silence_ends
from pool.core.resource import ConditionStatus
from pool.core.sessions import Session
from pool.core.settings import Settings


@dataclass(frozen=True)
class Observed:
    """The pool at one moment; sessions are read before clusters (see pool.core.queue.repairs)."""

    sessions: Sequence[Session]
    clusters: Sequence[PooledCluster]


@dataclass(frozen=True)
class PlanConfig:
    """What the plan goes by. `size` None: neither missing nor surplus clusters are its business."""

    size: int | None = None
    cluster_prefix: str = "cluster"
    max_concurrent_operations: int = 5
    operation_grace: timedelta = timedelta(seconds=60)
    reset_attempts: int = 2
    health_interval: timedelta = timedelta(minutes=5)
    ended_session_age: timedelta = timedelta(days=1)
    queue_grace: timedelta = timedelta(minutes=1)
    min_standby: int = 1
    rebuild_broken: bool = True
    golden_image: str | None = None
    certificate_margin: timedelta = timedelta(days=30)

    @classmethod
    def of(cls, settings: Settings, *, size: int | None = None) -> PlanConfig:
        """The configuration that the settings give."""
        return cls(
            size=size,
            cluster_prefix=settings.cluster_prefix,
            max_concurrent_operations=settings.max_concurrent_operations,
            operation_grace=timedelta(seconds=settings.operation_grace),
            reset_attempts=settings.reset_attempts,
            health_interval=timedelta(seconds=settings.health_interval),
            ended_session_age=timedelta(days=settings.ended_session_days),
            queue_grace=timedelta(seconds=settings.queue_grace),
            min_standby=settings.min_standby,
            rebuild_broken=settings.rebuild_broken,
            golden_image=settings.golden_image,
            certificate_margin=timedelta(days=settings.certificate_margin_days),
        )


@dataclass(frozen=True)
class Expire:
    """End the session: its time is over, or it is silent for longer than it promised."""

    session_id: str
    cluster_id: str


@dataclass(frozen=True)
class BindPending:
    """Finish half-done handovers and serve the queue; `reason` says what was found."""

    reason: str


@dataclass(frozen=True)
class RemoveEndedSession:
    """Remove a session that ended long ago, or one that nobody waits for any more; as read."""

    session: Session
    reason: str


@dataclass(frozen=True)
class MarkError:
    """Its operation is silent and its attempts are used up: take the operation over and fail it for good."""

    cluster_id: str
    kind: OperationKind
    reason: str


@dataclass(frozen=True)
class TakeOver:
    """Its operation is silent past the grace: run the same kind again."""

    cluster_id: str
    kind: OperationKind
    stale_run: str
    epoch: int


@dataclass(frozen=True)
class StartReset:
    """Start the cluster's reset. `waiting`: it is out of service until then, and need not be reset once it is not."""

    cluster_id: str
    epoch: int
    reason: str
    waiting: bool = True


@dataclass(frozen=True)
class StartBootstrap:
    """Bring up (again) a cluster that is being created and that nobody works on."""

    cluster_id: str


@dataclass(frozen=True)
class StartGolden:
    """Take the golden snapshots of a bootstrapped cluster that has none."""

    cluster_id: str


@dataclass(frozen=True)
class CreateMissing:
    """Add the cluster to the pool."""

    cluster_id: str


@dataclass(frozen=True)
class StartRebuild:
    """Make the cluster again from the image: what it is reset to is outdated."""

    cluster_id: str
    reason: str


@dataclass(frozen=True)
class RemoveSurplus:
    """Tear down a cluster above the pool's size."""

    cluster_id: str


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


Start = StartReset | StartBootstrap | StartGolden | CreateMissing | StartRebuild | RemoveSurplus
Action = Expire | BindPending | RemoveEndedSession | MarkError | TakeOver | CheckHealth | ReportBroken | Start


def plan(
    observed: Observed, config: PlanConfig, now: datetime, under_way: Collection[str] = frozenset()
) -> list[Action]:
    """Everything that is to be done now, most urgent first.

    `under_way`: clusters for which work was started that may not show yet; nothing else is started for them, and they
    count among those out of service.
    """
    clusters = sorted(observed.clusters, key=_oldest)
    wanted: list[Start] = [*_needed(clusters, config), *_optional(clusters, config, now)]
    starts = [start for start in wanted if start.cluster_id not in under_way]
    busy = len({cluster.name for cluster in clusters if cluster.status.operation is not None}.union(under_way))
    return [
        *expired(observed.sessions, clusters, now),
        *_queue(observed, config, now),
        *_stuck(clusters, config, now),
        *starts[: max(0, config.max_concurrent_operations - busy)],
        *_health(clusters, config, now),
        *_leftovers(observed.sessions, config, now),
    ]


def expired(sessions: Sequence[Session], clusters: Sequence[PooledCluster], now: datetime) -> Iterator[Expire]:
    """The sessions to end now."""
    silent = {one.name for one in sessions if (end := silence_ends(one)) is not None and end <= now}
    for cluster in clusters:
        name, end = cluster.status.assigned_session, cluster.status.expires_at
        if name is not None and ((end is not None and end <= now) or name in silent):
            yield Expire(name, cluster.name)


def _queue(observed: Observed, config: PlanConfig, now: datetime) -> Iterator[BindPending]:
    half_done = repairs(observed.sessions, observed.clusters)
    waiting = queue(observed.sessions, now, config.queue_grace)
    if half_done:
        yield BindPending(f"{len(half_done)} half-done handovers")
    elif waiting and free(observed.clusters):
        yield BindPending(f"{len(waiting)} sessions wait, {len(free(observed.clusters))} clusters are free")


def _stuck(clusters: Sequence[PooledCluster], config: PlanConfig, now: datetime) -> Iterator[TakeOver | MarkError]:
    for cluster in clusters:
        operation = cluster.status.operation
        if operation is None or now - operation.heartbeat_at < config.operation_grace:
            continue
        if operation.attempt < config.reset_attempts or operation.kind is OperationKind.TEARDOWN:
            yield TakeOver(cluster.name, operation.kind, operation.run_id, cluster.status.epoch)
        else:
            silent = f"{operation.kind} of run {operation.run_id} fell silent in attempt {operation.attempt}"
            yield MarkError(cluster.name, operation.kind, silent)


def _needed(clusters: Sequence[PooledCluster], config: PlanConfig) -> Iterator[Start]:
    """Clusters that are of no use until something is done: to be reset, to be made, broken while idle."""
    idle = [cluster for cluster in clusters if cluster.status.operation is None and not _surplus(cluster, config)]
    sick = _to_repair(clusters)
    for cluster in idle:
        if cluster.phase is ClusterPhase.RESETTING:
            yield StartReset(cluster.name, cluster.status.epoch, "waits for its reset")
        elif cluster.name in sick:
            yield StartReset(
                cluster.name, cluster.status.epoch, f"unhealthy while idle: {_broken(cluster)}", waiting=False
            )
    for cluster in idle:
        if cluster.phase is ClusterPhase.CREATING:
            ready = cluster.status.condition(ConditionType.VMS_READY)
            booted = ready is not None and ready.status is ConditionStatus.TRUE
            if cluster.status.rebuilding:
                yield StartRebuild(cluster.name, "its rebuild was not finished")
            else:
                yield StartGolden(cluster.name) if booted else StartBootstrap(cluster.name)
    broken = to_rebuild(clusters) if config.rebuild_broken else None
    if broken is not None and not _surplus(broken, config):
        yield StartRebuild(broken.name, f"its resets failed: {broken.status.failure and broken.status.failure.message}")
    present = {cluster.name for cluster in clusters}
    for number in range(1, (config.size or 0) + 1):
        if f"{config.cluster_prefix}{number}" not in present:
            yield CreateMissing(f"{config.cluster_prefix}{number}")


def to_rebuild(clusters: Sequence[PooledCluster]) -> PooledCluster | None:
    """The cluster in `error` to make anew from the image: one whose resets failed, never one whose rebuild did.

    One at a time, and none while another's rebuild is unfinished or failed: what breaks every reset (storage that is
    down, say) would break the rebuilds too, and a rebuild throws the golden snapshots away. The one that went to
    `error` first, so that those that follow do not change whose turn it is while its rebuild has not begun.
    """
    if any(cluster.status.rebuilding for cluster in clusters):
        return None
    broken = [
        (last_failed(cluster.status.failure), cluster.name, cluster)
        for cluster in clusters
        if cluster.phase is ClusterPhase.ERROR and cluster.status.golden is not None and cluster.status.failure
    ]
    return min(broken)[-1] if broken else None


def _to_repair(clusters: Sequence[PooledCluster]) -> list[str]:
    """Idle clusters whose guest is unhealthy.

    When most guests look ill at once it is probably our own way to them, and resets would fail like the looks, one
    cluster after the other into `error`. Then a single one is tried, and no other until that one is available again.
    """
    looked_at = [c for c in clusters if c.phase in (ClusterPhase.AVAILABLE, ClusterPhase.LOCKED)]
    ill = [cluster for cluster in looked_at if _broken(cluster)]
    idle = [c.name for c in ill if c.phase is ClusterPhase.AVAILABLE and c.status.operation is None]
    if len(ill) < 2 or 2 * len(ill) <= len(looked_at):
        return idle
    tried = any(c.phase in (ClusterPhase.RESETTING, ClusterPhase.ERROR) for c in clusters)
    return [] if tried else idle[:1]


def _optional(
    clusters: Sequence[PooledCluster], config: PlanConfig, now: datetime
) -> Iterator[StartRebuild | RemoveSurplus]:
    """What can wait: clusters above the size, then outdated ones, oldest first, never while the pool is short."""
    for cluster in clusters:
        if _surplus(cluster, config) and not cluster.status.operation and not cluster.status.assigned_session:
            yield RemoveSurplus(cluster.name)
    healthy = [cluster for cluster in free(clusters) if not _broken(cluster) and not _surplus(cluster, config)]
    spare = len(healthy) - config.min_standby
    outdated = [(cluster, reason) for cluster in healthy if (reason := _outdated(cluster, config, now))]
    outdated.sort(key=lambda pair: (pair[0].status.golden.taken_at if pair[0].status.golden else now, pair[0].name))
    for cluster, reason in outdated[: max(0, spare)]:
        yield StartRebuild(cluster.name, reason)


def _surplus(cluster: PooledCluster, config: PlanConfig) -> bool:
    number = re.fullmatch(rf"{re.escape(config.cluster_prefix)}([1-9][0-9]*)", cluster.name)
    return config.size is not None and number is not None and int(number[1]) > config.size


def _outdated(cluster: PooledCluster, config: PlanConfig, now: datetime) -> str:
    golden = cluster.status.golden
    if golden is None:
        return ""
    if golden.certificates_expire_at is not None and golden.certificates_expire_at - now < config.certificate_margin:
        return f"its golden certificates end on {golden.certificates_expire_at:%Y-%m-%d}"
    if config.golden_image is not None and golden.image not in (None, config.golden_image):
        return f"it was made from {golden.image}"
    return ""


def _health(
    clusters: Sequence[PooledCluster], config: PlanConfig, now: datetime
) -> Iterator[CheckHealth | ReportBroken]:
    for cluster in clusters:
        if cluster.phase not in (ClusterPhase.AVAILABLE, ClusterPhase.LOCKED):
            continue
        checked = cluster.status.last_health_check
        if checked is None or now - checked >= config.health_interval:
            yield CheckHealth(cluster.name)
        if cluster.phase is ClusterPhase.LOCKED and (broken := _broken(cluster)):
            yield ReportBroken(cluster.name, cluster.status.assigned_session or "", broken)


def _broken(cluster: PooledCluster) -> str:
    condition = cluster.status.condition(ConditionType.GUEST_HEALTHY)
    if condition is None or condition.status is not ConditionStatus.FALSE:
        return ""
    return condition.message or condition.reason


def _leftovers(sessions: Sequence[Session], config: PlanConfig, now: datetime) -> Iterator[RemoveEndedSession]:
    for session in sessions:
        ended = session.status.ended_at or session.metadata.creation_timestamp
        if session.phase.ended and ended is not None and now - ended >= config.ended_session_age:
            yield RemoveEndedSession(session, f"ended on {ended:%Y-%m-%d %H:%M}")
        patience = patience_ends(session, config.queue_grace)
        if session.phase is SessionPhase.PENDING and patience is not None and patience <= now:
            yield RemoveEndedSession(session, "nobody waits for it any more")


def _oldest(cluster: PooledCluster) -> tuple[datetime, str]:
    return cluster.status.last_reset or LONG_AGO, cluster.name
