"""When maintenance is not to wait for its schedule."""

from __future__ import annotations

import pytest

from pool.core.clusters import ClonedImage, PooledCluster
from pool.core.planner.prompting import prompt
from pool.core.pools import Pool
from tests.pool.builders import active, cluster, operation, pool, session, unhealthy
from tests.pool.core.planner.planning import planned


def prompted(clusters: list[PooledCluster], of: Pool, *, sessions: bool = False) -> str:
    waits = [session("s")] if sessions else []
    held = [active("someone", one.name) for one in clusters if one.phase == "locked"]
    return prompt(of, planned(clusters, [*held, *waits], of=of))


def two(**fields: object) -> Pool:
    return pool(cluster_prefix="c", **({"size": 2} | fields))


OLD = ClonedImage(url="img:1", disk="golden-1")


@pytest.mark.parametrize(
    ("clusters", "of"),
    [
        ([cluster("c1")], two()),
        ([cluster("c1"), cluster("c2"), cluster("c3")], two()),
        ([cluster("c1"), cluster("c2", removing=True)], two()),
        ([cluster("c1"), cluster("c2", image=OLD)], two(image={"url": "img:2"})),
        ([cluster("c1", "locked")], two(removing=True)),
        ([], two(removing=True)),
    ],
    ids=["too few", "too many", "one deleted", "an old image", "the Pool deleted", "its last cluster gone"],
)
def test_what_somebody_wants_of_a_pool_is_done_at_once(clusters: list[PooledCluster], of: Pool) -> None:
    assert prompted(clusters, of)
    assert prompted(clusters, of) == prompted(clusters[::-1], of), "the same whoever sees it"


@pytest.mark.parametrize(
    "clusters",
    [
        [cluster("c1"), cluster("c2")],
        [cluster("c1"), cluster("c2", "resetting")],
        [cluster("c1"), cluster("c2", "creating")],
        [cluster("c1"), cluster("c2", conditions=[unhealthy()])],
        [cluster("c1"), cluster("c2", "resetting", removing=True, operation=operation("teardown", beat=60))],
        [cluster("c1"), cluster("c2"), cluster("c3", "locked")],
    ],
    ids=["at rest", "waits for its reset", "is made", "is ill", "is torn down", "is held above the size"],
)
def test_what_is_under_way_or_can_wait_is_not(clusters: list[PooledCluster]) -> None:
    assert prompted(clusters, two()) == ""
    assert prompted(clusters, two(), sessions=True) == ""


def test_it_is_the_same_matter_while_a_pool_grows_and_another_for_the_next_wish() -> None:
    assert prompted([cluster("c1")], two(size=3)) == prompted([cluster("c1"), cluster("c2")], two(size=3))
    first, second = cluster("c1", removing=True), cluster("c2", removing=True)
    named = [
        prompted([cluster("c1")], two()),
        prompted([cluster("c1")], two(generation=2)),
        prompted([first, cluster("c2")], two()),
        prompted([cluster("c1"), second], two()),
        prompted([first, second], two()),
    ]
    assert len(set(named)) == 5
