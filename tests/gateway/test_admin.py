"""What operators ask for while Prefect is away, and what is refused before anything is started."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from demo.processes import free_port
from pool.core.clusters import OperationKind
from pool.core.lifecycle import ClusterPhase
from tests.gateway.door import Door, inside, of_lab
from tests.gateway.test_runs_without_prefect import AT_ONCE
from tests.pool.lab import Lab

ADMIN = "/api/v1/admin"


@pytest.fixture(autouse=True)
def prefect_away() -> Iterator[None]:
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"}):
        yield


async def post(door: Door, path: str, body: Any = None, key: str = "") -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return await door.http.post(f"{ADMIN}/{path}", json=body, headers=headers)


CALLS = [
    "bootstrap-pool",
    "create-snapshots",
    "release-all-clusters",
    "clusters/cluster1/reset",
    "clusters/cluster1/rebuild",
]


async def test_prefect_away_is_said_at_once_and_sessions_go_on(lab: Lab) -> None:
    await lab.pool(2)
    async with inside(of_lab(lab)) as door:
        for call in CALLS:
            begin = time.monotonic()
            answer = await post(door, call, key="again")
            assert (answer.status_code, answer.json()["reason"]) == (503, "PrefectUnavailable"), answer.text
            assert int(answer.headers["retry-after"]) > 0
            assert time.monotonic() - begin < AT_ONCE
        assigned = await door.http.post("/api/v1/sessions", json={"sessionId": "alice"})
        assert assigned.status_code == 201
        assert (await door.http.delete("/api/v1/sessions/alice")).json()["clusterId"] == "cluster1"
        assert (await door.http.patch("/api/v1/pools/default", json={"size": 4})).status_code == 200


REFUSED: list[tuple[str, Any, int, str]] = [
    ("clusters/cluster9/reset", None, 404, "UnknownCluster"),
    ("clusters/cluster9/rebuild", None, 404, "UnknownCluster"),
    ("create-snapshots", {"clusterIds": ["cluster1", "cluster9"]}, 404, "UnknownCluster"),
    ("create-snapshots", {"pool": "none"}, 404, "UnknownPool"),
    ("release-all-clusters", {"pool": "none"}, 404, "UnknownPool"),
    ("clusters/locked/reset", None, 409, "IllegalTransition"),
    ("clusters/locked/reset", {"force": False}, 409, "IllegalTransition"),
    ("clusters/locked/reset", {"force": True}, 503, "PrefectUnavailable"),
    ("clusters/locked/rebuild", None, 409, "IllegalTransition"),
    ("clusters/creating/reset", None, 409, "IllegalTransition"),
    ("clusters/busy/reset", None, 409, "OperationInProgress"),
    ("clusters/going/rebuild", None, 409, "IllegalTransition"),
    ("clusters/locked/reset", {"force": True, "now": True}, 422, "InvalidInput"),
    ("clusters/No_Name/reset", None, 422, "InvalidInput"),
    ("bootstrap-pool", {"size": 0}, 422, "InvalidInput"),
    ("create-snapshots", {"clusterIds": []}, 422, "InvalidInput"),
]


async def test_what_cannot_be_is_refused_before_anything_is_started(lab: Lab) -> None:
    await lab.add("cluster1")
    await lab.add("locked", "locked")
    await lab.add("creating", "creating")
    await lab.add("busy", "resetting")
    await lab.begin("busy", OperationKind.RESET, "run1")
    await lab.add("going", "error")
    await lab.delete("going")
    async with inside(of_lab(lab)) as door:
        for call, body, status, reason in REFUSED:
            answer = await post(door, call, body)
            assert (answer.status_code, answer.json()["reason"]) == (status, reason), (call, body, answer.text)


async def test_a_locked_cluster_is_refused_with_the_cure(lab: Lab) -> None:
    await lab.pool(1)
    await lab.state.assign("alice")
    async with inside(of_lab(lab)) as door:
        told = (await post(door, "clusters/cluster1/reset")).json()
    assert told["actual"] == "locked by session alice"
    assert "force" in told["cure"]
    assert (await lab.state.cluster("cluster1")).phase is ClusterPhase.LOCKED


async def test_a_host_on_which_nothing_is_made_yet_can_be_bootstrapped(lab: Lab) -> None:
    """Its kinds are what bootstrap-pool installs: there is nothing to follow before."""
    async with inside(of_lab(lab)) as door:
        door.gateway.host = None
        assert (await post(door, "bootstrap-pool")).json()["reason"] == "PrefectUnavailable"
        assert (await post(door, "release-all-clusters")).json()["reason"] == "ApiUnavailable"
