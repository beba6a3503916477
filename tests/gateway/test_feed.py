"""A pool's stream, as its page follows it: all of it at once, then what changes, worked out once for all who follow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway import feed, streaming
from gateway.access.roles import Role
from pool.core.clusters import OperationKind
from pool.core.settings import Settings
from pool.kube.resources import POOLS, SESSIONS
from pool.work.opening import opened
from simulator.api.errors import forbidden
from simulator.app import Simulator
from tests.gateway.door import Door, of_lab, served
from tests.gateway.streams import stream
from tests.gateway.tokens import bearer, tokens_of_all_roles
from tests.pool.lab import Lab
from tests.pool.wire import UNAVAILABLE, Wire

EVENTS = "/api/v1/pools/default/events"


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "SPACING", 0.02)
    monkeypatch.setattr(feed, "FIRST", 0.2)


@pytest.fixture
async def real_door(api_server: Simulator) -> AsyncIterator[Door]:
    """With a connection of its own, which gives up soon."""
    settings = Settings(kubeconfig=api_server.kubeconfig_path)
    async with served(lambda _: opened(settings, patience=0.1)) as door:
        yield door


def phases(told: dict[str, Any]) -> dict[str, str]:
    return {cluster["clusterId"]: cluster["status"] for cluster in told["clusters"]}


async def test_the_first_event_is_the_clock_and_the_second_the_whole_pool(lab: Lab, served_door: Door) -> None:
    await lab.pool(2)
    await lab.state.assign("alice", ttl_seconds=600)
    async with stream(served_door.http, EVENTS) as following:
        assert (await following.next("clock")).keys() == {"now"}
        told = await following.next("pool", lambda pool: pool["events"])
    assert phases(told) == {"cluster1": "locked", "cluster2": "available"}
    assert told["outageSince"] is None
    assert told["clusters"][0]["assignedSession"] == "alice"
    assert told["clusters"][0]["epoch"] == 1
    assert told["events"][0]["message"] == "available -> locked: assigned, session alice, epoch 1"
    assert {"expiresAt", "lastResetSeconds", "cordoned", "removing", "operation", "healthy", "failure"} <= told[
        "clusters"
    ][0].keys()


async def test_what_changes_is_told_and_a_heartbeat_is_not_a_change(lab: Lab, served_door: Door) -> None:
    await lab.add("cluster1")
    async with stream(served_door.http, EVENTS) as following:
        await following.next("pool")
        run = await lab.begin("cluster1", OperationKind.RESET, "a-run")
        told = await following.next("pool", lambda pool: phases(pool) == {"cluster1": "resetting"})
        assert told["clusters"][0]["operation"]["kind"] == "reset"
        lab.clock.forward(5)
        await run.heartbeat()
        await run.finish(attested=None)
        told = await following.next("pool", lambda pool: pool["clusters"][0]["operation"] is None)
    assert phases(told) == {"cluster1": "resetting"}


async def test_who_waits_is_told_in_the_order_of_the_queue(lab: Lab, served_door: Door) -> None:
    for name, priority in (("last", 0), ("first", 5)):
        spec = {"pool": "default", "priority": priority, "waitSeconds": 600}
        asked = SESSIONS.manifest(name, lab.settings.namespace) | {"spec": spec}
        await lab.kube.create(SESSIONS, asked)
    async with stream(served_door.http, EVENTS) as following:
        told = await following.next("pool", lambda pool: len(pool["queue"]) == 2)
    assert [(one["place"], one["sessionId"]) for one in told["queue"]] == [(1, "first"), (2, "last")]


async def test_however_many_follow_it_costs_one_watch_and_is_worked_out_once(
    lab: Lab, api_server: Simulator, served_door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.pulse.EVERY", 600.0)
    await lab.add("cluster1")
    wire, made = Wire(api_server), []
    formatted = feed.formatted
    monkeypatch.setattr(feed, "formatted", lambda *event: made.append(event[0]) or formatted(*event))
    async with AsyncExitStack() as all_of_them:
        following = [await all_of_them.enter_async_context(stream(served_door.http, EVENTS)) for _ in range(40)]
        for one in following:
            await one.next("pool")
        asked, before = dict(wire.calls), len(made)
        await lab.state.assign("alice")
        for one in following:
            await one.next("pool", lambda pool: phases(pool) == {"cluster1": "locked"})
    assert 0 < len(made) - before < 6
    assert asked == {("watch", "events"): 1, ("list", "events"): 1}


async def test_an_outage_is_told_as_one_with_what_was_seen_last_and_its_end(
    lab: Lab, api_server: Simulator, real_door: Door
) -> None:
    await lab.add("cluster1")
    wire = Wire(api_server)
    async with stream(real_door.http, EVENTS) as following:
        await following.next("pool", lambda pool: pool["clusters"])
        outage = wire.refuse(UNAVAILABLE, times=10**6)
        wire.cut_watches()
        told = await following.next("pool", lambda pool: pool["outageSince"])
        assert phases(told) == {"cluster1": "available"}
        outage.times = 0
        told = await following.next("pool", lambda pool: not pool["outageSince"])
        assert phases(told) == {"cluster1": "available"}


async def test_without_the_right_to_see_events_the_pool_is_told_all_the_same(
    lab: Lab, api_server: Simulator, served_door: Door
) -> None:
    await lab.add("cluster1")
    Wire(api_server).refuse(forbidden("", "events", "", "no"), plural="events", times=10)
    async with stream(served_door.http, EVENTS) as following:
        told = await following.next("pool", lambda pool: pool["clusters"])
    assert told["events"] == []


async def test_a_pool_that_is_gone_ends_its_stream_and_is_never_told_empty(lab: Lab, served_door: Door) -> None:
    await lab.state.ensure_pool("exam")
    async with stream(served_door.http, "/api/v1/pools/exam/events") as following:
        await following.next("pool")
        await lab.kube.delete(POOLS, "exam", lab.settings.namespace)
        await lab.state.let_pool_go("exam")
        assert [name for name, _ in await following.rest()] == []
    answer = await served_door.http.get("/api/v1/pools/exam/events")
    assert (answer.status_code, answer.json()["reason"]) == (404, "UnknownPool")


async def test_who_follows_is_told_that_the_gateway_stops(lab: Lab, served_door: Door) -> None:
    async with stream(served_door.http, EVENTS) as following:
        await following.next("pool")
        served_door.gateway.stopping.set()
        assert (await following.rest())[-1] == ("reconnect", {})


async def test_a_stream_ends_after_a_while_so_that_who_opens_it_again_must_be_known_still(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "LONGEST", 0.5)
    await lab.pool(1)
    await lab.state.assign("alice")
    tokens = tokens_of_all_roles(tmp_path / "tokens")
    async with served(of_lab(lab), tokens=tmp_path / "tokens") as door:
        door.http.headers.update(bearer(tokens[Role.VIEWER]))
        for path in (EVENTS, "/api/v1/sessions/alice/events"):
            async with stream(door.http, path) as following:
                assert (await following.rest())[-1] == ("reconnect", {}), path
        (tmp_path / "tokens").write_text("[]")
        assert (await door.http.get(EVENTS)).status_code == 401


async def test_who_has_too_many_streams_open_is_told_until_one_is_closed(lab: Lab) -> None:
    await lab.state.ensure_pool()
    async with served(of_lab(lab), streams=2) as door:
        async with stream(door.http, EVENTS) as first:
            await first.next("pool")
            async with stream(door.http, EVENTS) as second:
                await second.next("pool")
                refused = await door.http.get(EVENTS)
                assert (refused.status_code, refused.json()["reason"]) == (429, "TooManyRequests")
                assert "CKS_GATEWAY_STREAMS" in refused.json()["cure"]
                assert int(refused.headers["retry-after"]) > 0
            async with asyncio.timeout(10):
                while door.gateway.streams["anybody"] > 1:  # noqa: ASYNC110 - the server notices by itself
                    await asyncio.sleep(0.01)
            async with stream(door.http, EVENTS) as third:
                await third.next("pool")
        async with asyncio.timeout(10):
            while door.gateway.streams:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_a_host_that_is_lost_ends_the_stream(lab: Lab, served_door: Door) -> None:
    async with stream(served_door.http, EVENTS) as following:
        await following.next("pool")
        served_door.gateway.host = None
        assert [name for name, _ in await following.rest()] == []
    answer = await served_door.http.get(EVENTS)
    assert answer.status_code == 503
    assert answer.headers["retry-after"]


async def test_nothing_runs_on_once_nobody_follows(lab: Lab, served_door: Door) -> None:
    async with stream(served_door.http, EVENTS) as following:
        await following.next("pool")
        (kept,) = served_door.app.state.feeds._feeds.values()
    async with stream(served_door.http, EVENTS) as following:
        await following.next("pool")
        assert served_door.app.state.feeds._feeds["default"] is not kept
        assert kept.ended


async def test_who_asks_is_told_who_they_are(door: Door) -> None:
    assert (await door.http.get("/api/v1/me")).json() == {"name": "anybody", "role": "operator", "pool": None}
