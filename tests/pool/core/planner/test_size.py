"""How a pool grows to its size, shrinks to it, and goes away.

above the size, nobody holds it       deleted, from the top
above the size, held                  left; deleted instead of reset when its session has ended
above the size, worked on             left until the work has ended or fell silent
above the size, cordoned              left
deleted, nobody holds it              torn down, again and again, whatever its phase
deleted, held or worked on            left until that has ended
deleted a moment ago and failed       torn down after a pause that grows
the Pool deleted                      all its clusters deleted, then its finalizer goes
"""

from __future__ import annotations

import pytest

from pool.core.clusters import Failure, Operation, PooledCluster
from pool.core.planner import returned
from pool.core.planner.actions import (
    CreateMissing,
    FinishPoolRemoval,
    OnCluster,
    RemoveSurplus,
    StartBootstrap,
    StartRebuild,
    StartReset,
    StartTeardown,
    TakeOver,
)
from pool.core.pools import Pool
from tests.pool.builders import active, at, cluster, golden, operation, pool, unhealthy
from tests.pool.core.planner.planning import DAY, of_kind, planned, silent


def test_missing_clusters_are_made_up_to_the_size() -> None:
    actions = planned([cluster("c2")], size=3)
    reason = "the pool's size is 3"
    assert actions == [CreateMissing("c1", reason=reason), CreateMissing("c3", reason=reason)]


def test_not_more_are_made_at_once_than_may_be_worked_on() -> None:
    making = cluster("c1", "creating", operation=operation("bootstrap", beat=60))
    assert of_kind(CreateMissing, planned([making], size=100, max_concurrent_operations=4)) == ["c2", "c3", "c4"]


def test_a_deleted_cluster_within_the_size_is_made_anew_once_it_is_gone() -> None:
    assert planned([cluster("c1"), cluster("c2", removing=True)]) == [StartTeardown("c2", reason="was deleted")]
    assert of_kind(CreateMissing, planned([cluster("c1")], size=2)) == ["c2"]


def test_a_smaller_pool_never_touches_locked_or_busy_clusters_or_those_not_named_by_number() -> None:
    clusters = [
        cluster("c1"),
        cluster("c2", "locked", assigned_session="s"),
        cluster("c3"),
        cluster("c4", "resetting", operation=operation(beat=60)),
        cluster("lab-a"),
        cluster("c01"),
        cluster("c5", cordoned=True),
    ]
    actions = planned(clusters, [active("s", "c2")], size=1)
    assert actions == [RemoveSurplus("c3", reason="the pool's size is 1")]


def test_it_shrinks_from_the_top() -> None:
    clusters = [cluster(f"c{n}") for n in (1, 2, 3, 10, 11)]
    assert of_kind(RemoveSurplus, planned(clusters, size=1)) == ["c11", "c10", "c3", "c2"]


@pytest.mark.parametrize(
    "above",
    [
        cluster("c2", "resetting"),
        cluster("c2", "resetting", operation=operation()),
        cluster("c2", "resetting", operation=operation(attempt=2)),
        cluster("c2", "creating"),
        cluster("c2", "creating", rebuilding=True),
        cluster("c2", "error", golden=golden(), failure=Failure(reason="Lost", message="", since=at(0))),
        cluster("c2", conditions=[unhealthy()]),
        cluster("c2", golden=golden(certificates_expire_at=at(-1))),
    ],
    ids=lambda found: f"{found.phase}",
)
def test_what_is_above_the_size_is_deleted_instead_of_being_worked_on(above: PooledCluster) -> None:
    assert planned([cluster("c1"), above], size=1) == [RemoveSurplus("c2", reason="the pool's size is 1")]


@pytest.mark.parametrize("work", [None, operation()], ids=["failed", "silent"])
def test_above_the_size_a_reset_in_place_is_carried_on_for_its_session(work: Operation | None) -> None:
    given = {"assigned_session": "s", "epoch": 1, "expires_at": at(3600)}
    held = cluster("c2", "resetting", operation=work, **given)
    (action,) = planned([cluster("c1"), held], [active("s", "c2")], size=1)
    assert isinstance(action, TakeOver if work else StartReset)


def test_it_is_deleted_only_as_it_was_seen() -> None:
    (action,) = planned([cluster("c1"), cluster("c2")], size=1)
    assert isinstance(action, RemoveSurplus)
    assert (action.uid, action.version) == ("uid-c2", "1")


@pytest.mark.parametrize("phase", ["creating", "available", "resetting", "error"])
@pytest.mark.parametrize("cordoned", [False, True])
@pytest.mark.parametrize("size", [1, 2])
def test_a_deleted_cluster_is_torn_down_and_nothing_else(phase: str, cordoned: bool, size: int) -> None:
    gone = cluster("c2", phase, removing=True, cordoned=cordoned, conditions=[unhealthy()], last_health_check=None)
    assert planned([cluster("c1"), gone], size=size) == [StartTeardown("c2", reason="was deleted")]


@pytest.mark.parametrize("kind", ["teardown", "reset", "rebuild"])
@pytest.mark.parametrize("attempt", [1, 2, 7])
def test_it_waits_for_work_that_goes_on_and_takes_silent_work_over(kind: str, attempt: int) -> None:
    gone = cluster("c1", "resetting", removing=True, operation=operation(kind, beat=0, attempt=attempt))
    assert planned([gone], now=59) == []
    assert planned([gone], now=60) == [StartTeardown("c1", reason="was deleted")]


def test_it_waits_for_its_session() -> None:
    gone = cluster("c1", "locked", assigned_session="s", removing=True)
    assert planned([gone], [active("s", "c1")]) == []


@pytest.mark.parametrize(("attempts", "pause"), [(1, 60), (2, 120), (3, 240), (9, 900), (1000, 900)])
def test_a_teardown_that_failed_is_tried_again_after_a_pause(attempts: int, pause: float) -> None:
    failure = Failure(reason="WaitTimeout", message="", since=at(-DAY), last_time=at(0), attempts=attempts)
    gone = cluster("c1", "error", removing=True, failure=failure)
    assert planned([gone], now=pause - 1) == []
    assert planned([gone], now=pause) == [StartTeardown("c1", reason="was deleted")]


def test_teardowns_count_among_what_is_worked_on() -> None:
    gone = [cluster(f"c{n}", removing=True) for n in range(1, 9)]
    assert of_kind(StartTeardown, planned(gone, max_concurrent_operations=3)) == ["c1", "c2", "c3"]


def test_surplus_clusters_are_deleted_whatever_else_waits_for_its_turn() -> None:
    unmade = [cluster(f"c{n}", "creating") for n in (1, 2)]
    above = [cluster(f"c{n}") for n in (3, 4, 5)]
    actions = planned([*unmade, *above], size=2, max_concurrent_operations=2)
    assert of_kind(RemoveSurplus, actions) == ["c5", "c4", "c3"]
    assert of_kind(StartBootstrap, actions) == ["c1", "c2"]


def test_a_cluster_whose_session_ended_is_removed_instead_of_being_reset_if_it_is_to_go() -> None:
    def needs(found: PooledCluster, of: Pool) -> OnCluster | None:
        return returned(of, found, at(60), silent([found], at(60)))

    wanted, gone = pool(cluster_prefix="c", size=2), pool(cluster_prefix="c", size=2, removing=True)
    for name, removing, of, kind in (
        ("c2", False, wanted, StartReset),
        ("c3", False, wanted, RemoveSurplus),
        ("c2", True, wanted, StartTeardown),
        ("c3", True, wanted, StartTeardown),
        ("c1", False, gone, RemoveSurplus),
        ("c1", True, gone, StartTeardown),
    ):
        assert isinstance(needs(cluster(name, "resetting", removing=removing), of), kind)
    ended = cluster("c1", "resetting", golden=golden(certificates_expire_at=at(0)))
    assert isinstance(needs(ended, wanted), StartRebuild)
    assert needs(cluster("c1", "resetting", cordoned=True), wanted) is None
    assert needs(cluster("c1", "resetting", operation=operation(beat=60)), wanted) is None
    assert needs(cluster("c1"), wanted) is None, "it was reset already"


class TestADeletedPool:
    gone = pool(removing=True, cluster_prefix="c", size=3, max_concurrent_operations=1)

    def test_deletes_all_its_clusters_and_starts_nothing_else(self) -> None:
        clusters = [
            cluster("c1", "resetting"),
            cluster("c2", "locked", assigned_session="s"),
            cluster("c5", cordoned=True),
            cluster("lab-a", "error"),
            cluster("c4", removing=True),
        ]
        actions = planned(clusters, [active("s", "c2")], of=self.gone)
        assert of_kind(RemoveSurplus, actions) == ["c1", "c2", "c5", "lab-a"]
        assert of_kind(StartTeardown, actions) == ["c4"]
        assert len(actions) == 5

    def test_waits_for_the_last_of_them(self) -> None:
        held = cluster("c2", "locked", assigned_session="s", removing=True)
        assert planned([held], [active("s", "c2")], of=self.gone) == []

    def test_ends_when_none_is_left(self) -> None:
        assert planned([], of=self.gone) == [FinishPoolRemoval("default")]

    def test_leaves_others_finalizers_to_them(self) -> None:
        theirs = self.gone.metadata.model_copy(update={"finalizers": ["example.com/backup"]})
        assert planned([], of=self.gone.changed(metadata=theirs)) == []
