"""Who gets which cluster, and what half-done handovers need."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.core.clusters import PooledCluster
from pool.core.queue import bindings, free, in_words, place, queue
from pool.core.repairs import Activate, Repair, Settle, Sync, TakeBack, repairs
from pool.core.sessions import Session
from tests.pool.builders import T0, active, at, cluster, session

NO_GRACE = timedelta()


def pairs(sessions: list[Session], clusters: list[PooledCluster]) -> list[tuple[str, str]]:
    return [(pair.session.name, pair.cluster.name) for pair in bindings(sessions, clusters, at(100))]


def test_two_clusters_three_sessions_serve_the_two_oldest() -> None:
    sessions = [session("young", created=3), session("old", created=1), session("middle", created=2)]
    assert pairs(sessions, [cluster("c1"), cluster("c2")]) == [("old", "c1"), ("middle", "c2")]


def test_priority_goes_before_age() -> None:
    sessions = [session("old", created=1), session("exam", created=9, spec={"priority": 10})]
    assert pairs(sessions, [cluster("c1")]) == [("exam", "c1")]


def test_within_one_second_the_earlier_wish_is_first() -> None:
    sessions = [session("a", spec={"requested_at": at(0.7)}), session("b", spec={"requested_at": at(0.2)})]
    assert pairs(sessions, [cluster("c1")]) == [("b", "c1")]


def test_longest_rested_cluster_is_first_and_one_never_reset_before_all() -> None:
    clusters = [cluster("c1", last_reset=at(50)), cluster("c2", last_reset=at(10)), cluster("c3")]
    assert [c.name for c in free(clusters)] == ["c3", "c2", "c1"]


@pytest.mark.parametrize("phase", ["creating", "locked", "resetting", "error"])
def test_only_available_clusters_are_assigned(phase: str) -> None:
    assert pairs([session("s")], [cluster("c1", phase)]) == []


def test_cordoned_and_vanishing_clusters_are_not_assigned() -> None:
    vanishing = cluster("c2")
    vanishing = vanishing.changed(metadata=vanishing.metadata.model_copy(update={"deletion_timestamp": T0}))
    assert pairs([session("s")], [cluster("c1", cordoned=True), vanishing]) == []


def test_a_session_whose_lock_is_written_gets_no_second_cluster() -> None:
    assert pairs([session("s")], [cluster("c1", "locked", assigned_session="s"), cluster("c2")]) == []


@pytest.mark.parametrize(
    ("wait", "asked_at", "waits"), [(None, 10_000, True), (60, 59, True), (60, 60, False), (0, 0, False)]
)
def test_a_session_nobody_waits_for_loses_its_place(wait: int | None, asked_at: float, waits: bool) -> None:
    waiting = [session("s", spec={"wait_seconds": wait})]
    assert bool(queue(waiting, at(asked_at), NO_GRACE)) == waits


def test_the_place_in_the_queue_is_told_in_words() -> None:
    waiting = queue([session("b", created=2), session("a", created=1)], T0, NO_GRACE)
    assert in_words(place(session("b"), waiting)) == "place 2 of 2 in the queue"


def test_each_pool_has_a_queue_and_clusters_of_its_own() -> None:
    sessions = [session("a", created=1, spec={"pool": "exam"}), session("b", created=2), session("c", created=3)]
    exam, lab = cluster("e1"), cluster("l1", last_reset=at(5))
    exam = exam.changed(spec=exam.spec.changed(pool="exam"))
    assert pairs(sessions, [lab, exam]) == [("a", "e1"), ("b", "l1")]
    assert pairs(sessions, [lab]) == [("b", "l1")]
    assert in_words(place(sessions[1], queue(sessions, at(9), NO_GRACE))) == "place 1 of 2 in the queue"


def test_a_lock_for_an_earlier_namesake_leaves_the_session_in_the_queue() -> None:
    stale = cluster("c1", "locked", assigned_session="s", assigned_session_uid="earlier")
    assert pairs([session("s")], [stale, cluster("c2")]) == [("s", "c2")]


def test_a_cluster_without_attestation_is_not_free() -> None:
    assert free([cluster("c1", clean=False)]) == []


CASES: list[tuple[str, list[Session], list[PooledCluster], list[type[Repair]]]] = [
    ("held as it should be", [active("s", "c1")], [cluster("c1", "locked", assigned_session="s")], []),
    ("crash after the lock", [session("s")], [cluster("c1", "locked", assigned_session="s")], [Activate]),
    (
        "two locks, none handed out: one is activated first",
        [session("s")],
        [cluster("c1", "locked", assigned_session="s"), cluster("c2", "locked", assigned_session="s")],
        [Activate],
    ),
    (
        "two locks, one handed out",
        [active("s", "c1")],
        [cluster("c1", "locked", assigned_session="s"), cluster("c2", "locked", assigned_session="s")],
        [TakeBack],
    ),
    (
        "ended before it was handed the cluster",
        [session("s", "Released")],
        [cluster("c1", "locked", assigned_session="s")],
        [TakeBack],
    ),
    (
        "ended, but the cluster is still its own",
        [session("s", "Released", assigned_cluster="c1", epoch=1)],
        [cluster("c1", "locked", assigned_session="s")],
        [TakeBack],
    ),
    ("the session is gone", [], [cluster("c1", "locked", assigned_session="s")], [TakeBack]),
    (
        "a namesake does not inherit",
        [session("s")],
        [cluster("c1", "locked", assigned_session="s", assigned_session_uid="earlier")],
        [TakeBack],
    ),
    ("crash in a release", [active("s", "c1")], [cluster("c1", "resetting")], [Settle]),
    (
        "its cluster is another's now",
        [active("s", "c1")],
        [cluster("c1", "locked", assigned_session="t")],
        [TakeBack, Settle],
    ),
    ("its cluster was removed", [active("s", "c1")], [], [Settle]),
    (
        "being reset in place",
        [active("s", "c1")],
        [cluster("c1", "resetting", assigned_session="s", assigned_session_uid="uid-s", epoch=1, expires_at=at(3600))],
        [],
    ),
    (
        "extended or reset in place, the copy is behind",
        [active("s", "c1")],
        [cluster("c1", "locked", assigned_session="s", epoch=2)],
        [Sync],
    ),
    ("nothing held at all", [session("s"), session("t", "Expired")], [cluster("c1"), cluster("c2", "error")], []),
]


@pytest.mark.parametrize(("sessions", "clusters", "expected"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_half_done_handovers_are_found(
    sessions: list[Session], clusters: list[PooledCluster], expected: list[type[Repair]]
) -> None:
    assert [type(repair) for repair in repairs(sessions, clusters)] == expected


SESSIONS = st.lists(
    st.tuples(st.integers(0, 8), st.integers(-2, 2), st.sampled_from(["Pending", "Active", "Released"])), max_size=8
)
CLUSTERS = st.lists(st.tuples(st.sampled_from(["available", "locked", "resetting"]), st.integers(0, 9)), max_size=8)


@given(asked=SESSIONS, there=CLUSTERS)
def test_bindings_never_pair_anything_twice_and_skip_nobody(
    asked: list[tuple[int, int, str]], there: list[tuple[str, int]]
) -> None:
    sessions = [session(f"s{n}", p, created=c, spec={"priority": q}) for n, (c, q, p) in enumerate(asked)]
    clusters = [cluster(f"c{n}", phase, last_reset=at(rest)) for n, (phase, rest) in enumerate(there)]
    found = bindings(sessions, clusters, T0)
    assert len({b.session.name for b in found}) == len({b.cluster.name for b in found}) == len(found)
    waiting = queue(sessions, T0, NO_GRACE)
    assert [b.session for b in found] == waiting[: len(found)]
    assert len(found) == min(len(waiting), len(free(clusters)))
