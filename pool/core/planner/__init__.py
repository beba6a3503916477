"""What maintenance has to do for one Pool: a function of what was observed, nothing else.

The plan is safe to interrupt after any action and to make again: every action looks again before it changes anything,
and what was done shows in the next observation. Maintenance plans and acts until nothing is left, a few rounds at
most. Actions come most urgent first.

Never here: anything to a locked cluster beyond looking at it; anything to a cluster somebody works on and lives;
anything started on a cordoned cluster, unless it was deleted; work on more than `maxConcurrentOperations` clusters at
once. Work that others started counts there too. Only the resets that follow a release or an expiry are not held up by
that number: a learner waits for them, and what was given back is out of service anyway.

    actions      what a plan consists of
    observed     what it is made from
    of_sessions  ends, the queue, forgetting
    needed       stuck, waiting, ill, half made, broken and missing clusters
    removals     surplus and deleted clusters, a deleted Pool
    replacements outdated images and certificates
    prompting    what of a plan need not wait for its turn
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime

from pool.core.clusters import OperationKind, PooledCluster
from pool.core.lifecycle import ClusterPhase
from pool.core.planner.actions import Action, CheckHealth, OnCluster, ReportBroken, Started
from pool.core.planner.needed import ailing, broken, half_made, missing, taken_over, to_rebuild, waiting
from pool.core.planner.observed import Observed, PlanConfig, ill
from pool.core.planner.of_sessions import expired, forgotten, served
from pool.core.planner.removals import finished, surplus, torn_down, with_their_pool
from pool.core.planner.replacements import replaced
from pool.core.pools import Pool


def plan(
    observed: Observed, config: PlanConfig, now: datetime, under_way: Collection[str] = frozenset()
) -> list[Action]:
    """Everything that is to be done for the pool now, most urgent first.

    `under_way`: clusters for which work was started that may not show yet; nothing else is started for them, and they
    count among those that are worked on.
    """
    at_once, starts = _work(observed, config, now, under_way)
    return [
        *expired(observed.sessions, observed.clusters, now),
        *served(observed, config, now),
        *at_once,
        *_within_bound(starts, observed, under_way),
        *_looks(observed, config, now),
        *forgotten(observed, config, now),
    ]


def _work(
    observed: Observed, config: PlanConfig, now: datetime, under_way: Collection[str]
) -> tuple[list[Action], list[OnCluster]]:
    """What is done at once, and the work that takes a place among what goes on at once; each most urgent first."""
    if observed.pool.removing:
        return [*with_their_pool(observed), *finished(observed)], [*torn_down(observed, now)]
    # To delete is to write a wish down: no work yet, and it does not wait for work that never begins.
    return [*surplus(observed)], [
        *taken_over(observed),
        *waiting(observed, now),
        *ailing(observed, now, under_way),
        *torn_down(observed, now),
        *half_made(observed),
        *broken(observed),
        *missing(observed),
        *replaced(observed, config, now, under_way),
    ]


def returned(pool: Pool, cluster: PooledCluster, now: datetime, silent: Collection[str]) -> OnCluster | None:
    """What a cluster needs whose session has just ended: its reset, or what comes instead of it.

    At once: a learner waits for it, so the number of those that are worked on does not hold it up.
    """
    alone = Observed(pool, [], [cluster], silent)
    needs: list[OnCluster] = [*torn_down(alone, now)]
    needs += with_their_pool(alone) if pool.removing else [*surplus(alone), *waiting(alone, now)]
    return needs[0] if needs else None


def resets(observed: Observed, now: datetime) -> list[Started]:
    """The resets that clusters out of service wait for and that nobody is at, however many others are worked on."""
    if observed.pool.removing:
        return []
    due: list[Started] = [*taken_over(observed), *waiting(observed, now)]
    return [action for action in due if action.operation is OperationKind.RESET]


def _within_bound(starts: Iterable[OnCluster], observed: Observed, under_way: Collection[str]) -> list[OnCluster]:
    """As many of the starts as clusters may be worked on at once."""
    busy = {cluster.name for cluster in observed.clusters if observed.live(cluster)}.union(under_way)
    fresh = [start for start in starts if start.cluster_id not in under_way]
    return fresh[: max(0, observed.pool.spec.max_concurrent_operations - len(busy))]


def _looks(observed: Observed, config: PlanConfig, now: datetime) -> Iterator[CheckHealth | ReportBroken]:
    """The guests to look at, cordoned ones too, and what is known of the locked ones that are ill."""
    for cluster in observed.clusters:
        held = cluster.phase is ClusterPhase.LOCKED
        if not held and (cluster.phase is not ClusterPhase.AVAILABLE or cluster.removing):
            continue
        checked = cluster.status.last_health_check
        if checked is None or now - checked >= config.health_interval:
            yield CheckHealth(cluster.name)
        if held and (message := ill(cluster)):
            yield ReportBroken(cluster.name, cluster.status.assigned_session or "", message)


__all__ = ["Observed", "PlanConfig", "plan", "resets", "returned", "to_rebuild"]
