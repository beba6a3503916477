"""What maintenance plans, case by case; and that no plan, interrupted anywhere, does harm."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.core.clusters import Failure, PooledCluster
from pool.core.planner import (
    Action,
    BindPending,
    CheckHealth,
    CreateMissing,
    Expire,
    MarkError,
    Observed,
    PlanConfig,
    RemoveEndedSession,
    RemoveSurplus,
    ReportBroken,
    StartBootstrap,
    StartGolden,
    StartRebuild,
    StartReset,
    TakeOver,
    plan,
    to_rebuild,
)
from pool.core.queue import free
from pool.core.sessions import Session
from pool.core.settings import Settings
from tests.pool.builders import T0, active, at, cluster, golden, operation, session, unhealthy

DAY = 86400.0


def planned(
    clusters: list[PooledCluster],
    sessions: list[Session] | None = None,
    *,
    now: float = 60,
    under_way: frozenset[str] = frozenset(),
    **config: Any,
) -> list[Action]:
    return plan(Observed(sessions or [], clusters), PlanConfig(**config), at(now), under_way)


def broken(name: str, since: float, **status: Any) -> PooledCluster:
    failure = Failure(reason="RestoreFailed", message="no space", since=at(since), attempts=2)
    return cluster(name, "error", failure=failure, **status)


def test_a_healthy_pool_needs_nothing() -> None:
    held = cluster("cluster2", "locked", assigned_session="s")
    assert planned([cluster("cluster1"), held], [active("s", "cluster2")], size=2) == []


def test_a_session_whose_time_is_over_expires() -> None:
    held = cluster("c1", "locked", assigned_session="s", expires_at=at(50))
    assert planned([held], [active("s", "c1", expires=50)]) == [Expire("s", "c1")]


def test_a_session_that_promised_heartbeats_and_is_silent_expires() -> None:
    held = cluster("c1", "locked", assigned_session="s")
    promised = active("s", "c1").with_status(last_heartbeat=at(30)).changed(spec={"heartbeat_timeout_seconds": 60})
    assert planned([held], [promised], now=89) == []
    assert planned([held], [promised], now=90) == [Expire("s", "c1")]


def test_half_done_handovers_and_the_queue_are_served() -> None:
    (crashed,) = planned([cluster("c1", "locked", assigned_session="s")], [session("s")])
    assert isinstance(crashed, BindPending)
    (waiting,) = planned([cluster("c1")], [session("s")])
    assert isinstance(waiting, BindPending)
    assert planned([cluster("c1", "resetting", operation=operation(beat=60))], [session("s")]) == []


@pytest.mark.parametrize(("beat", "expected"), [(0, True), (1, False)])
def test_an_operation_is_taken_over_past_its_grace_and_left_alone_within(beat: float, expected: bool) -> None:
    stuck = cluster("c1", "resetting", operation=operation(beat=beat), epoch=4)
    assert planned([stuck], now=60) == ([TakeOver("c1", operation().kind, "run1", 4)] if expected else [])


def test_a_silent_operation_out_of_attempts_is_an_error() -> None:
    (action,) = planned([cluster("c1", "resetting", operation=operation(attempt=2))], now=60)
    assert isinstance(action, MarkError)
    assert "run1 fell silent in attempt 2" in action.reason


def test_a_released_cluster_nobody_resets_is_reset() -> None:
    assert planned([cluster("c1", "resetting", epoch=3)]) == [StartReset("c1", 3, "waits for its reset")]


def test_a_broken_idle_cluster_is_repaired_a_broken_locked_one_only_reported() -> None:
    idle = cluster("c1", conditions=[unhealthy()])
    held = cluster("c2", "locked", assigned_session="s", conditions=[unhealthy()])
    assert planned([idle, held], [active("s", "c2")]) == [
        StartReset("c1", 0, "unhealthy while idle: node wk NotReady", waiting=False),
        ReportBroken("c2", "s", "node wk NotReady"),
    ]


def test_a_cluster_whose_resets_failed_is_made_anew_one_at_a_time_the_first_that_failed() -> None:
    clusters = [broken("c1", 20, golden=golden()), broken("c2", 10, golden=golden())]
    assert planned(clusters) == [StartRebuild("c2", "its resets failed: no space")]
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


def test_a_cluster_in_error_waits_for_an_operator_where_nothing_is_rebuilt_by_itself() -> None:
    assert planned([broken("c1", 10, golden=golden())], now=DAY, rebuild_broken=False) == []
    assert planned([broken("c1", 10, golden=None)], now=DAY) == [], "it never was anything to be made again"


def test_work_that_was_started_but_does_not_show_yet_is_not_started_again_and_counts() -> None:
    waiting = [cluster(f"c{n}", "resetting") for n in range(4)]
    under_way = frozenset({"c0", "c1"})
    assert planned(waiting, under_way=under_way, max_concurrent_operations=3) == [
        StartReset("c2", 0, "waits for its reset")
    ]


def test_a_cluster_left_while_being_made_is_carried_on() -> None:
    ready = unhealthy().changed(type="VMsReady", status="True")
    clusters = [cluster("c1", "creating"), cluster("c2", "creating", conditions=[ready])]
    assert planned(clusters) == [StartBootstrap("c1"), StartGolden("c2")]


def test_a_rebuild_that_was_not_finished_is_made_again_not_bootstrapped_over() -> None:
    half = cluster("c1", "creating", rebuilding=True)
    assert planned([half]) == [StartRebuild("c1", "its rebuild was not finished")]


def test_missing_clusters_are_made_only_where_the_size_is_known() -> None:
    assert planned([cluster("cluster2")], size=3) == [CreateMissing("cluster1"), CreateMissing("cluster3")]
    assert planned([cluster("cluster2")]) == []


def test_a_smaller_pool_never_touches_locked_clusters_or_foreign_names() -> None:
    clusters = [
        cluster("cluster1"),
        cluster("cluster2", "locked", assigned_session="s"),
        cluster("cluster3"),
        cluster("cluster4", "resetting", operation=operation(beat=60)),
        cluster("lab-a"),
    ]
    assert planned(clusters, [active("s", "cluster2")], size=1) == [RemoveSurplus("cluster3")]


def test_at_most_so_many_clusters_are_out_of_service() -> None:
    working = [cluster(f"c{n}", "resetting", operation=operation(beat=60)) for n in range(2)]
    waiting = [cluster(f"c{n}", "resetting") for n in range(2, 9)]
    starts = planned([*working, *waiting], max_concurrent_operations=5)
    assert [action.cluster_id for action in starts if isinstance(action, StartReset)] == ["c2", "c3", "c4"]
    assert planned([*working, *waiting], max_concurrent_operations=2) == []


def test_an_outdated_golden_is_rolled_out_oldest_first_and_never_while_the_pool_is_short() -> None:
    old = [cluster(f"c{n}", golden=golden(taken_at=at(-n), image="img:1")) for n in range(4)]
    actions = planned(old, golden_image="img:2", min_standby=2)
    assert [a.cluster_id for a in actions if isinstance(a, StartRebuild)] == ["c3", "c2"]
    assert planned(old, golden_image="img:2", min_standby=4) == []


def test_golden_certificates_near_their_end_are_made_again() -> None:
    ending = cluster("c1", golden=golden(certificates_expire_at=at(10 * DAY)))
    (action,) = planned([ending, cluster("c2")], certificate_margin=timedelta(days=30))
    assert action == StartRebuild("c1", "its golden certificates end on 2026-05-14")


@pytest.mark.parametrize("phase", ["available", "locked"])
def test_health_is_looked_at_when_it_was_not_for_a_while(phase: str) -> None:
    sessions = [active("someone", "c1")] if phase == "locked" else []
    assert planned([cluster("c1", phase)], sessions, now=299) == []
    assert planned([cluster("c1", phase)], sessions, now=300) == [CheckHealth("c1")]


def test_ended_sessions_are_kept_for_a_day_then_removed() -> None:
    over = session("s", "Released", ended_at=T0)
    assert planned([], [over], now=DAY - 1) == []
    (action,) = planned([], [over], now=DAY)
    assert isinstance(action, RemoveEndedSession)


def test_a_pending_session_nobody_waits_for_is_removed() -> None:
    (action,) = planned([cluster("c1", "error")], [session("s", spec={"wait_seconds": 30})], now=90)
    assert action == RemoveEndedSession(session("s", spec={"wait_seconds": 30}), "nobody waits for it any more")


def test_the_configuration_comes_from_the_settings() -> None:
    settings = Settings()
    config = PlanConfig.of(settings, size=7)
    assert config.size == 7
    assert config.operation_grace == timedelta(seconds=settings.operation_grace)
    assert config.ended_session_age == timedelta(days=1)


PHASES = st.sampled_from(["creating", "available", "locked", "resetting", "error"])


@given(
    pool=st.lists(st.tuples(PHASES, st.booleans(), st.booleans(), st.integers(1, 3)), min_size=2, max_size=8),
    size=st.integers(1, 6),
    now=st.integers(0, 5000),
    limit=st.integers(1, 4),
)
def test_no_plan_touches_a_locked_or_busy_cluster_or_takes_too_many_out_of_service(
    pool: list[tuple[str, bool, bool, int]], size: int, now: int, limit: int
) -> None:
    clusters = []
    for number, (phase, busy, broken, attempt) in enumerate(pool, 1):
        works = operation(attempt=attempt) if busy and phase not in ("available", "locked") else None
        conditions = [unhealthy()] if broken else []
        clusters.append(cluster(f"cluster{number}", phase, operation=works, conditions=conditions))
    actions = planned(clusters, now=now, size=size, max_concurrent_operations=limit)
    starts = [
        a for a in actions if isinstance(a, StartReset | StartBootstrap | StartGolden | StartRebuild | RemoveSurplus)
    ]
    untouchable = {c.name for c in clusters if c.status.operation or c.phase in ("locked", "error")}
    surplus_errors = {a.cluster_id for a in starts if isinstance(a, RemoveSurplus)}
    assert not {a.cluster_id for a in starts} & (untouchable - surplus_errors)
    assert not {a.cluster_id for a in starts} & {c.name for c in clusters if c.phase == "locked"}
    assert len({a.cluster_id for a in starts}) == len(starts)
    assert len(starts) <= max(0, limit - sum(c.status.operation is not None for c in clusters))


class TestManyLookIllAtOnce:
    """Probably the way to the guests is broken, not the guests: no avalanche of resets that end in `error`."""

    @staticmethod
    def ill(name: str) -> PooledCluster:
        return cluster(name, conditions=[unhealthy()])

    @staticmethod
    def resets(*clusters: PooledCluster) -> list[str]:
        return [action.cluster_id for action in planned([*clusters]) if isinstance(action, StartReset)]

    def test_a_single_ill_cluster_is_repaired(self) -> None:
        assert self.resets(self.ill("c1"), cluster("c2")) == ["c1"]

    def test_of_most_only_one_is_tried(self) -> None:
        assert len(self.resets(*(self.ill(f"c{number}") for number in range(1, 8)))) == 1

    def test_no_second_one_while_the_first_has_not_come_back(self) -> None:
        assert self.resets(cluster("c1", "error"), self.ill("c2"), self.ill("c3")) == []

    def test_a_cluster_known_to_be_ill_is_not_handed_out(self) -> None:
        assert free([self.ill("c1")]) == []
