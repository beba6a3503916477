"""What changes are worth telling: one row a change that the view may show."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from gateway.metrics.measuring import Assigned, Operated, Outcome, Unattested, of_cluster, of_session
from pool.core.clusters import Failure, OperationKind, Outage, PooledCluster
from tests.pool.builders import active, at, cluster, golden, operation, session

END = at(90)


def worked_on(phase: str = "resetting", kind: str = "reset", run: str = "run1", **status: Any) -> PooledCluster:
    return cluster("cluster1", phase, operation=operation(kind, run), **status)


def failure(reason: str = "RestoreFailed", attempts: int = 1, last: float = 60) -> Failure:
    return Failure(reason=reason, message="", since=at(60), last_time=at(last), attempts=attempts)


HELD = {"assigned_session": "alice", "assigned_session_uid": "uid-alice"}
OUTAGE = Outage(message="", since=at(50), last_time=at(50))

ENDS = [
    ("reset", worked_on(), cluster("cluster1", "available", last_reset=at(80)), "succeeded", 80),
    ("golden", worked_on("creating", "golden"), cluster("cluster1", "available", last_reset=at(80)), "succeeded", 80),
    ("bootstrap", worked_on("creating", "bootstrap"), cluster("cluster1", "creating"), "succeeded", 90),
    ("reset", worked_on(**HELD), cluster("cluster1", "locked", **HELD, last_reset=at(70)), "succeeded", 70),
    ("reset", worked_on(), cluster("cluster1", "resetting", failure=failure()), "failed", 60),
    ("reset", worked_on(), cluster("cluster1", "error", failure=failure()), "failed", 60),
    (
        "reset",
        worked_on(failure=failure()),
        cluster("cluster1", "error", failure=failure(attempts=2, last=85)),
        "failed",
        85,
    ),
    ("reset", worked_on(), cluster("cluster1", "resetting", outage=OUTAGE), "interrupted", 50),
    ("reset", worked_on(), worked_on(run="run2", takeovers=1), "taken-over", 90),
    ("reset", worked_on(**HELD), cluster("cluster1", "resetting"), "abandoned", 90),
    ("teardown", worked_on(kind="teardown"), None, "succeeded", 90),
    ("reset", worked_on(), None, "abandoned", 90),
    # Seen only after an interruption of the watch: the next operation runs already.
    ("rebuild", worked_on("creating", "rebuild"), worked_on("creating", "golden", "run2"), "succeeded", 90),
    ("reset", worked_on(), worked_on(run="run2", failure=failure()), "failed", 60),
]


@pytest.mark.parametrize(("kind", "before", "after", "outcome", "seconds"), ENDS)
def test_an_operation_that_ended_is_told_once_with_how_and_how_long(
    kind: str, before: PooledCluster, after: PooledCluster | None, outcome: str, seconds: float
) -> None:
    expected = Operated("default", OperationKind(kind), Outcome(outcome), seconds)
    assert [one for one in of_cluster(before, after, END) if isinstance(one, Operated)] == [expected]


def test_every_outcome_has_its_row() -> None:
    assert {row[3] for row in ENDS} == set(Outcome)


QUIET = {
    "seen for the first time": (None, worked_on()),
    "begins": (cluster("cluster1", "resetting"), worked_on()),
    "a heartbeat": (worked_on(), worked_on(last_health_check=at(9))),
    "carried out again by the same run": (worked_on(), cluster("cluster1", "resetting", operation=operation(word="w"))),
    "an idle one is removed": (cluster("cluster1"), None),
    "handed out": (cluster("cluster1"), cluster("cluster1", "locked")),
    "no longer readable": (worked_on(), cluster("cluster1", "error").changed(unreadable="a newer version")),
}


@pytest.mark.parametrize(("before", "after"), QUIET.values(), ids=QUIET)
def test_what_ends_no_operation_tells_nothing(before: PooledCluster | None, after: PooledCluster | None) -> None:
    assert list(of_cluster(before, after, END)) == []


def test_a_cluster_that_was_made_anew_did_not_end_the_work_of_the_former_one() -> None:
    anew = cluster("cluster1", "available", golden=golden())
    anew = anew.changed(metadata=anew.metadata.model_copy(update={"uid": "another"}))
    assert list(of_cluster(worked_on(), anew, END)) == [Operated("default", OperationKind.RESET, Outcome.ABANDONED, 90)]


def test_each_attestation_that_failed_is_told() -> None:
    once = cluster("cluster1", "resetting", failure=failure("AttestationFailed"))
    again = worked_on(failure=failure("AttestationFailed"))
    twice = cluster("cluster1", "error", failure=failure("AttestationFailed", 2, 85))
    assert Unattested("default") in list(of_cluster(worked_on(), once, END))
    assert list(of_cluster(once, again, END)) == []
    assert Unattested("default") in list(of_cluster(again, twice, END))
    assert Unattested("default") not in list(
        of_cluster(worked_on(), cluster("cluster1", "error", failure=failure()), END)
    )


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [(None, 0.0), (-0.25, 0.25), (-3600.0, 0.0), (3.0, 0.0)],
    ids=["not said", "finer than the creation", "an hour off", "later than the lock"],
)
def test_an_assignment_is_as_long_as_the_session_had_no_cluster(asked: float | None, seconds: float) -> None:
    spec = {} if asked is None else {"requested_at": at(asked)}
    before = session("alice", spec=spec)
    after = active("alice", "cluster1").changed(spec=before.spec, metadata=before.metadata)
    assert list(of_session(before, after)) == [Assigned("default", seconds)]


def test_waiting_counts_as_assigning_and_nothing_else_does() -> None:
    waits = session("alice", created=-120)
    served = active("alice", "cluster1").changed(metadata=waits.metadata)
    assert list(of_session(waits, served)) == [Assigned("default", 120)]
    later = served.with_status(expires_at=served.status.expires_at + timedelta(hours=1), epoch=2)
    for before, after in [(None, served), (served, later), (later, None), (waits, waits), (waits, None)]:
        assert list(of_session(before, after)) == []
