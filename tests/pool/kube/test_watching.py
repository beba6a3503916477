"""Waits for objects: one watch for all, never decided by old news, not ended by an outage."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pool.core.errors import Forbidden, PoolError, WaitTimeout
from pool.kube.client import Kube
from pool.kube.resources import CONFIG_MAPS
from pool.kube.watching import Watching
from simulator.api.errors import ApiError as Refusal
from simulator.api.requests import Target
from simulator.app import Simulator
from simulator.client import GVR
from tests.pool.wire import EXPIRED, UNAVAILABLE, Wire


def config_map(name: str, **data: str) -> dict[str, Any]:
    return CONFIG_MAPS.manifest(name, "default", labels={"app": "test"}, data=data)


def holds(value: str) -> Any:
    return lambda obj: obj if obj is not None and obj["data"].get("key") == value else None


async def until(watching: Watching, name: str, value: str, timeout: float = 10.0, labels: str = "") -> dict[str, Any]:
    found: dict[str, Any] = await watching.until(
        CONFIG_MAPS, name, "default", holds(value), timeout=timeout, what=f"{name} to hold {value}", labels=labels
    )
    return found


async def begun(wire: Wire) -> None:
    """Wait until a watch is served."""
    await wire.watched.wait()


async def test_what_is_there_already_is_found(kube: Kube, watching: Watching) -> None:
    await kube.create(CONFIG_MAPS, config_map("one", key="1"))
    assert (await until(watching, "one", "1"))["data"] == {"key": "1"}


@pytest.mark.parametrize("labels", ["", "app=test"])
async def test_changes_end_a_wait(kube: Kube, watching: Watching, labels: str) -> None:
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(until(watching, "one", "2", labels=labels))
        await kube.create(CONFIG_MAPS, config_map("one", key="1"))
        await kube.patch(CONFIG_MAPS, "one", {"data": {"key": "2"}}, "default")
    assert waiting.result()["data"] == {"key": "2"}


async def test_a_deletion_ends_a_wait(kube: Kube, watching: Watching) -> None:
    await kube.create(CONFIG_MAPS, config_map("one"))
    async with asyncio.TaskGroup() as group:
        group.create_task(
            watching.until(
                CONFIG_MAPS, "one", "default", lambda obj: True if obj is None else None, timeout=10, what="it to go"
            )
        )
        await kube.delete(CONFIG_MAPS, "one", "default")


async def test_old_news_decide_nothing(api_server: Simulator, kube: Kube, watching: Watching, wire: Wire) -> None:
    """The watch is behind: it still has to tell of a `ready` that the wait's own read knows to be over."""
    await kube.create(CONFIG_MAPS, config_map("one", key="busy"))
    read = asyncio.Event()

    async def lag(target: Target) -> None:
        if target.verb == "watch":
            await read.wait()
        if target.verb == "get":
            for value in ("ready", "busy"):
                where = GVR("", "v1", "configmaps")
                await api_server.client.patch(where, "one", {"data": {"key": value}}, "default")
            read.set()

    wire.before = lag
    with pytest.raises(WaitTimeout):
        await until(watching, "one", "ready", timeout=2)
    assert read.is_set()


async def test_many_waits_share_one_watch(kube: Kube, watching: Watching, wire: Wire) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(until(watching, f"map{number}", "1"))
        await begun(wire)
        for number in range(20):
            await kube.create(CONFIG_MAPS, config_map(f"map{number}", key="1"))
    assert wire.calls["watch", "configmaps"] == 1
    assert wire.calls["list", "configmaps"] == 1
    assert wire.calls["get", "configmaps"] == 20


async def test_the_timeout_says_what_was_seen_last(kube: Kube, watching: Watching) -> None:
    with pytest.raises(WaitTimeout, match=r"one to hold 1 within 1 s.*nothing there"):
        await until(watching, "one", "1", timeout=1)


async def test_a_check_may_fail_at_once(kube: Kube, watching: Watching) -> None:
    def check(obj: dict[str, Any] | None) -> bool | None:
        raise PoolError("it broke")

    with pytest.raises(PoolError, match="it broke"):
        await watching.until(CONFIG_MAPS, "one", "default", check, timeout=10, what="it")


async def test_a_missing_right_ends_a_wait_at_once(watching: Watching, wire: Wire) -> None:
    wire.refuse(Refusal(403, "Forbidden", "no right to list"), verb="list")
    with pytest.raises(Forbidden, match="no right to list"):
        await until(watching, "one", "1")


async def test_a_missing_right_to_watch_ends_all_waits(kube: Kube, watching: Watching, wire: Wire) -> None:
    wire.refuse(Refusal(403, "Forbidden", "no right to watch"), verb="watch")
    with pytest.raises(Forbidden, match="no right to watch"):
        await until(watching, "one", "1")
    # The next wait begins a new watch: rights may have been granted.
    await kube.create(CONFIG_MAPS, config_map("one", key="1"))
    assert await until(watching, "one", "1")


async def test_a_dropped_stream_is_taken_up_again(kube: Kube, watching: Watching, wire: Wire) -> None:
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(until(watching, "one", "1"))
        await begun(wire)
        wire.cut_watches()
        await kube.create(CONFIG_MAPS, config_map("one", key="1"))
    assert waiting.result()
    assert wire.calls["watch", "configmaps"] == 2
    assert wire.calls["list", "configmaps"] == 1


@pytest.mark.parametrize("gone", [False, True])
async def test_what_was_missed_while_the_history_expired_is_found(
    kube: Kube, watching: Watching, wire: Wire, gone: bool
) -> None:
    await kube.create(CONFIG_MAPS, config_map("one", key="0"))

    def check(obj: dict[str, Any] | None) -> bool | None:
        return (True if obj is None else None) if gone else (True if obj and obj["data"]["key"] == "1" else None)

    async with asyncio.TaskGroup() as group:
        group.create_task(watching.until(CONFIG_MAPS, "one", "default", check, timeout=10, what="it"))
        await begun(wire)
        wire.refuse(EXPIRED, verb="watch")
        wire.cut_watches()
        if gone:
            await kube.delete(CONFIG_MAPS, "one", "default")
        else:
            await kube.patch(CONFIG_MAPS, "one", {"data": {"key": "1"}}, "default")
    assert wire.calls["list", "configmaps"] == 2


async def test_an_outage_does_not_end_a_wait(kube: Kube, watching: Watching, wire: Wire) -> None:
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(until(watching, "one", "1"))
        await begun(wire)
        down = wire.refuse(UNAVAILABLE, verb="watch", times=3)
        wire.cut_watches()
        await kube.create(CONFIG_MAPS, config_map("one", key="1"))
    assert waiting.result()
    assert down.times == 0


async def test_a_wait_that_begins_in_an_outage_outlives_it(kube: Kube, watching: Watching, wire: Wire) -> None:
    await kube.create(CONFIG_MAPS, config_map("one", key="1"))
    wire.refuse(UNAVAILABLE, verb="list", times=2)
    wire.refuse(UNAVAILABLE, verb="get", times=2)
    assert await until(watching, "one", "1")


async def test_closing_ends_the_watches(kube: Kube, wire: Wire) -> None:
    async with Watching(kube) as watching:
        with pytest.raises(WaitTimeout):
            await until(watching, "one", "1", timeout=1)
        tasks = [task for task in asyncio.all_tasks() if task.get_name().startswith("watch ")]
        assert len(tasks) == 1
    assert all(task.done() for task in tasks)
