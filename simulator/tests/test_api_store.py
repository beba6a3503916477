"""The store: one counter of versions, compare-and-swap, history."""

from __future__ import annotations

from typing import Any

import pytest

from simulator.api.store import Change, Conflict, Store

THINGS = ("", "things")


def thing(name: str, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, **more}


def test_every_write_gets_the_next_version_whatever_its_collection() -> None:
    store = Store()
    first = store.put(THINGS, ("a", "x"), thing("x"), expected=None)
    second = store.put(("g", "others"), ("", "y"), thing("y"), expected=None)
    assert second.version == first.version + 1
    assert second.obj["metadata"]["resourceVersion"] == str(second.version)


@pytest.mark.parametrize("expected", [None, 1])
def test_write_over_another_version_conflicts(expected: int | None) -> None:
    store = Store()
    store.put(THINGS, ("a", "x"), thing("x"), expected=None)
    with pytest.raises(Conflict):
        store.put(THINGS, ("a", "x"), thing("x"), expected=expected)


def test_removal_of_another_version_conflicts() -> None:
    store = Store()
    stored = store.put(THINGS, ("a", "x"), thing("x"), expected=None)
    with pytest.raises(Conflict):
        store.remove(THINGS, ("a", "x"), stored.obj, expected=stored.version - 1)


def test_list_is_ordered_by_namespace_and_name() -> None:
    store = Store()
    for key in (("b", "x"), ("a", "z"), ("a", "y")):
        store.put(THINGS, key, thing(key[1]), expected=None)
    assert [one.obj["metadata"]["name"] for one in store.list(THINGS)] == ["y", "z", "x"]
    assert [one.obj["metadata"]["name"] for one in store.list(THINGS, "a")] == ["y", "z"]


def test_list_at_a_version_is_the_list_of_then() -> None:
    store = Store()
    old = store.put(THINGS, ("a", "x"), thing("x", v=1), expected=None)
    gone = store.put(THINGS, ("a", "y"), thing("y"), expected=None)
    then = store.version
    store.put(THINGS, ("a", "x"), thing("x", v=2), expected=old.version)
    store.remove(THINGS, ("a", "y"), gone.obj, expected=gone.version)
    store.put(THINGS, ("a", "z"), thing("z"), expected=None)
    found = store.list_at(THINGS, "a", then)
    assert found is not None
    assert [(key[1], one.obj.get("v")) for key, one in found] == [("x", 1), ("y", None)]


def test_history_is_bounded_and_says_what_it_lost() -> None:
    store = Store(history=3)
    stored = store.put(THINGS, ("a", "x"), thing("x"), expected=None)
    first = stored.version
    for _ in range(5):
        stored = store.put(THINGS, ("a", "x"), thing("x"), expected=stored.version)
    assert store.since(THINGS, first) is None
    kept = store.since(THINGS, store.oldest(THINGS))
    assert kept is not None
    assert [change.version for change in kept] == [stored.version - 2, stored.version - 1, stored.version]


def test_compaction_forgets_all_history() -> None:
    store = Store()
    stored = store.put(THINGS, ("a", "x"), thing("x"), expected=None)
    store.put(THINGS, ("a", "x"), thing("x"), expected=stored.version)
    store.compact()
    assert store.since(THINGS, stored.version) is None
    assert store.since(THINGS, store.version) == []


def test_a_copy_does_not_see_later_writes_and_goes_on_counting() -> None:
    store = Store()
    stored = store.put(THINGS, ("a", "x"), thing("x", v=1), expected=None)
    copy = Store.load(store.dump())
    store.put(THINGS, ("a", "x"), thing("x", v=2), expected=stored.version)
    kept = copy.get(THINGS, ("a", "x"))
    assert kept is not None
    assert kept.obj["v"] == 1
    assert copy.put(THINGS, ("a", "x"), thing("x", v=3), expected=kept.version).version > kept.version


def test_followers_of_a_namespace_hear_of_it_alone() -> None:
    store = Store()
    heard: list[Change] = []
    stop = store.follow(THINGS, "a", heard.append)
    store.put(THINGS, ("a", "x"), thing("x"), expected=None)
    store.put(THINGS, ("b", "x"), thing("x"), expected=None)
    stop()
    store.put(THINGS, ("a", "y"), thing("y"), expected=None)
    assert [change.key for change in heard] == [("a", "x")]
