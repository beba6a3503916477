"""Pools and clusters over HTTP: what there is, what is wanted of it, and that an outage is no empty pool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.access.roles import Role
from gateway.access.tokens import as_yaml, new_token
from gateway.pools import examples
from gateway.pools.models import ClusterView, PoolView
from pool.core.pools import PoolSpec
from pool.kube.resources import POOLS
from simulator.api.faults import Fault, FaultKind
from simulator.app import Simulator
from tests.gateway.door import Door, inside, of_lab
from tests.pool.lab import Lab

POOLS_URL = "/api/v1/pools"


async def get(door: Door, path: str, status: int = 200) -> Any:
    answer = await door.http.get(path)
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_a_pool_is_told_with_counts_that_add_up_and_why_it_is_so(lab: Lab, door: Door) -> None:
    await lab.add("cluster1")
    await lab.add("cluster2", "error")
    await lab.state.assign("alice")
    told = await get(door, f"{POOLS_URL}/default")
    assert told["name"] == "default"
    assert (told["size"], told["waiting"], told["removing"]) == (3, 0, False)
    assert told["stats"] == {
        "totalClusters": 2,
        "creatingClusters": 0,
        "availableClusters": 0,
        "lockedClusters": 1,
        "resettingClusters": 0,
        "errorClusters": 1,
        "statusByCluster": {"cluster1": "locked", "cluster2": "error"},
    }
    assert await get(door, "/api/v1/pool") == told["stats"]


def test_the_examples_are_as_the_api_tells_them() -> None:
    for example, view in ((examples.POOL, PoolView), (examples.CLUSTER, ClusterView)):
        told = example["content"]["application/json"]["example"]
        assert view.model_validate(told).model_dump(mode="json", by_alias=True) == told


async def test_lists_go_on_where_they_were_left(lab: Lab, door: Door) -> None:
    for number in (1, 2, 9, 10, 11):
        await lab.add(f"cluster{number}")
    await lab.state.ensure_pool("exam", PoolSpec(cluster_prefix="exam"))
    names, after = [], ""
    while True:
        part = await get(door, f"{POOLS_URL}/default/clusters?limit=2{after}")
        names += [one["clusterId"] for one in part["items"]]
        if "continue" not in part:
            break
        after = f"&continue={part['continue']}"
    assert names == ["cluster1", "cluster2", "cluster9", "cluster10", "cluster11"]
    assert [one["name"] for one in (await get(door, POOLS_URL))["items"]] == ["default", "exam"]
    assert await get(door, "/api/v1/pool/clusters") == await get(door, f"{POOLS_URL}/default/clusters")
    assert (await get(door, f"{POOLS_URL}/exam/clusters"))["items"] == []


async def test_a_cluster_is_told_as_the_platform_knows_it(lab: Lab, door: Door) -> None:
    await lab.add("cluster1")
    await lab.state.assign("alice")
    told = await get(door, f"{POOLS_URL}/default/clusters/cluster1")
    assert (told["clusterId"], told["status"], told["assignedSession"]) == ("cluster1", "locked", "alice")
    assert told.keys() == {
        *("clusterId", "namespace", "status", "assignedSession", "lockTime", "lastReset", "controlPlaneVM"),
        *("workerNodeVM", "createdAt", "lastHealthCheck", "cordoned"),
    }


async def test_what_is_unknown_is_said_with_its_reason(lab: Lab, door: Door) -> None:
    await lab.state.ensure_pool("exam", PoolSpec(cluster_prefix="exam"))
    await lab.add("cluster1")
    for path, reason in {
        "none": "UnknownPool",
        "none/clusters": "UnknownPool",
        "default/clusters/cluster9": "UnknownCluster",
        "exam/clusters/cluster1": "UnknownCluster",
    }.items():
        told = await get(door, f"{POOLS_URL}/{path}", 404)
        assert (told["reason"], told["type"]) == (reason, f"/problems/{reason}")
    assert (await get(door, f"{POOLS_URL}/Not-A-Name", 422))["reason"] == "InvalidInput"
    assert (await get(door, f"{POOLS_URL}?continue=!", 422))["reason"] == "InvalidInput"


async def test_a_pool_is_resized_within_its_bounds(lab: Lab, door: Door) -> None:
    async def patch(path: str, body: Any) -> httpx.Response:
        return await door.http.patch(f"{POOLS_URL}/{path}", json=body)

    resized = await patch("default", {"size": 5})
    assert (resized.status_code, resized.json()["size"]) == (200, 5)
    assert (await get(door, f"{POOLS_URL}/default"))["size"] == 5, "its own write shows at once"
    for body in ({"size": 501}, {"size": -1}, {"size": True}, {"size": 5, "prefix": "x"}, {}):
        assert (await patch("default", body)).status_code == 422, body
    assert (await patch("none", {"size": 5})).status_code == 404
    await lab.kube.delete(POOLS, "default", "cks-pool")
    refused = await patch("default", {"size": 4})
    assert (refused.status_code, refused.json()["reason"]) == (409, "IllegalTransition")
    assert (await lab.state.pool()).spec.size == 5


async def test_a_cordoned_cluster_is_given_to_nobody(lab: Lab, door: Door) -> None:
    await lab.pool(1)
    where = f"{POOLS_URL}/default/clusters/cluster1"
    assert (await door.http.patch(where, json={"cordoned": True})).json()["cordoned"] is True
    assert (await door.http.post("/api/v1/sessions", json={"sessionId": "alice"})).status_code == 409
    assert (await door.http.post("/api/v1/admin/clusters/cluster1/uncordon")).json()["cordoned"] is False
    assert (await door.http.post("/api/v1/sessions", json={"sessionId": "alice"})).status_code == 201
    cordoned = await door.http.post("/api/v1/admin/clusters/cluster1/cordon")
    assert (cordoned.json()["cordoned"], cordoned.json()["assignedSession"]) == (True, "alice")
    assert (await door.http.post("/api/v1/admin/clusters/cluster9/cordon")).status_code == 404


async def test_while_the_host_is_away_no_pool_is_empty(lab: Lab, door: Door, api_server: Simulator) -> None:
    await lab.pool(2)
    api_server.faults.add(Fault(FaultKind.ERROR, code=503))
    # What is followed is still known, until the watches end.
    assert (await get(door, f"{POOLS_URL}/default"))["stats"]["totalClusters"] == 2
    door.gateway.host = None
    for path in ("", "/default", "/default/clusters", "/default/clusters/cluster1"):
        answer = await door.http.get(f"{POOLS_URL}{path}")
        assert (answer.status_code, answer.json()["reason"]) == (503, "ApiUnavailable")
        assert int(answer.headers["retry-after"]) > 0


async def test_what_is_not_followed_is_read(lab: Lab, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    await lab.pool(2)
    monkeypatch.setattr(type(door.view), "current", property(lambda _: False))
    assert (await get(door, f"{POOLS_URL}/default"))["stats"]["availableClusters"] == 2
    assert [one["name"] for one in (await get(door, POOLS_URL))["items"]] == ["default"]
    assert len((await get(door, f"{POOLS_URL}/default/clusters"))["items"]) == 2


async def test_a_platform_sees_its_own_pool_and_changes_none(lab: Lab, tmp_path: Path) -> None:
    await lab.state.ensure_pool("exam", PoolSpec(cluster_prefix="exam"))
    await lab.pool(1)
    path, tokens = tmp_path / "tokens", {}
    entries = ""
    for name, role, pool in (("lms", Role.SESSION, "exam"), ("grafana", Role.VIEWER, None)):
        tokens[name], entry = new_token(name, role, pool)
        entries += as_yaml(entry)
    path.write_text(entries)
    async with inside(of_lab(lab), tokens=path) as door:
        lms = {"Authorization": f"Bearer {tokens['lms']}"}
        listed = await door.http.get(POOLS_URL, headers=lms)
        assert [one["name"] for one in listed.json()["items"]] == ["exam"]
        for denied in (f"{POOLS_URL}/default", f"{POOLS_URL}/default/clusters", "/api/v1/pool", "/metrics"):
            assert (await door.http.get(denied, headers=lms)).status_code == 403, denied
        viewer = {"Authorization": f"Bearer {tokens['grafana']}"}
        assert (await door.http.get("/metrics", headers=viewer)).status_code == 200
        for headers in (lms, viewer):
            resized = await door.http.patch(f"{POOLS_URL}/exam", json={"size": 5}, headers=headers)
            cordoned = await door.http.post("/api/v1/admin/clusters/cluster1/cordon", headers=headers)
            assert (resized.status_code, cordoned.status_code) == (403, 403)
        assert (await door.http.get("/metrics")).status_code == 401
