"""What maintenance plans for a pool whose size and image are as wanted, case by case."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pool.core.clusters import ClusterCondition, Outage, PooledCluster
from pool.core.planner import PlanConfig, to_rebuild
from pool.core.planner.actions import (
    CheckHealth,
    ReportBroken,
    StartBootstrap,
    StartGolden,
    StartRebuild,
    StartReset,
    TakeOver,
)
from pool.core.queue import free
from pool.core.settings import Settings
from tests.pool.builders import T0, active, at, cluster, golden, operation, unhealthy
from tests.pool.core.planner.planning import DAY, broken, of_kind, planned


def test_a_healthy_pool_needs_nothing() -> None:
    held = cluster("c2", "locked", assigned_session="s")
    assert planned([cluster("c1"), held], [active("s", "c2")]) == []


@pytest.mark.parametrize(("beat", "expected"), [(0, True), (1, False)])
def test_an_operation_is_taken_over_once_it_is_silent_and_left_alone_before(beat: float, expected: bool) -> None:
    stuck = cluster("c1", "resetting", operation=operation(beat=beat), epoch=4)
    over = TakeOver("c1", operation().kind, "run1", reason="reset of run run1 fell silent")
    assert planned([stuck], now=60) == ([over] if expected else [])


def test_however_often_runs_were_taken_over_the_next_one_takes_over_as_well_and_says_so() -> None:
    (action,) = planned([cluster("c1", "resetting", operation=operation(attempt=2), takeovers=10)], now=60)
    assert isinstance(action, TakeOver)
    assert action.reason == "reset of run run1 fell silent, 10 taken over before it"


def test_a_released_cluster_nobody_resets_is_reset() -> None:
    assert planned([cluster("c1", "resetting", epoch=3)]) == [StartReset("c1", reason="waits for its reset")]


def test_a_broken_idle_cluster_is_repaired_a_broken_locked_one_only_reported() -> None:
    idle = cluster("c1", conditions=[unhealthy()])
    held = cluster("c2", "locked", assigned_session="s", conditions=[unhealthy()])
    assert planned([idle, held], [active("s", "c2")]) == [
        StartReset("c1", reason="unhealthy while idle: node wk NotReady", waiting=False),
        ReportBroken("c2", "s", "node wk NotReady"),
    ]


def test_a_cluster_whose_resets_failed_is_made_anew_one_at_a_time_the_first_that_failed() -> None:
    clusters = [broken("c1", 20, golden=golden()), broken("c2", 10, golden=golden())]
    assert planned(clusters) == [StartRebuild("c2", reason="its resets failed: no space")]
    clusters[1] = cluster("c2", "creating", rebuilding=True, operation=operation("rebuild", beat=60))
    assert planned(clusters) == []


def test_a_cluster_that_goes_to_error_later_does_not_take_the_turn_of_one_whose_rebuild_has_not_begun() -> None:
    first = broken("c1", 10, golden=golden())
    later = broken("c2", 5, golden=golden())
    assert later.status.failure is not None
    later = later.with_status(failure=later.status.failure.changed(last_time=at(20)))
    assert to_rebuild([first]) is first
    assert to_rebuild([first, later]) is first


def test_after_a_failed_rebuild_nothing_is_rebuilt_until_an_operator_looked() -> None:
    failed = broken("c1", 10, golden=None, rebuilding=True)
    assert planned([failed, broken("c2", 20, golden=golden())], now=DAY) == []


def test_a_failed_rebuild_that_is_cordoned_or_removed_was_looked_at_only_if_it_goes() -> None:
    failed, other = broken("c1", 10, golden=None, rebuilding=True), broken("c2", 20, golden=golden())
    assert to_rebuild([failed.changed(spec=failed.spec.changed(cordoned=True)), other]) is None
    assert to_rebuild([broken("c1", 10, removing=True, rebuilding=True), other]) is other


def test_a_cluster_in_error_waits_for_an_operator_where_nothing_is_rebuilt_by_itself() -> None:
    assert planned([broken("c1", 10, golden=golden())], now=DAY, rebuild_broken=False) == []
    assert planned([broken("c1", 10, golden=None)], now=DAY) == [], "it never was anything to be made again"


def test_work_that_was_started_but_does_not_show_yet_is_not_started_again_and_counts() -> None:
    waiting = [cluster(f"c{n}", "resetting") for n in range(1, 5)]
    under_way = frozenset({"c1", "c2"})
    actions = planned(waiting, under_way=under_way, max_concurrent_operations=3)
    assert actions == [StartReset("c3", reason="waits for its reset")]


def test_a_cluster_left_while_being_made_is_carried_on() -> None:
    ready = unhealthy().changed(type="VMsReady", status="True")
    clusters = [cluster("c1", "creating"), cluster("c2", "creating", conditions=[ready])]
    assert planned(clusters) == [StartBootstrap("c1"), StartGolden("c2")]


def test_a_rebuild_that_was_not_finished_is_made_again_not_bootstrapped_over() -> None:
    half = cluster("c1", "creating", rebuilding=True)
    assert planned([half]) == [StartRebuild("c1", reason="its rebuild was not finished")]


def test_at_most_so_many_clusters_are_worked_on_takeovers_too() -> None:
    working = [cluster(f"c{n}", "resetting", operation=operation(beat=60)) for n in (1, 2)]
    silent = cluster("c3", "resetting", operation=operation(beat=0))
    waiting = [cluster(f"c{n}", "resetting") for n in range(4, 10)]
    actions = planned([*working, silent, *waiting], max_concurrent_operations=5)
    assert of_kind(TakeOver, actions) == ["c3"]
    assert of_kind(StartReset, actions) == ["c4", "c5"]
    assert planned([*working, silent, *waiting], max_concurrent_operations=2) == []


@pytest.mark.parametrize("phase", ["available", "locked"])
@pytest.mark.parametrize("cordoned", [False, True])
def test_health_is_looked_at_when_it_was_not_for_a_while(phase: str, cordoned: bool) -> None:
    sessions = [active("someone", "c1")] if phase == "locked" else []
    clusters = [cluster("c1", phase, cordoned=cordoned)]
    assert planned(clusters, sessions, now=299) == []
    assert planned(clusters, sessions, now=300) == [CheckHealth("c1")]


def test_the_configuration_comes_from_the_settings() -> None:
    settings = Settings()
    config = PlanConfig.of(settings)
    assert config.health_interval == timedelta(seconds=settings.health_interval)
    assert config.ended_session_age == timedelta(days=1)


def test_the_same_wish_is_the_same_whoever_plans_it_and_another_once_something_came_of_it() -> None:
    def wish_of(found: PooledCluster) -> str:
        (action,) = planned([found], now=30)
        assert isinstance(action, StartReset)
        return action.wish

    waits = cluster("c1", "resetting", epoch=3)
    looked_at = waits.with_status(last_health_check=at(20), conditions=[unhealthy()])
    assert wish_of(waits) == wish_of(looked_at)
    failure = broken("c1", 10).status.failure
    others = [
        waits.with_status(epoch=4),
        waits.with_status(last_reset=at(5)),
        waits.with_status(failure=failure),
        waits.with_status(outage=Outage(message="", since=T0, last_time=T0)),
        waits.with_status(golden=golden(2)),
        waits.changed(metadata=waits.metadata.model_copy(update={"uid": "another"})),
    ]
    assert len({wish_of(found) for found in [waits, *others]}) == 7


class TestCordoned:
    """Somebody looks at it: nothing is started on it, whatever it needs."""

    @pytest.mark.parametrize(
        ("phase", "status"),
        [
            ("available", {"conditions": [unhealthy()]}),
            ("available", {"golden": golden(certificates_expire_at=at(-DAY))}),
            ("resetting", {}),
            ("resetting", {"golden": golden(certificates_expire_at=at(-DAY))}),
            ("resetting", {"operation": operation()}),
            ("resetting", {"operation": operation(attempt=2)}),
            ("creating", {}),
            ("creating", {"rebuilding": True}),
            ("error", {"golden": golden(), "failure": broken("c1", 1).status.failure}),
        ],
    )
    @pytest.mark.parametrize("size", [1, 2])
    def test_it_is_left_alone(self, phase: str, status: dict[str, object], size: int) -> None:
        cordoned = cluster("c2", phase, cordoned=True, **status)
        assert planned([cluster("c1"), cordoned], size=size, now=120) == []


class TestManyLookIllAtOnce:
    """Probably the way to the guests is broken, not the guests: no avalanche of resets that end in `error`."""

    @staticmethod
    def ill(name: str, phase: str = "available", **status: object) -> PooledCluster:
        return cluster(name, phase, conditions=[unhealthy()], **status)

    @staticmethod
    def resets(*clusters: PooledCluster, under_way: frozenset[str] = frozenset()) -> list[str]:
        return of_kind(StartReset, planned([*clusters], under_way=under_way, rebuild_broken=False))

    def test_a_single_ill_cluster_is_repaired(self) -> None:
        assert self.resets(self.ill("c1"), cluster("c2")) == ["c1"]

    def test_of_most_only_one_is_tried(self) -> None:
        assert len(self.resets(*(self.ill(f"c{number}") for number in range(1, 8)))) == 1

    @pytest.mark.parametrize("work", [None, operation(beat=60)])
    def test_no_second_one_while_the_first_is_being_repaired(self, work: object) -> None:
        first = self.ill("c1", "resetting", operation=work)
        assert [name for name in self.resets(first, self.ill("c2"), self.ill("c3")) if name != "c1"] == []

    def test_no_second_one_while_the_first_was_only_just_started(self) -> None:
        assert self.resets(self.ill("c1"), self.ill("c2"), self.ill("c3"), under_way=frozenset({"c1"})) == []

    def test_no_second_one_after_the_first_ended_in_error(self) -> None:
        failed = broken("c1", 10, conditions=[unhealthy()], golden=golden())
        assert self.resets(failed, self.ill("c2"), self.ill("c3")) == []

    def test_the_next_one_once_the_first_is_well_again(self) -> None:
        well = cluster("c1", last_reset=at(50), conditions=[healthy()])
        assert self.resets(well, self.ill("c2"), self.ill("c3")) == ["c2"]

    def test_one_that_broke_before_has_no_say(self) -> None:
        long_ago = broken("c1", -600, conditions=[unhealthy()], golden=golden())
        assert self.resets(long_ago, self.ill("c2"), self.ill("c3")) == ["c2"]

    def test_locked_broken_and_cordoned_ones_have_no_say_in_whether_most_are_ill(self) -> None:
        others = [
            self.ill("c1", "locked"),
            self.ill("c2", "locked"),
            self.ill("c3", "error"),
            self.ill("c4").changed(spec=cluster("c4", cordoned=True).spec),
        ]
        assert self.resets(*others, self.ill("c5"), cluster("c6")) == ["c5"]

    def test_a_cluster_known_to_be_ill_is_not_handed_out(self) -> None:
        assert free([self.ill("c1")]) == []


def healthy() -> ClusterCondition:
    return unhealthy().changed(status="True", reason="Attested", message="both nodes Ready", last_transition_time=T0)
