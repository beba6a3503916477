"""The way through HTTP as a user has it: Prefect's API, the gateway's, and what a scrape tells of it afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from prefect import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.deployments import create_deployments, load_deployments
from gateway.gateway import OpenHost
from pool.core.clusters import OperationKind
from pool.state.events import Listener
from pool.work.steps import Host
from tests.flows.conftest import plain_client
from tests.flows.made import made
from tests.flows.proxy import Proxy
from tests.flows.test_runs_of_the_gateway import patient
from tests.flows.test_worker import events_about, work_pool, worker
from tests.gateway.conftest import lab
from tests.gateway.door import inside, of_lab
from tests.gateway.test_metrics import of, scrape
from tests.pool.lab import ATTESTED, Lab

__all__ = ["lab", "patient", "work_pool"]

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("patient")]

ADMIN = "/api/v1/admin"


async def deploy(work_pool: str, *names: str) -> None:
    """These deployments, with the parameters that their flows take, in a work pool of the test's own."""
    own = {"work_pool": {"name": work_pool}, "schedules": []}
    wanted = [one for one in load_deployments() if one.entry["name"] in names]
    async with get_client() as client:
        await create_deployments(client, [replace(one, entry=one.entry | own) for one in wanted])


@pytest.fixture
async def prefect(prefect_server: None) -> AsyncIterator[httpx.AsyncClient]:
    """Prefect's API as a platform calls it."""
    async with plain_client() as http:
        yield http


def of_host(host: Host) -> OpenHost:
    """Opens the host that the flows of this test work on."""

    @asynccontextmanager
    async def open_host(_: Listener) -> AsyncIterator[Host]:
        yield host

    return open_host


async def run_of(prefect: httpx.AsyncClient, run_id: str) -> dict[str, Any]:
    found = await prefect.get(f"flow_runs/{run_id}")
    return dict(found.raise_for_status().json())


async def completed(prefect: httpx.AsyncClient, run_id: str) -> dict[str, Any]:
    """The run, once it is completed."""
    async with asyncio.timeout(60):
        under_way = ("SCHEDULED", "PENDING", "RUNNING")
        while (run := await run_of(prefect, run_id))["state"]["type"] in under_way:  # noqa: ASYNC110 - it has no watch
            await asyncio.sleep(0.05)
    assert run["state"]["type"] == "COMPLETED", run["state"]
    return run


CALLS: list[tuple[str, Any, str, dict[str, Any]]] = [
    (
        "bootstrap-pool",
        {"pool": "exam", "size": 4, "clusterIds": ["exam1"], "goldenSnapshots": False},
        "bootstrap-pool",
        {"pool": "exam", "size": 4, "cluster_ids": ["exam1"], "golden_snapshots": False},
    ),
    ("create-snapshots", None, "create-golden-snapshots", {"pool": "default", "refresh": False}),
    ("release-all-clusters", {"pool": "default"}, "release-all-clusters", {"pool": "default"}),
    (
        "clusters/cluster2/reset",
        {"force": True},
        "reset-cluster",
        {"cluster_id": "cluster2", "force": True, "epoch": 7},
    ),
    ("clusters/cluster1/rebuild", None, "rebuild-cluster", {"cluster_id": "cluster1"}),
]


async def test_each_of_an_operators_calls_is_one_flow_run_with_parameters_that_its_flow_takes(
    lab: Lab, prefect: httpx.AsyncClient, work_pool: str
) -> None:
    await deploy(work_pool, *{deployment for _, _, deployment, _ in CALLS})
    await lab.pool(1)
    await lab.add("cluster2", "locked", epoch=7)
    async with inside(of_lab(lab)) as door:
        for call, body, deployment, parameters in CALLS:
            answer = await door.http.post(f"{ADMIN}/{call}", json=body)
            assert answer.status_code == 202, answer.text
            told = answer.json()
            assert told.keys() == {"flowRunId", "name", "stateUrl", "uiUrl"}
            run = await run_of(prefect, told["flowRunId"])
            assert (run["parameters"], run["state"]["type"]) == (parameters, "SCHEDULED")
            of_deployment = (await prefect.get(f"deployments/{run['deployment_id']}")).json()
            assert of_deployment["name"] == deployment
            assert told["stateUrl"] == str(prefect.base_url.join(f"flow_runs/{told['flowRunId']}"))

        # The first call's run is what keeps another one from beginning.
        key = {"Idempotency-Key": str(lab.clock().timestamp())}
        where = f"{ADMIN}/clusters/cluster1/reset"
        first = await door.http.post(where, headers=key)
        await lab.begin("cluster1", OperationKind.RESET, first.json()["flowRunId"])
        assert (await door.http.post(where, headers=key)).json() == first.json()
        assert (await door.http.post(where)).json()["reason"] == "OperationInProgress"
        other = await door.http.post(where, json={"force": True}, headers=key)
        assert (other.status_code, other.json()["reason"]) == (422, "InvalidInput")


async def test_a_reset_in_place_is_for_the_hold_that_it_was_asked_for(
    lab: Lab, prefect: httpx.AsyncClient, work_pool: str
) -> None:
    await deploy(work_pool, "reset-cluster")
    await lab.pool(1)
    key = {"Idempotency-Key": str(lab.clock().timestamp())}
    async with inside(of_lab(lab)) as door:
        await lab.state.assign("alice")
        first = await door.http.post("/api/v1/sessions/alice/reset", headers=key)
        assert first.status_code == 202, first.text
        asked = (await run_of(prefect, first.json()["flowRunId"]))["parameters"]
        assert asked == {"cluster_id": "cluster1", "session_id": "alice", "epoch": 1}

        async with lab.state.operation("cluster1", OperationKind.RESET, "done", session_id="alice", epoch=1) as work:
            await work.finish(attested=ATTESTED)
        assert (await door.http.post("/api/v1/sessions/alice/reset", headers=key)).json() == first.json()
        another = await door.http.post("/api/v1/sessions/alice/reset")
        assert (await run_of(prefect, another.json()["flowRunId"]))["parameters"]["epoch"] == 2


async def test_what_is_done_over_http_is_in_prefects_feed_also_what_was_done_while_it_was_away(
    lab: Lab, prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.announcing.AGAIN", 0.1)
    cluster = await lab.add("cluster1")
    pool = await lab.state.pool()
    async with Proxy.before(PREFECT_API_URL.value()) as proxy, get_client() as client:
        with temporary_settings({PREFECT_API_URL: proxy.url}):
            async with inside(of_lab(lab)) as door:
                proxy.fail()
                assert (await door.http.post("/api/v1/sessions", json={"sessionId": "alice"})).status_code == 201
                async with asyncio.timeout(10):
                    while not proxy.failed:  # noqa: ASYNC110 - it has no watch
                        await asyncio.sleep(0.05)
                proxy.recover()
                assert (await door.http.delete("/api/v1/sessions/alice")).status_code == 200
                alice = await lab.state.session("alice")
                story = await events_about(client, f"cks.session.{alice.metadata.uid}", "cks.cluster.", least=2)
    assert [(one.event, one.payload["from"], one.payload["epoch"]) for one in story] == [
        ("cks.cluster.locked", "available", 1),
        ("cks.cluster.resetting", "locked", 1),
    ]
    for one in story:
        assert one.resource.id == f"cks.cluster.{cluster.metadata.uid}"
        assert one.resource_in_role["pool"].id == f"cks.pool.{pool.metadata.uid}"
        assert one.resource_in_role["namespace"].name == "cluster1"


async def test_a_session_is_the_same_whether_prefects_api_or_the_gateway_was_asked(
    host: Host, prefect: httpx.AsyncClient, work_pool: str
) -> None:
    await deploy(work_pool, "assign-session", "reset-cluster")
    await made(host)
    async with worker(work_pool), inside(of_host(host)) as door:
        found = (await prefect.get("deployments/name/assign-session/assign-session")).raise_for_status().json()
        asked = {"parameters": {"session_id": "alice", "ttl_seconds": 600}}
        run = (await prefect.post(f"deployments/{found['id']}/create_flow_run", json=asked)).raise_for_status().json()
        state = (await completed(prefect, run["id"]))["state"]
        alice = (await door.http.get("/api/v1/sessions/alice")).json()
        assert state["message"].startswith("alice has cluster1 until")

        # What it has used is reset by the worker, and seen from here.
        reset = (await door.http.post(f"{ADMIN}/clusters/cluster1/reset", json={"force": True})).json()
        await completed(prefect, reset["flowRunId"])
        ended = (await door.http.get("/api/v1/sessions/alice")).json()
        assert (ended["status"], ended["message"]) == ("Released", "taken back by an operator")

        answer = await door.http.post("/api/v1/sessions", json={"sessionId": "bob", "ttlSeconds": 600})
        assert answer.status_code == 201
        bob = answer.json()
        assert alice.keys() == bob.keys()
        same = ("status", "assignedCluster", "pool", "message")
        assert [alice[name] for name in same] == [bob[name] for name in same]
        assert (alice["epoch"], bob["epoch"]) == (1, 2)
        told = await scrape(door)
    assert of(told, "operation_seconds_count", pool="default", kind="reset", outcome="succeeded") == 1
    assert of(told, "assignment_seconds_count", pool="default") == 2
    assert of(told, "clusters", pool="default", phase="locked") == 1
    assert (of(told, "certificate_days_left", pool="default", cluster="cluster1") or 0) > 30
