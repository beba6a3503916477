"""What maintenance plans for sessions."""

from __future__ import annotations

from pool.core.planner.actions import BindPending, EndWaiting, Expire, ForgetSessions
from pool.core.planner.of_sessions import FORGOTTEN_AT_MOST
from tests.pool.builders import T0, active, at, cluster, operation, pool, session
from tests.pool.core.planner.planning import DAY, planned


def test_a_session_whose_time_is_over_expires() -> None:
    held = cluster("c1", "locked", assigned_session="s", expires_at=at(50))
    assert planned([held], [active("s", "c1", expires=50)]) == [Expire("s", "c1")]


def test_a_session_on_a_cordoned_cluster_or_one_on_its_way_out_expires_too() -> None:
    for how in ({"cordoned": True}, {"removing": True}):
        held = cluster("c1", "locked", assigned_session="s", expires_at=at(50), **how)
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


def test_those_who_wait_for_a_pool_that_is_removed_are_told() -> None:
    gone = pool(removing=True, cluster_prefix="c", size=1)
    busy = cluster("c1", "resetting", removing=True, operation=operation("teardown", beat=60))
    first, second = session("s"), session("t")
    assert planned([busy], [first, second], of=gone) == [EndWaiting("s", first), EndWaiting("t", second)]


def test_another_pools_sessions_and_clusters_are_not_its_business() -> None:
    other = cluster("lab1", "resetting").changed(spec={"pool": "other", "namespace": "lab1"})
    over = session("s", "Released", ended_at=T0, spec={"pool": "other"})
    waits = session("t", spec={"pool": "other"})
    assert planned([cluster("c1", last_health_check=at(DAY)), other], [over, waits], now=DAY, size=1) == []


def test_ended_sessions_are_kept_for_a_day_then_forgotten() -> None:
    idle, over = cluster("c1", last_health_check=at(DAY)), session("s", "Released", ended_at=T0)
    assert planned([idle], [over], now=DAY - 1) == []
    assert planned([idle], [over], now=DAY) == [ForgetSessions((over,))]


def test_a_pending_session_nobody_waits_for_is_removed() -> None:
    patient = session("s", spec={"wait_seconds": 30})
    assert planned([cluster("c1", "error")], [patient], now=89) == []
    assert planned([cluster("c1", "error")], [patient], now=90) == [ForgetSessions((patient,))]


def test_however_many_ended_they_are_one_action_of_bounded_size_after_all_others() -> None:
    over = [session(f"s{n}", "Released", ended_at=at(-2 * DAY + n)) for n in range(FORGOTTEN_AT_MOST + 5)]
    *before, last = planned([cluster("c1", "resetting"), cluster("c2", last_health_check=None)], over)
    assert len(before) == 2
    assert isinstance(last, ForgetSessions)
    assert [one.name for one in last.sessions] == [f"s{n}" for n in range(FORGOTTEN_AT_MOST)], "the oldest go first"
    assert last.left == 5
    assert len(str(last)) < 100
