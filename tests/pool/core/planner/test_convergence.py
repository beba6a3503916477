"""From any pool: plans that are interrupted anywhere and made again come to an end, and do no harm on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pool.core.clusters import ClonedImage, Failure, OperationKind, PooledCluster
from pool.core.planner.actions import (
    Action,
    CheckHealth,
    OnCluster,
    RemoveSurplus,
    ReportBroken,
    StartTeardown,
)
from tests.pool.builders import active, at, cluster, golden, operation, pool, unhealthy
from tests.pool.core.planner.planning import DAY
from tests.pool.core.planner.world import World

ROUNDS = 80
TROUBLE = 6
"""Rounds in which operations may fail or fall silent; after them everything succeeds."""

FAR = 100 * 365 * DAY
GENERATIONS = [golden(), golden(certificates_expire_at=at(-1)), golden(certificates_expire_at=at(FAR))]
IMAGES = [None, ClonedImage(url="img:1", disk="one"), ClonedImage(url="img:2", disk="two")]
FAILURE = Failure(reason="Failed", message="", since=at(-DAY), attempts=2)


@st.composite
def clusters(draw: st.DrawFn, number: int) -> PooledCluster:
    """A cluster in any state that the pool's state can write."""
    phase = draw(st.sampled_from(["creating", "available", "locked", "resetting", "error"]))
    status: dict[str, Any] = {
        "image": draw(st.sampled_from(IMAGES)),
        "conditions": draw(st.sampled_from([[], [unhealthy()]])),
    }
    if phase != "creating":
        status["golden"] = draw(st.sampled_from(GENERATIONS))
    if phase == "locked":
        status |= {"assigned_session": f"s{number}", "expires_at": at(draw(st.sampled_from([-1, 600, FAR])))}
    if phase == "creating":
        status["rebuilding"] = draw(st.booleans())
        status["conditions"] = []
    if phase == "error":
        status["failure"] = FAILURE
    if phase in ("creating", "resetting") and draw(st.booleans()):
        kind = OperationKind.RESET if phase == "resetting" else OperationKind.BOOTSTRAP
        kind = OperationKind.REBUILD if status.get("rebuilding") else kind
        status["operation"] = operation(kind, beat=draw(st.sampled_from([0, -DAY])), attempt=draw(st.integers(1, 3)))
    chance = st.sampled_from([False, False, False, True])
    return cluster(f"cluster{number}", phase, cordoned=draw(chance), removing=draw(chance), **status)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    numbers = draw(st.sets(st.integers(1, 8), max_size=6))
    found = [draw(clusters(number)) for number in sorted(numbers)]
    sessions = [
        active(name, one.name).with_status(expires_at=one.status.expires_at)
        for one in found
        if (name := one.status.assigned_session)
    ]
    wanted = pool(
        removing=draw(st.sampled_from([False, False, True])),
        size=draw(st.integers(0, 6)),
        image={"url": "img:2"},
        min_standby=draw(st.integers(0, 2)),
        max_concurrent_operations=draw(st.integers(1, 4)),
    )
    return World(wanted, found, sessions)


def check(world: World, action: Action) -> None:
    """That the action is one that may be taken just now."""
    if not isinstance(action, OnCluster) or (found := world.clusters.get(action.cluster_id)) is None:
        return
    pool_goes = world.pool is not None and world.pool.metadata.deletion_timestamp is not None
    deletes = isinstance(action, RemoveSurplus) and pool_goes
    goes = found.metadata.deletion_timestamp is not None
    assert deletes or found.phase != "locked", f"{action} of a locked cluster"
    assert deletes or not found.spec.cordoned or goes, f"{action} of a cordoned cluster"
    assert not goes or isinstance(action, StartTeardown), f"{action} of a cluster on its way out"
    assert deletes or found not in world.live(), f"{action} of a cluster somebody works on"


def lived(world: World, cut: Callable[[int], int], ending: Callable[[], str]) -> list[Action]:
    """Plan, act up to where it is cut, let time and work go on; until nothing is planned. Returns the last plan."""
    for number in range(ROUNDS):
        actions = [action for action in world.planned() if not isinstance(action, CheckHealth | ReportBroken)]
        if not actions and not world.live() and number > TROUBLE:
            return actions
        in_trouble = number < TROUBLE
        before = len(world.live())
        for action in actions[: cut(len(actions))] if in_trouble else actions:
            check(world, action)
            world.act(action)
        if world.pool is not None:
            assert len(world.live()) <= max(before, world.pool.spec.max_concurrent_operations)
        for one in world.live():
            world.ends(one.name, ending() if in_trouble else "done")
        world.passes(1000)
    return world.planned()


@settings(max_examples=100, deadline=None)
@given(world=worlds(), data=st.data())
def test_every_pool_comes_to_rest_as_it_is_wanted_however_its_plans_are_interrupted(world: World, data: Any) -> None:
    cordoned = {c.name: c.phase for c in world.clusters.values() if c.spec.cordoned and c not in world.live()}
    last = lived(
        world,
        cut=lambda length: data.draw(st.integers(0, length)),
        ending=lambda: data.draw(st.sampled_from(["done", "done", "fails", "silent"])),
    )
    assert last == [], "it never comes to rest"
    assert all(not c.metadata.deletion_timestamp or c.status.assigned_session for c in world.clusters.values())
    if world.pool is None:
        return
    goes = world.pool.metadata.deletion_timestamp is not None
    assert goes is bool(goes and world.clusters), "a deleted Pool stays only for clusters in use"
    if goes:
        return
    size = world.pool.spec.size
    assert {f"cluster{number}" for number in range(1, size + 1)} <= world.clusters.keys()
    for name, one in world.clusters.items():
        if one.spec.cordoned:
            assert one.phase in (cordoned.get(name, one.phase), "resetting"), "only its session may leave it"
        elif int(name.removeprefix("cluster")) > size:
            assert one.phase == "locked"
        else:
            assert one.phase in ("available", "locked", "error")
            assert one.status.operation is None
