"""What the API server itself refuses, whoever writes: the CRDs' rules hold for kubectl as for the pool."""

from __future__ import annotations

from typing import Any

import pytest

from pool.core.errors import Invalid
from pool.kube.client import Object
from pool.kube.resources import POOLED_CLUSTERS, SESSIONS
from tests.pool.builders import cluster
from tests.pool.lab import Lab

NO_SUCH_EDGE = "the lifecycle has no such transition"

OPERATION = {"kind": "reset", "runId": "r", "startedAt": "2026-01-01T00:00:00Z", "heartbeatAt": "2026-01-01T00:00:00Z"}

HELD = {"assignedSession": "eve", "lockTime": "2026-01-01T00:00:00Z", "expiresAt": "2026-01-01T00:00:00Z"}

REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("available", {"phase": "locked"}, "a locked cluster has assignedSession, lockTime and expiresAt"),
    ("available", {"phase": "odd"}, "Unsupported value"),
    ("available", {"assignedSession": "eve"}, "only a locked cluster, or one reset in place, has an assignedSession"),
    ("available", {"epoch": -1}, "epoch"),
    ("resetting", {"phase": "available", "golden": None}, "an available cluster has a golden generation"),
    ("resetting", {"phase": "available"}, "an available cluster is clean"),
    ("resetting", {"clean": True}, "a cluster becomes clean only by the operation that attested it"),
    ("available", {"clean": False}, "an available cluster is clean"),
    ("available", {"operation": OPERATION}, "nobody works on an available cluster"),
    ("locked", {"clean": True}, "a cluster that a session or a run may use is not clean"),
    ("error", {"phase": "available", "clean": True}, NO_SUCH_EDGE),
    ("locked", {"phase": "available", "assignedSession": None}, NO_SUCH_EDGE),
    ("available", {"phase": "error"}, NO_SUCH_EDGE),
    ("locked", {"phase": "error", "assignedSession": None}, NO_SUCH_EDGE),
    ("locked", {"assignedSession": "eve"}, "a held cluster does not change hands"),
    ("locked", {"phase": "resetting", "assignedSession": "eve"}, "a held cluster does not change hands"),
    ("resetting", HELD | {"phase": "locked"}, "only an available one is locked"),
    ("resetting", HELD, "only an available one is locked"),
    ("locked", {"epoch": 0}, "the epoch never goes back"),
]


@pytest.mark.parametrize(("phase", "patch", "why"), REFUSED, ids=[f"{p}-{'-'.join(c)}" for p, c, _ in REFUSED])
async def test_a_write_that_breaks_a_rule_is_refused(lab: Lab, phase: str, patch: Object, why: str) -> None:
    before = await lab.add("c1", phase)
    with pytest.raises(Invalid, match=why):
        await lab.kube.patch(POOLED_CLUSTERS, "c1", {"status": patch}, "cks-pool", subresource="status")
    assert await lab.state.cluster("c1") == before


async def test_a_new_cluster_is_not_clean_by_its_first_status(lab: Lab) -> None:
    await lab.kube.create(POOLED_CLUSTERS, POOLED_CLUSTERS.manifest("c1", "cks-pool", spec={"namespace": "c1"}))
    status = cluster("c1").to_object()["status"]
    with pytest.raises(Invalid, match="becomes clean only by the operation"):
        await lab.kube.patch(POOLED_CLUSTERS, "c1", {"status": status}, "cks-pool", subresource="status")


async def test_a_clusters_namespace_never_changes(lab: Lab) -> None:
    await lab.add("c1")
    with pytest.raises(Invalid, match="a cluster's namespace never changes"):
        await lab.kube.patch(POOLED_CLUSTERS, "c1", {"spec": {"namespace": "other"}}, "cks-pool")


async def test_a_clusters_name_has_at_most_40_characters(lab: Lab) -> None:
    with pytest.raises(Invalid, match="at most 40 characters"):
        await lab.add("c" * 41)


@pytest.mark.parametrize(
    ("patch", "why"),
    [
        ({"phase": "Pending"}, "an ended session stays ended"),
        ({"assignedCluster": "other"}, "an active session keeps its cluster"),
        ({"epoch": None}, "an active session has assignedCluster, epoch and expiresAt"),
    ],
)
async def test_an_active_session_only_ends(lab: Lab, patch: Object, why: str) -> None:
    await lab.pool(1)
    await lab.state.assign("alice")
    with pytest.raises(Invalid, match=why):
        await lab.kube.patch(SESSIONS, "alice", {"status": patch}, "cks-pool", subresource="status")


@pytest.mark.parametrize("spec", [{"ttlSeconds": 59}, {"ttlSeconds": 604801}, {"priority": 101}, {"waitSeconds": -1}])
async def test_a_session_out_of_bounds_is_refused(lab: Lab, spec: Object) -> None:
    with pytest.raises(Invalid):
        await lab.kube.create(SESSIONS, SESSIONS.manifest("alice", "cks-pool", spec=spec), "cks-pool")
