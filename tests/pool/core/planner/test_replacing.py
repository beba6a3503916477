"""When clusters of another image, or with certificates near their end, are replaced.

outdated, more than minStandby others free      the oldest, one at a time
outdated, the pool is short or somebody waits   later
its generation has ended (no reset any more)    at once, one at a time, whoever is free
the same, while it waits for its reset          made anew instead of being reset
a replacement under way, or failed              no other
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from pool.core.clusters import ClonedImage, Golden, PooledCluster
from pool.core.planner.actions import Action, BindPending, StartRebuild, StartReset
from tests.pool.builders import active, at, cluster, golden, operation, session, unhealthy
from tests.pool.core.planner.planning import DAY, broken, of_kind, planned

NEW = {"image": {"url": "img:2"}}


def old(name: str, taken: float = 0, phase: str = "available", **status: Any) -> PooledCluster:
    status = {"golden": golden(taken_at=at(taken)), "image": ClonedImage(url="img:1", disk="golden-1")} | status
    return cluster(name, phase, **status)


def new(name: str, phase: str = "available", **status: Any) -> PooledCluster:
    return old(name, phase=phase, **{"image": ClonedImage(url="img:2", disk="golden-2")} | status)


def ending(days: float) -> Golden:
    """Of certificates that last a year, as kubeadm's do."""
    return golden(taken_at=at((days - 365) * DAY), certificates_expire_at=at(days * DAY))


def replaced(actions: list[Action]) -> list[str]:
    return of_kind(StartRebuild, actions)


def test_a_newer_image_is_rolled_out_one_by_one_the_oldest_first() -> None:
    clusters = [old("c1", -1), old("c2", -3), old("c3", -2)]
    assert planned(clusters, **NEW) == [StartRebuild("c2", reason="it was made from img:1")]
    clusters[1] = new("c2", "creating", golden=None, rebuilding=True, operation=operation("rebuild", beat=60))
    assert planned(clusters, **NEW) == []
    clusters[1] = new("c2", "creating", golden=None, operation=operation("golden", beat=60))
    assert planned(clusters, **NEW) == []
    clusters[1] = new("c2")
    assert replaced(planned(clusters, **NEW)) == ["c3"]
    assert planned([new("c1"), new("c2"), new("c3")], **NEW) == []


def test_a_cluster_of_another_kubernetes_version_is_replaced_as_one_of_another_image_is() -> None:
    image = ClonedImage(url="img:2", disk="golden-2", kubernetes_version="v1.33.5")
    clusters = [new("c1"), new("c2", image=image), new("c3")]
    assert planned(clusters, **NEW) == [StartRebuild("c2", reason="it was made with Kubernetes v1.33.5")]


def test_a_cluster_that_does_not_say_what_it_was_cloned_from_is_left_alone() -> None:
    assert replaced(planned([cluster("c1"), new("c2")], **NEW)) == []


@pytest.mark.parametrize(("standby", "expected"), [(0, ["c1"]), (1, ["c1"]), (2, ["c1"]), (3, [])])
def test_it_waits_until_enough_others_are_free(standby: int, expected: list[str]) -> None:
    assert replaced(planned([old("c1"), new("c2"), new("c3")], min_standby=standby, **NEW)) == expected


@pytest.mark.parametrize(
    "other",
    [
        new("c2", conditions=[unhealthy()]),
        cluster("c2", cordoned=True),
        cluster("c2", removing=True),
        new("c2", "resetting"),
        new("c2", "locked"),
        new("c7"),
    ],
    ids=["sick", "cordoned", "on its way out", "resetting", "locked", "above the size"],
)
def test_none_of_these_counts_as_standby(other: PooledCluster) -> None:
    sessions = [active("someone", "c2")] if other.phase == "locked" else []
    assert replaced(planned([old("c1"), other], sessions, size=2, min_standby=1, **NEW)) == []


def test_it_waits_while_somebody_waits() -> None:
    (action,) = planned([old("c1"), new("c2"), new("c3")], [session("s")], **NEW)
    assert isinstance(action, BindPending)


@pytest.mark.parametrize(
    "failed",
    [broken("c1", 1, golden=None, rebuilding=True), broken("c1", 1, golden=None)],
    ids=["its rebuild", "its golden snapshots"],
)
def test_a_replacement_that_failed_is_the_last(failed: PooledCluster) -> None:
    assert planned([failed, old("c2"), old("c3"), old("c4")], **NEW) == []


def test_what_cannot_be_reset_any_more_is_made_anew_though_another_cluster_failed() -> None:
    """It is of no use as it is, so a replacement that fails as well costs nothing."""
    ended = cluster("c1", golden=ending(-1), conditions=[unhealthy()])
    assert replaced(planned([ended, broken("c2", 1, golden=None)])) == ["c1"]
    assert replaced(planned([ended, cluster("c2", "creating", operation=operation("bootstrap", beat=60))])) == []


@pytest.mark.parametrize("phase", ["locked", "error"])
def test_neither_held_nor_broken_ones_are_replaced(phase: str) -> None:
    sessions = [active("someone", "c1")] if phase == "locked" else []
    assert planned([old("c1", phase=phase), new("c2"), new("c3")], sessions, **NEW) == []


def test_golden_certificates_near_their_end_are_made_again() -> None:
    clusters = [cluster("c1", golden=ending(10)), cluster("c2")]
    (action,) = planned(clusters, certificate_margin=timedelta(days=30))
    assert action == StartRebuild("c1", reason="its golden certificates end on 2026-05-14")
    assert planned(clusters, certificate_margin=timedelta(days=9)) == []


def test_certificates_that_never_last_as_long_as_the_margin_are_not_made_again_for_ever() -> None:
    """A new cluster of them would be no better."""
    clusters = [cluster("c1", golden=golden(taken_at=at(0), certificates_expire_at=at(20 * DAY))), cluster("c2")]
    assert planned(clusters, certificate_margin=timedelta(days=30)) == []
    clusters = [one.with_status(last_health_check=at(11 * DAY)) for one in clusters]
    (action,) = planned(clusters, now=11 * DAY, certificate_margin=timedelta(days=30))
    assert action == StartRebuild("c1", reason="its golden certificates end on 2026-05-24")


def test_a_pool_of_one_is_replaced_when_it_cannot_be_reset_any_more() -> None:
    one = cluster("c1", golden=ending(1), last_health_check=at(DAY))
    assert planned([one], now=DAY - 1) == []
    assert replaced(planned([one], now=DAY)) == ["c1"]


def test_those_that_have_ended_are_replaced_first_and_one_by_one_though_they_look_ill() -> None:
    ended = [cluster(f"c{n}", golden=ending(-1), conditions=[unhealthy()]) for n in (1, 2, 3)]
    actions = planned([old("c4", -5), *ended], min_standby=4, **NEW)
    assert actions == [StartRebuild("c1", reason="its golden certificates end on 2026-05-03")]


def test_a_cluster_given_back_with_an_ended_generation_is_made_anew_instead_of_being_reset() -> None:
    waiting = [cluster("c1", "resetting", golden=ending(-1)), cluster("c2", "resetting", golden=ending(1))]
    actions = planned(waiting)
    assert replaced(actions) == ["c1"]
    assert of_kind(StartReset, actions) == ["c2"]


def test_a_session_that_waits_for_its_reset_in_place_keeps_its_cluster_whatever_its_generation() -> None:
    held = cluster("c1", "resetting", golden=ending(-1), assigned_session="s")
    assert replaced(planned([held], [active("s", "c1")])) == []


def test_nothing_is_replaced_for_which_work_was_started_just_now() -> None:
    clusters = [old("c1"), old("c2"), new("c3"), new("c4")]
    assert planned(clusters, under_way=frozenset({"c1"}), **NEW) == []
