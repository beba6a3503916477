"""What flows are asked for: clusters by the names that the Pool has, and work that asks whether it is still due."""

from __future__ import annotations

from typing import Any

import pytest
from prefect.exceptions import ParameterTypeError

from flows.admin import teardown_pool
from flows.clusters import existing, named
from flows.dispatch import parameters_of
from pool.core.clusters import OperationKind
from pool.core.errors import InvalidInput, UnknownCluster
from pool.work.upkeep.acting import Work
from tests.pool.builders import cluster, pool


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        (None, ["cluster1", "cluster2", "cluster3"]),
        (["cluster3", "cluster1", "cluster3"], ["cluster3", "cluster1"]),
    ],
)
def test_clusters_are_made_by_the_names_that_the_pool_has(asked: list[str] | None, names: list[str]) -> None:
    assert named(pool(), asked) == names


@pytest.mark.parametrize("name", ["cluster4", "cluster0", "cluster01", "theirs1", "cks-pool"])
def test_no_cluster_is_made_by_any_other_name(name: str) -> None:
    with pytest.raises(InvalidInput, match="kubectl scale pool default") as refused:
        named(pool(), ["cluster1", name])
    assert refused.value.actual == name


def test_no_name_at_all_never_means_all_of_them() -> None:
    assert named(pool(), []) == []
    assert existing([cluster("cluster1")], "default", []) == []
    with pytest.raises(ParameterTypeError, match="cluster_ids"):
        teardown_pool.validate_parameters({"confirm": "teardown", "cluster_ids": []})


def test_a_pool_of_none_has_no_names() -> None:
    assert named(pool(size=0), None) == []
    with pytest.raises(InvalidInput, match="default is empty"):
        named(pool(size=0), ["cluster1"])


def test_only_the_pools_own_clusters_are_worked_on() -> None:
    ours, theirs = cluster("cluster1"), cluster("lab1")
    theirs = theirs.changed(spec=theirs.spec.changed(pool="labs"))
    assert existing([ours, theirs], "default", None) == [ours]
    assert existing([ours, theirs], "labs", ["lab1"]) == [theirs]
    with pytest.raises(UnknownCluster, match="no cluster lab1 in pool default"):
        existing([ours, theirs], "default", ["lab1"])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (OperationKind.BOOTSTRAP, {"pool": "labs", "cluster_ids": ["lab1"], "if_due": True}),
        (OperationKind.GOLDEN, {"pool": "labs", "cluster_ids": ["lab1"], "if_due": True}),
        (OperationKind.RESET, {"cluster_id": "lab1", "if_waiting": True}),
        (OperationKind.REBUILD, {"cluster_id": "lab1", "if_due": True}),
        (
            OperationKind.TEARDOWN,
            {"pool": "labs", "cluster_ids": ["lab1"], "confirm": "teardown", "if_due": True},
        ),
    ],
)
def test_work_that_is_started_looks_first_whether_it_is_still_due(
    kind: OperationKind, expected: dict[str, Any]
) -> None:
    assert parameters_of(Work(kind, "lab1", "a wish"), "labs") == expected
