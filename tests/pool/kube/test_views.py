"""Views: what a scope holds, by its watch and by own writes; the newer version of an object counts."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from pool.core.errors import Forbidden
from pool.kube.client import Kube
from pool.kube.resources import CONFIG_MAPS
from pool.kube.views import View
from pool.kube.watching import Scope, Watching
from simulator.api.errors import ApiError as Refusal
from simulator.api.requests import Target
from tests.pool.wire import EXPIRED, UNAVAILABLE, Wire

SCOPE = Scope(CONFIG_MAPS, "default", labels="app=test")


def config_map(name: str, version: int = 0, **data: str) -> dict[str, Any]:
    made = CONFIG_MAPS.manifest(name, "default", labels={"app": "test"}, data=data)
    return made | {"metadata": made["metadata"] | ({"resourceVersion": str(version)} if version else {})}


class Kept:
    """What a listener was told, as far as it is there."""

    def __init__(self) -> None:
        self.there: dict[str, Any] = {}
        self.told = asyncio.Event()

    def __call__(self, obj: dict[str, Any], there: bool) -> None:
        self.there.pop(obj["metadata"]["name"], None)
        if there:
            self.there[obj["metadata"]["name"]] = obj["data"]
        self.told.set()

    async def until(self, **wanted: dict[str, str]) -> None:
        async with asyncio.timeout(10):
            while self.there != wanted:
                self.told.clear()
                await self.told.wait()


async def test_a_view_shows_what_is_there_what_comes_changes_leaves_its_selector_and_goes(
    kube: Kube, watching: Watching
) -> None:
    await kube.create(CONFIG_MAPS, config_map("one", key="1"))
    kept = Kept()
    async with watching.follow(SCOPE, kept) as view:
        assert kept.there == {"one": {"key": "1"}}
        made = await kube.create(CONFIG_MAPS, config_map("two", key="1"))
        await view.reached(made["metadata"]["resourceVersion"])
        assert kept.there == {"one": {"key": "1"}, "two": {"key": "1"}}
        await kube.patch(CONFIG_MAPS, "two", {"data": {"key": "2"}}, "default")
        await kube.patch(CONFIG_MAPS, "one", {"metadata": {"labels": {"app": "other"}}}, "default")
        await kept.until(two={"key": "2"})
        await kube.delete(CONFIG_MAPS, "two", "default")
        await kept.until()


async def test_who_comes_later_is_told_what_is_there(kube: Kube, watching: Watching, wire: Wire) -> None:
    await kube.create(CONFIG_MAPS, config_map("one", key="1"))
    first, second = Kept(), Kept()
    async with watching.follow(SCOPE, first), watching.follow(SCOPE, second):
        assert first.there == second.there == {"one": {"key": "1"}}
    assert wire.calls["list", "configmaps"] == 1


async def test_waits_and_views_share_a_watch(kube: Kube, watching: Watching, wire: Wire) -> None:
    async with watching.follow(SCOPE._replace(namespace=None), Kept()):
        await kube.create(CONFIG_MAPS, config_map("one"))
        await watching.until(CONFIG_MAPS, "one", "default", lambda obj: obj, timeout=10, what="it", labels=SCOPE.labels)
    assert wire.calls["watch", "configmaps"] == 1


async def test_own_writes_show_at_once_and_older_news_do_not_undo_them() -> None:
    view, kept = View(), Kept()
    with view.told(kept):
        view.relist([config_map("one", 3, key="3")], 5)
        view.note(config_map("one", 7, key="7"))
        view.take("MODIFIED", config_map("one", 6, key="6"))
        assert kept.there == {"one": {"key": "7"}}
        view.take("MODIFIED", config_map("one", 8, key="8"))
        view.note(config_map("one", 7, key="7"))
        assert kept.there == {"one": {"key": "8"}}


async def test_the_answer_to_a_write_that_comes_after_the_news_of_the_objects_end_does_not_bring_it_back() -> None:
    view, kept = View(), Kept()
    with view.told(kept):
        view.relist([config_map("one", 3)], 5)
        view.take("DELETED", config_map("one", 9))
        view.note(config_map("one", 8))
        assert kept.there == {}


async def test_a_new_list_takes_away_what_is_gone_but_not_what_is_newer_than_it() -> None:
    view, kept = View(), Kept()
    with view.told(kept):
        view.relist([config_map("one", 3), config_map("two", 4)], 5)
        view.note(config_map("new", 12, key="12"))
        view.relist([config_map("two", 4)], 10)
        assert kept.there == {"two": {}, "new": {"key": "12"}}


async def test_what_was_missed_while_the_history_expired_is_made_up_for(
    kube: Kube, watching: Watching, wire: Wire
) -> None:
    await kube.create(CONFIG_MAPS, config_map("one", key="1"))
    kept = Kept()
    async with watching.follow(SCOPE, kept):
        await wire.watched.wait()
        wire.refuse(EXPIRED, verb="watch")
        wire.cut_watches()
        await kube.delete(CONFIG_MAPS, "one", "default")
        await kube.create(CONFIG_MAPS, config_map("two", key="2"))
        await kept.until(two={"key": "2"})


async def test_an_interrupted_view_says_so_until_it_sees_again(kube: Kube, watching: Watching, wire: Wire) -> None:
    async with watching.follow(SCOPE, Kept()) as view:
        assert view.current
        await wire.watched.wait()
        tries, failed_once = itertools.count(1), asyncio.Event()

        async def see(target: Target) -> None:
            if target.verb == "watch" and next(tries) == 2:
                failed_once.set()

        wire.before = see
        wire.refuse(UNAVAILABLE, verb="watch", times=4)
        wire.cut_watches()
        await asyncio.wait_for(failed_once.wait(), 10)
        assert not view.current
        made = await kube.create(CONFIG_MAPS, config_map("one"))
        await view.reached(made["metadata"]["resourceVersion"])
        assert view.current


async def test_a_missing_right_ends_a_view_and_tells_who_follows(kube: Kube, watching: Watching, wire: Wire) -> None:
    wire.refuse(Refusal(403, "Forbidden", "no right to list"), verb="list")
    with pytest.raises(Forbidden):
        async with watching.follow(SCOPE, Kept()):
            pass
    wire.refuse(Refusal(403, "Forbidden", "no right to watch"), verb="watch")
    async with watching.follow(SCOPE, Kept()) as view:
        with pytest.raises(Forbidden, match="no right to watch"):
            await view.failure
        with pytest.raises(Forbidden, match="no right to watch"):
            await view.reached("999999")
        assert not view.current


async def test_closing_leaves_no_task_of_waits_views_and_of_what_lingers(kube: Kube) -> None:
    async with Watching(kube) as watching:
        async with watching.follow(SCOPE, Kept()):
            pass
        async with watching.follow(SCOPE._replace(labels=""), Kept()):
            await kube.create(CONFIG_MAPS, config_map("one"))
            await watching.until(CONFIG_MAPS, "one", "default", lambda obj: obj, timeout=10, what="it")
        assert len(_watches()) == 2
    assert _watches() == []


def _watches() -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if task.get_name().startswith("watch ")]
