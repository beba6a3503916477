"""Watches over HTTP."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from simulator.app import Simulator
from simulator.client import GVR, Event
from tests.http_api import Api

Obj = dict[str, Any]
MAPS = "/api/v1/namespaces/default/configmaps"
CONFIG_MAPS = GVR("", "v1", "configmaps")


async def take(api: Api, path: str, count: int, *, version: str = "") -> list[tuple[str, str]]:
    """The first `count` events: type and name (or code of an error)."""
    found: list[tuple[str, str]] = []
    async with asyncio.timeout(5):
        async for type_, obj in api.events(path, version=version):
            named = obj["metadata"].get("name", "") if obj["kind"] != "Status" else str(obj["code"])
            found.append((type_, named))
            if len(found) == count:
                return found
    return found


def config(name: str, **labels: str) -> Obj:
    return {"metadata": {"name": name, "labels": labels}}


async def test_watch_from_a_list_tells_all_that_came_after(bare: Api) -> None:
    await bare.create(MAPS, config("before"))
    version = (await bare.get(MAPS))["metadata"]["resourceVersion"]
    await bare.create(MAPS, config("x"))
    await bare.merge(f"{MAPS}/x", {"data": {"a": "1"}})
    await bare.delete(f"{MAPS}/x")
    assert await take(bare, MAPS, 3, version=version) == [("ADDED", "x"), ("MODIFIED", "x"), ("DELETED", "x")]


async def test_watch_without_a_version_begins_with_what_is_there(bare: Api) -> None:
    await bare.create(MAPS, config("x"))
    assert await take(bare, f"{MAPS}?fieldSelector=metadata.name%3Dx", 1) == [("ADDED", "x")]


async def test_initial_events_end_with_a_marked_bookmark(bare: Api) -> None:
    await bare.create(MAPS, config("x", a="b"))
    path = f"{MAPS}?labelSelector=a&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    async for type_, obj in bare.events(path):
        if type_ == "BOOKMARK":
            assert obj["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
            assert int(obj["metadata"]["resourceVersion"]) > 0
            break
        assert (type_, obj["metadata"]["name"]) == ("ADDED", "x")


async def test_what_enters_or_leaves_the_selection_is_added_or_deleted(bare: Api) -> None:
    await bare.create(MAPS, config("x"))
    version = (await bare.get(MAPS))["metadata"]["resourceVersion"]
    await bare.merge(f"{MAPS}/x", {"metadata": {"labels": {"a": "b"}}})
    await bare.merge(f"{MAPS}/x", {"data": {"k": "v"}})
    left = await bare.merge(f"{MAPS}/x", {"metadata": {"labels": None}})
    path = f"{MAPS}?labelSelector=a%3Db"
    assert await take(bare, path, 3, version=version) == [("ADDED", "x"), ("MODIFIED", "x"), ("DELETED", "x")]
    async for type_, obj in bare.events(path, version=version):
        if type_ == "DELETED":
            # As it was last seen in the selection, at the version that took it out.
            assert obj["metadata"]["labels"] == {"a": "b"}
            assert obj["metadata"]["resourceVersion"] == left["metadata"]["resourceVersion"]
            break


async def test_watch_from_before_the_history_is_told_so(bare: Api, api_server: Simulator) -> None:
    old = (await bare.create(MAPS, config("x")))["metadata"]["resourceVersion"]
    await bare.create(MAPS, config("y"))
    api_server.api.store.compact()
    assert await take(bare, MAPS, 1, version=old) == [("ERROR", "410")]


async def test_watch_from_the_future_is_refused(bare: Api) -> None:
    code, answer = await bare.call("GET", f"{MAPS}?watch=1&resourceVersion=999999")
    assert (code, answer["reason"]) == (504, "Timeout")
    assert "Too large resource version" in answer["message"]


async def test_watch_ends_when_its_time_is_over(bare: Api) -> None:
    async with asyncio.timeout(5):
        assert await take(bare, f"{MAPS}?timeoutSeconds=1", 99) == [("ADDED", "kube-root-ca.crt")]


async def test_a_burst_reaches_every_watcher_whole_and_in_order(bare: Api) -> None:
    version = (await bare.get(MAPS))["metadata"]["resourceVersion"]
    watchers = [asyncio.create_task(take(bare, MAPS, 200, version=version)) for _ in range(10)]
    for number in range(200):
        await bare.create(MAPS, config(f"x{number}"))
    wanted = [("ADDED", f"x{number}") for number in range(200)]
    assert all(found == wanted for found in await asyncio.gather(*watchers))


async def test_watch_ends_with_its_client(bare: Api, api_server: Simulator) -> None:
    opened = asyncio.Event()

    async def look() -> None:
        async for _ in bare.events(f"{MAPS}?labelSelector=none", opened):
            raise AssertionError("there is nothing to tell")

    looking = asyncio.create_task(look())
    await asyncio.wait_for(opened.wait(), 5)
    (watch,) = api_server.api.watches
    looking.cancel()
    async with asyncio.timeout(5):
        await watch.ended.wait()
    assert api_server.api.store.followers(("", "configmaps"), "default") == 0


async def test_client_begins_anew_after_a_loss_and_tells_what_vanished(api_server: Simulator) -> None:
    client = api_server.client
    made = await client.create(CONFIG_MAPS, config("x"), "default")
    events = client.watch(CONFIG_MAPS, "default")
    seen: list[Event] = [await anext(events), await anext(events)]
    assert sorted(event.object["metadata"]["name"] for event in seen) == ["kube-root-ca.crt", "x"]
    for watch in list(api_server.api.watches):
        watch.close()
    await client.delete(CONFIG_MAPS, "x", "default")
    await client.create(CONFIG_MAPS, config("y"), "default")
    api_server.api.store.compact()
    told = [await anext(events) for _ in range(3)]
    assert {(event.type, event.object["metadata"]["name"]) for event in told} == {
        ("ADDED", "kube-root-ca.crt"),
        ("ADDED", "y"),
        ("DELETED", "x"),
    }
    assert json.dumps(made["metadata"]["uid"]) in json.dumps([event.object for event in told])
    await events.aclose()  # type: ignore[attr-defined]
