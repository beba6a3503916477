"""The host's API away: 503 with Retry-After within the short patience, never an empty list; and back again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway import feed, gateway, pulse
from gateway.gateway import OpenHost
from pool.core.settings import Settings
from pool.state.events import Listener
from pool.work.opening import opened
from pool.work.steps import Host
from simulator.api.errors import forbidden
from simulator.api.faults import Fault, FaultKind
from simulator.app import Simulator
from tests.gateway.door import inside, of_lab, served
from tests.gateway.streams import stream
from tests.gateway.test_sessions import SESSIONS, ask
from tests.pool.lab import Lab
from tests.pool.wire import Wire

CALLS: list[tuple[str, str, Any]] = [
    ("GET", SESSIONS, None),
    ("GET", f"{SESSIONS}/alice", None),
    ("POST", SESSIONS, {"sessionId": "alice"}),
    ("POST", SESSIONS, {"sessionId": "bob", "waitSeconds": 60}),
    ("PATCH", f"{SESSIONS}/alice", {"heartbeat": True}),
    ("PATCH", f"{SESSIONS}/alice", {"extendSeconds": 60}),
    ("DELETE", f"{SESSIONS}/alice", None),
    ("POST", f"{SESSIONS}/alice/reset", None),
    ("GET", f"{SESSIONS}/alice/events", None),
    ("GET", f"{SESSIONS}/alice/kubeconfig", None),
    ("GET", "/api/v1/pools", None),
    ("GET", "/api/v1/pools/default", None),
    ("GET", "/api/v1/pools/default/clusters", None),
    ("GET", "/api/v1/pools/default/clusters/cluster1", None),
    ("GET", "/api/v1/pool", None),
    ("GET", "/api/v1/pool/clusters", None),
]


def of_kubeconfig(path: Path) -> OpenHost:
    """As the gateway opens its host, without its patience."""

    @asynccontextmanager
    async def open_host(_: Listener) -> AsyncIterator[Host]:
        async with opened(Settings(kubeconfig=path, request_timeout=30.0), patience=0) as host:
            yield host

    return open_host


def check_away(answer: httpx.Response, call: object) -> None:
    """The problem of an outage."""
    assert (answer.status_code, answer.json()["status"]) == (503, 503), f"{call}: {answer.text}"
    assert answer.json()["reason"] in ("ApiUnavailable", "KubeconfigError"), call
    assert int(answer.headers["retry-after"]) > 0


async def test_with_no_host_every_call_says_so_at_once(tmp_path: Path) -> None:
    async with inside(of_kubeconfig(tmp_path / "none"), ready=False) as door:
        began = time.monotonic()
        for method, path, body in CALLS:
            check_away(await door.http.request(method, path, json=body), (method, path))
        check_away(await door.http.get("/readyz"), "/readyz")
        assert (await door.http.get("/healthz")).status_code == 200
        assert time.monotonic() - began < 20


async def test_a_cancellation_that_is_not_meant_for_it_leaves_it_looking_for_the_host(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "AGAIN", 0.01)
    times = 0

    @asynccontextmanager
    async def open_host(listener: Listener) -> AsyncIterator[Host]:
        nonlocal times
        times += 1
        if times == 1:
            raise asyncio.CancelledError("of what it waited for")
        async with of_lab(lab)(listener) as host:
            yield host

    async with inside(open_host, ready=False) as door, asyncio.timeout(5):
        await door.gateway.following.wait()
        assert (await door.http.get("/readyz")).status_code == 200


async def test_a_host_that_goes_away_is_said_and_found_again_though_its_watches_stay_open(
    api_server: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "EVERY", 0.1)
    assert api_server.kubeconfig_path is not None
    async with (
        Lab.open(api_server.kubeconfig_path) as lab,
        inside(of_kubeconfig(api_server.kubeconfig_path)) as door,
    ):
        await lab.pool(2)
        assert (await ask(door, "alice")).status_code == 201
        outage = Fault(FaultKind.ERROR, code=503)
        api_server.faults.add(outage)
        # The watches stay open: only asking tells.
        async with asyncio.timeout(10):
            while door.gateway.current:  # noqa: ASYNC110 - what is asked for next is that it is told, not when
                await asyncio.sleep(0.01)
        check_away(await door.http.get("/readyz"), "/readyz")
        assert "cks_pool_up 0.0" in (await door.http.get("/metrics")).text
        for method, path, body in CALLS:
            check_away(await door.http.request(method, path, json=body), (method, path))
        api_server.faults.clear()
        assert (await door.http.get("/readyz")).status_code == 200
        again = await ask(door, "alice")
        assert (again.status_code, again.json()["epoch"]) == (200, 1)
        assert [one["sessionId"] for one in (await door.http.get(SESSIONS)).json()["items"]] == ["alice"]


async def test_a_right_that_the_gateway_lacks_is_no_outage(api_server: Simulator) -> None:
    assert api_server.kubeconfig_path is not None
    async with Lab.open(api_server.kubeconfig_path), inside(of_kubeconfig(api_server.kubeconfig_path)) as door:
        Wire(api_server).refuse(forbidden("", "sessions", "", "no"), verb="list", plural="sessions")
        answer = await door.http.get(SESSIONS)
        assert (answer.status_code, answer.json()["reason"]) == (502, "Forbidden"), answer.text
        assert "deployments/rbac" in answer.json()["cure"]
        assert "retry-after" not in answer.headers, "asking again does not help"
        assert (await door.http.get("/readyz")).status_code == 200


async def test_interrupted_watches_leave_it_of_use(api_server: Simulator) -> None:
    assert api_server.kubeconfig_path is not None
    drop = api_server.faults.add(Fault(FaultKind.DROP_WATCH, verbs=("watch",), seconds=0.2))
    async with (
        Lab.open(api_server.kubeconfig_path) as lab,
        inside(of_kubeconfig(api_server.kubeconfig_path)) as door,
    ):
        await lab.pool(1)
        api_server.faults.remove(drop)
        api_server.faults.add(Fault(FaultKind.ERROR, verbs=("watch",), code=503))
        async with asyncio.timeout(10):
            while door.gateway.current:
                assert (await door.http.get("/readyz")).status_code == 200
        assert (await door.http.get("/readyz")).status_code == 200
        assert (await ask(door, "alice")).status_code == 201
        waiting = await ask(door, "bob", waitSeconds=60)
        assert (waiting.status_code, waiting.json()["place"]) == (202, 1)
        assert (await door.http.get(f"{SESSIONS}/bob")).json()["queueLength"] == 1


async def test_the_page_is_told_an_outage_that_cuts_no_watch(
    api_server: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "EVERY", 0.1)
    monkeypatch.setattr(feed, "SPACING", 0.02)
    assert api_server.kubeconfig_path is not None
    async with Lab.open(api_server.kubeconfig_path) as lab, served(of_kubeconfig(api_server.kubeconfig_path)) as door:
        await lab.pool(1)
        async with stream(door.http, "/api/v1/pools/default/events") as following:
            await following.next("pool", lambda pool: pool["clusters"])
            api_server.faults.add(Fault(FaultKind.ERROR, code=503))
            told = await following.next("pool", lambda pool: pool["outageSince"])
            assert [one["clusterId"] for one in told["clusters"]] == ["cluster1"]
            api_server.faults.clear()
            await following.next("pool", lambda pool: not pool["outageSince"])
