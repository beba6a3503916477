"""What is said of a Pool: its counts and conditions, from its clusters and sessions.

Ready        True  AllMade         every cluster that is wanted was made, none is broken; resets go on all the time
             False BeingRemoved, PrefixTaken, ImportFailed, ClustersBroken, ClustersMissing
Progressing  True  BeingRemoved, Making, Removing, Replacing
             False AsWanted, or what it is stopped by: PrefixTaken
Degraded     True  PrefixTaken, ImportFailed, ClustersBroken: it does not get on without somebody
             False NothingBroken
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from pool.core.clusters import POOL_LABEL, PooledCluster
from pool.core.image_sources import outdated
from pool.core.lifecycle import ClusterPhase, SessionPhase
from pool.core.planner.observed import Observed
from pool.core.pools import Pool, PoolCondition, PoolConditionType, PoolStatus
from pool.core.resource import ConditionStatus
from pool.core.sessions import Session

PREFIX_TAKEN = "PrefixTaken"
"""Reason of a pool for which nothing is made: its prefix is another's."""

IMPORT_FAILED = "ImportFailed"
"""Reason of the failure of a cluster whose image cannot be imported."""

NAMED = 10
"""Clusters that a condition names; it says how many more there are."""

Said = tuple[bool, str, str]
"""A condition: whether it is so, the reason in one word, the evidence."""


@dataclass(frozen=True)
class _Looked:
    """A pool's clusters by what the conditions are about."""

    pool: Pool
    prefix_taken: str
    broken: list[PooledCluster]
    not_imported: str
    unmade: list[str]
    making: list[PooledCluster]
    removed: list[PooledCluster]
    above: list[PooledCluster]
    outdated: list[PooledCluster]
    wanted: Counter[ClusterPhase]


def status_of(
    pool: Pool,
    clusters: Iterable[PooledCluster],
    sessions: Iterable[Session],
    now: datetime,
    *,
    prefix_taken: str = "",
    not_imported: str = "",
) -> PoolStatus:
    """The Pool's status as it is to be written; equal to the one it has when nothing changed.

    `prefix_taken`: who has the pool's prefix, in words, if it is not its own. `not_imported`: why its image cannot be
    imported, if that is known; a cluster may have failed of it too.
    """
    observed = Observed.of(pool, sessions, clusters)
    found = _look(observed, prefix_taken, not_imported)
    said = {
        PoolConditionType.DEGRADED: _degraded(found),
        PoolConditionType.PROGRESSING: _progressing(found),
        PoolConditionType.READY: _ready(found),
    }
    phases = Counter(cluster.phase for cluster in observed.clusters)
    return pool.status.changed(
        observed_generation=pool.metadata.generation,
        replicas=len(observed.clusters),
        selector=f"{POOL_LABEL}={pool.name}",
        **{str(phase): phases[phase] for phase in ClusterPhase},
        removing=sum(cluster.removing for cluster in observed.clusters),
        waiting=sum(session.phase is SessionPhase.PENDING for session in observed.sessions),
        conditions=[_condition(pool, kind, one, now) for kind, one in said.items()],
    )


def _look(observed: Observed, prefix_taken: str, not_imported: str) -> _Looked:
    pool, clusters = observed.pool, sorted(observed.clusters, key=lambda one: (len(one.name), one.name))
    staying = [cluster for cluster in clusters if not cluster.removing]
    wanted = [cluster for cluster in staying if not observed.surplus(cluster)]
    present = {cluster.name for cluster in staying}
    names = [pool.cluster_name(number) for number in range(1, pool.spec.size + 1)]
    failures = [cluster.status.failure for cluster in wanted if cluster.status.failure is not None]
    failed_imports = [failure.message for failure in failures if failure.reason == IMPORT_FAILED]
    return _Looked(
        pool=pool,
        prefix_taken=prefix_taken,
        broken=[cluster for cluster in staying if cluster.phase is ClusterPhase.ERROR],
        not_imported=not_imported or next(iter(failed_imports), ""),
        unmade=[name for name in names if name not in present],
        making=[cluster for cluster in wanted if cluster.phase is ClusterPhase.CREATING],
        removed=[cluster for cluster in clusters if cluster.removing],
        # Cordoned ones are left as they are.
        above=[cluster for cluster in staying if observed.surplus(cluster) and not cluster.spec.cordoned],
        outdated=[
            cluster
            for cluster in wanted
            if cluster.status.image and outdated(cluster.status.image, pool.spec.image) and not cluster.spec.cordoned
        ],
        wanted=Counter(cluster.phase for cluster in wanted),
    )


def _degraded(found: _Looked) -> Said:
    if found.prefix_taken:
        return True, PREFIX_TAKEN, found.prefix_taken
    if found.not_imported:
        return True, IMPORT_FAILED, found.not_imported
    if found.broken:
        return True, "ClustersBroken", _listed(found.broken, _why_broken, "; ")
    return False, "NothingBroken", ""


def _why_broken(cluster: PooledCluster) -> str:
    failure = cluster.status.failure
    return f"{cluster.name}: {failure.reason}: {failure.message}" if failure else f"{cluster.name} is in error"


def _progressing(found: _Looked) -> Said:
    if found.pool.removing:
        return True, "BeingRemoved", _left(found)
    if found.prefix_taken:
        return False, PREFIX_TAKEN, found.prefix_taken
    if found.making or found.unmade:
        waits = [f"{len(found.unmade)} more to be made"] if found.unmade else []
        being = [f"{_listed(found.making)} being made"] if found.making else []
        return True, "Making", ", ".join([*being, *waits])
    if found.removed or found.above:
        return True, "Removing", _leaving(found)
    if found.outdated:
        return True, "Replacing", _replacing(found)
    return False, "AsWanted", ""


def _replacing(found: _Looked) -> str:
    spec = found.pool.spec
    when = f", while {spec.min_standby} others stand by" if spec.min_standby else ""
    return f"{_listed(found.outdated)} to be made anew from {spec.image.url}, one by one{when}"


def _ready(found: _Looked) -> Said:
    if found.pool.removing:
        return False, "BeingRemoved", _left(found)
    degraded, reason, message = _degraded(found)
    if degraded:
        return False, reason, message
    size = found.pool.spec.size
    made = sum(found.wanted[phase] for phase in (ClusterPhase.AVAILABLE, ClusterPhase.LOCKED, ClusterPhase.RESETTING))
    if found.unmade or found.making:
        return False, "ClustersMissing", f"{made} of {size} clusters are made"
    counts = ", ".join(f"{found.wanted[phase]} {phase}" for phase in ClusterPhase if found.wanted[phase])
    return True, "AllMade", f"{made} of {size} clusters are made" + (f": {counts}" if counts else "")


def _left(found: _Looked) -> str:
    remaining = [*found.removed, *found.above, *found.broken, *found.making]
    return f"still there: {_listed(remaining)}" if remaining else "its clusters are gone"


def _leaving(found: _Looked) -> str:
    held = [cluster for cluster in (*found.removed, *found.above) if cluster.status.assigned_session]
    going = [cluster for cluster in (*found.removed, *found.above) if not cluster.status.assigned_session]
    words = [f"{_listed(going)} being removed"] if going else []
    words += [f"{_listed(held)} when the session has ended"] if held else []
    return ", ".join(words)


def _listed(
    clusters: Sequence[PooledCluster], said: Callable[[PooledCluster], str] = lambda one: one.name, comma: str = ", "
) -> str:
    more = f"{comma}and {len(clusters) - NAMED} more" if len(clusters) > NAMED else ""
    return comma.join(said(cluster) for cluster in clusters[:NAMED]) + more


def _condition(pool: Pool, kind: PoolConditionType, said: Said, now: datetime) -> PoolCondition:
    true, reason, message = said
    status = ConditionStatus.TRUE if true else ConditionStatus.FALSE
    before = pool.status.condition(kind)
    same = before is not None and before.status is status
    return PoolCondition(
        type=kind,
        status=status,
        reason=reason,
        message=message[:4096],
        observed_generation=pool.metadata.generation,
        last_transition_time=before.last_transition_time if before is not None and same else now,
    )
