"""What the tables show, and that they stay small."""

from __future__ import annotations

import json

from flows.tables import plan_rows, rows, summary
from pool.core.contract import ClusterPoolStats
from pool.core.planner.actions import Expire, ForgetSessions
from pool.core.pool_status import status_of
from tests.pool.builders import T0, cluster, pool, session


def test_a_plan_of_thousands_is_a_table_of_a_hundred_and_a_count() -> None:
    over = tuple(session(f"s{number}", "Released", ended_at=T0) for number in range(1000))
    actions = [*(Expire(f"s{number}", "cluster1") for number in range(5000)), ForgetSessions(over, 9000)]
    shown = plan_rows(actions)
    assert len(shown) == 101
    assert shown[-1]["what"] == "and 4901 more"
    assert len(json.dumps(plan_rows(actions[-1:]))) < 200
    assert len(plan_rows(actions[:100])) == 100


def test_a_pool_is_summed_up_with_what_is_wanted_and_who_waits() -> None:
    clusters = [cluster("cluster1"), cluster("cluster2", "error", removing=True), cluster("cluster3", cordoned=True)]
    wanted = pool(size=5)
    wanted = wanted.changed(status=status_of(wanted, clusters, [session("a"), session("b")], T0))
    assert summary(ClusterPoolStats.of(clusters), wanted) == (
        "pool default, 3 of 5 clusters: 2 available, 0 locked, 0 resetting, 0 creating, 1 in error; "
        "1 being removed; 2 sessions wait"
    )
    assert [row["phase"] for row in rows(clusters)] == ["available", "error (goes)", "available (cordoned)"]
