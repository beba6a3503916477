"""What a Pool says of itself, case by case."""

from __future__ import annotations

from typing import Any

import pytest

from pool.core.clusters import ClonedImage, Failure, PooledCluster
from pool.core.pool_status import status_of
from pool.core.pools import Pool, PoolConditionType, PoolStatus
from tests.pool.builders import T0, active, at, cluster, operation, pool, session


def said(status: PoolStatus) -> dict[str, tuple[str, str]]:
    """Each condition's status and reason."""
    return {str(one.type): (str(one.status), one.reason) for one in status.conditions}


def message(status: PoolStatus, kind: str) -> str:
    return next(one.message for one in status.conditions if one.type == kind)


def made(number: int) -> list[PooledCluster]:
    return [cluster(f"cluster{n}") for n in range(1, number + 1)]


def broken(name: str, reason: str = "RestoreFailed", phase: str = "error", **fields: Any) -> PooledCluster:
    return cluster(name, phase, failure=Failure(reason=reason, message="no space", since=at(0)), **fields)


def test_the_counts_are_of_the_pools_own_and_add_up() -> None:
    other = cluster("lab1").changed(spec={"pool": "lab", "namespace": "lab1"})
    clusters = [
        *made(2),
        cluster("cluster3", "locked"),
        cluster("cluster4", "resetting", removing=True),
        cluster("cluster5", "creating"),
        broken("cluster6"),
        other,
    ]
    sessions = [active("someone", "cluster3"), session("a"), session("b"), session("c", spec={"pool": "lab"})]
    status = status_of(pool(generation=7, size=6), clusters, sessions, at(0))
    counts = status.available, status.locked, status.resetting, status.creating, status.error
    assert counts == (2, 1, 1, 1, 1)
    assert sum(counts) == status.replicas == 6
    assert (status.removing, status.waiting, status.observed_generation) == (1, 2, 7)
    assert status.selector == "cks.io/pool=default"


READY, NOT_READY = ("True", "AllMade"), ("False", "ClustersMissing")
AT_REST, FINE = ("False", "AsWanted"), ("False", "NothingBroken")
OLD = ClonedImage(url="docker://old", disk="golden-1")


@pytest.mark.parametrize(
    ("size", "clusters", "ready", "progressing", "degraded"),
    [
        (0, [], READY, AT_REST, FINE),
        (2, made(2), READY, AT_REST, FINE),
        (2, [cluster("cluster1", "locked"), cluster("cluster2", "resetting")], READY, AT_REST, FINE),
        (3, made(2), NOT_READY, ("True", "Making"), FINE),
        (2, [*made(1), cluster("cluster2", "creating")], NOT_READY, ("True", "Making"), FINE),
        (2, [*made(1), cluster("cluster2", removing=True)], NOT_READY, ("True", "Making"), FINE),
        (1, made(2), READY, ("True", "Removing"), FINE),
        (1, [*made(1), cluster("cluster2", removing=True)], READY, ("True", "Removing"), FINE),
        (1, [*made(1), cluster("cluster2", "locked")], READY, ("True", "Removing"), FINE),
        (2, [*made(1), cluster("cluster2", image=OLD)], READY, ("True", "Replacing"), FINE),
        (1, [*made(1), cluster("cluster2", cordoned=True)], READY, AT_REST, FINE),
        (2, [*made(1), cluster("cluster2", cordoned=True, image=OLD)], READY, AT_REST, FINE),
        (2, [*made(1), broken("cluster2")], ("False", "ClustersBroken"), AT_REST, ("True", "ClustersBroken")),
        (1, [*made(1), broken("cluster2", removing=True)], READY, ("True", "Removing"), FINE),
        (
            1,
            [broken("cluster1", "ImportFailed", "creating", operation=operation("bootstrap"))],
            ("False", "ImportFailed"),
            ("True", "Making"),
            ("True", "ImportFailed"),
        ),
    ],
)
def test_conditions(
    size: int,
    clusters: list[PooledCluster],
    ready: tuple[str, str],
    progressing: tuple[str, str],
    degraded: tuple[str, str],
) -> None:
    status = status_of(pool(size=size), clusters, [], at(0))
    assert said(status) == {"Ready": ready, "Progressing": progressing, "Degraded": degraded}


def test_a_pool_that_is_removed_is_not_ready_and_says_what_is_left() -> None:
    status = status_of(pool(removing=True, size=2), [cluster("cluster2", "locked", removing=True)], [], at(0))
    assert said(status)["Ready"] == ("False", "BeingRemoved")
    assert said(status)["Progressing"] == ("True", "BeingRemoved")
    assert "cluster2" in message(status, "Progressing")


def test_a_pool_whose_prefix_is_anothers_is_degraded_and_gets_nowhere() -> None:
    status = status_of(pool(size=2), [], [], at(0), prefix_taken="prefix cluster: got that of Pool a/default")
    taken = "PrefixTaken"
    assert said(status) == {"Ready": ("False", taken), "Progressing": ("False", taken), "Degraded": ("True", taken)}
    assert "a/default" in message(status, "Degraded")


def test_a_pool_whose_image_cannot_be_imported_says_why_though_no_cluster_has_tried() -> None:
    status = status_of(pool(size=2), [cluster("cluster1", "creating")], [], at(0), not_imported="no such image")
    assert said(status)["Degraded"] == ("True", "ImportFailed")
    assert said(status)["Ready"] == ("False", "ImportFailed")
    assert message(status, "Degraded") == "no such image"


def test_broken_clusters_are_named_with_their_failure_but_not_hundreds_of_them() -> None:
    few = status_of(pool(size=2), [*made(1), broken("cluster2")], [], at(0))
    assert message(few, "Degraded") == "cluster2: RestoreFailed: no space"
    many = status_of(pool(size=500), [broken(f"cluster{n}") for n in range(1, 501)], [], at(0))
    assert message(many, "Degraded").endswith("; and 490 more")


def test_what_is_made_and_what_is_missing_is_said_in_words() -> None:
    some = status_of(pool(size=4), [*made(2), cluster("cluster3", "creating")], [], at(0))
    assert message(some, "Ready") == "2 of 4 clusters are made"
    assert message(some, "Progressing") == "cluster3 being made, 1 more to be made"
    done = status_of(pool(size=3), [*made(2), cluster("cluster3", "locked")], [], at(0))
    assert message(done, "Ready") == "3 of 3 clusters are made: 2 available, 1 locked"
    above = [*made(2), cluster("cluster3", "locked", assigned_session="s")]
    assert message(status_of(pool(size=1), above, [], at(0)), "Progressing") == (
        "cluster2 being removed, cluster3 when the session has ended"
    )


class TestTransitionTimes:
    @staticmethod
    def again(before: Pool, clusters: list[PooledCluster], seconds: float) -> Pool:
        return before.changed(status=status_of(before, clusters, [], at(seconds)))

    def test_nothing_changes_while_nothing_changes(self) -> None:
        first = self.again(pool(size=2), made(2), 0)
        assert self.again(first, made(2), 100).status == first.status

    def test_a_conditions_time_is_that_of_its_last_change(self) -> None:
        first = self.again(pool(size=2), made(1), 0)
        second = self.again(first, [*made(1), cluster("cluster2", "creating")], 50)
        third = self.again(second, made(2), 100)
        times = {str(one.type): one.last_transition_time for one in third.status.conditions}
        assert times == {"Ready": at(100), "Progressing": at(100), "Degraded": at(0)}


@pytest.mark.parametrize(("standby", "said"), [(0, "one by one"), (2, "one by one, while 2 others stand by")])
def test_what_a_newer_image_waits_for_is_said(standby: int, said: str) -> None:
    of = pool(size=1, min_standby=standby)
    progressing = status_of(of, [cluster("cluster1", image=OLD)], [], T0).condition(PoolConditionType.PROGRESSING)
    assert progressing is not None
    assert progressing.message == f"cluster1 to be made anew from {of.spec.image.url}, {said}"
