"""What runs are called: what they do, to what, and why."""

from __future__ import annotations

from typing import Any

import pytest

from pool.core.run_names import LONGEST, run_name


@pytest.mark.parametrize(
    ("deployment", "parameters", "name"),
    [
        ("create-namespaces", {}, "create namespaces of default"),
        ("bootstrap-pool", {"size": 3}, "bootstrap default (3)"),
        ("bootstrap-pool", {"pool": "labs", "cluster_ids": ["lab4"], "size": None}, "bootstrap lab4"),
        ("bootstrap-pool", {"cluster_ids": [f"c{n}" for n in range(9)]}, "bootstrap c0, c1, c2 and 6 more"),
        ("create-golden-snapshots", {"pool": "labs"}, "take snapshots of labs"),
        ("create-golden-snapshots", {"refresh": True}, "refresh snapshots of default"),
        ("reset-cluster", {"cluster_id": "cluster2", "if_waiting": True}, "reset cluster2"),
        ("reset-cluster", {"cluster_id": "cluster2", "session_id": "alice"}, "reset cluster2 for alice"),
        ("reset-cluster", {"cluster_id": "cluster2", "force": True}, "reset cluster2 by force"),
        ("rebuild-cluster", {"cluster_id": "cluster1"}, "rebuild cluster1"),
        ("assign-session", {"session_id": "alice", "pool": "default"}, "assign alice"),
        ("release-session", {"session_id": "alice"}, "release alice"),
        ("extend-session", {"session_id": "alice"}, "extend alice by 1800 s"),
        ("heartbeat-session", {"session_id": "alice"}, "heartbeat of alice"),
        ("pool-maintenance", {"pool": None}, "maintain all pools"),
        ("pool-maintenance", {"pool": "labs"}, "maintain labs"),
        ("pool-status", {}, "status of default"),
        ("release-all-clusters", {"pool": "labs"}, "release all of labs"),
        ("teardown-pool", {"confirm": "teardown", "cluster_ids": None}, "tear down default"),
        ("teardown-pool", {"confirm": "teardown", "cluster_ids": ["cluster4"]}, "tear down cluster4"),
    ],
)
def test_a_run_is_named_for_what_it_does(deployment: str, parameters: dict[str, Any], name: str) -> None:
    assert run_name(deployment, parameters) == name


def test_why_comes_last() -> None:
    assert run_name("reset-cluster", {"cluster_id": "cluster2"}, "after alice") == "reset cluster2 after alice"


def test_a_name_is_bounded_whatever_the_session_is_called() -> None:
    name = run_name("reset-cluster", {"cluster_id": "cluster2"}, "after " + "a" * 253)
    assert len(name) == LONGEST
    assert name.endswith("a…")
