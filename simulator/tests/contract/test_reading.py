"""Lists, selectors and watches. Any Kubernetes does this."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from urllib.parse import urlencode

import pytest

from tests.contract.api import Api
from tests.contract.lab import core
from tests.http_api import Failed, Obj

SELECTED = [
    ("role=cp", ["a"]),
    ("role!=cp", ["b", "c"]),
    ("role", ["a", "b"]),
    ("!role", ["c"]),
    ("role in (cp, wk)", ["a", "b"]),
    ("role notin (cp),team", ["c"]),
    ("role=cp,team=x", []),
]
ONLY = "contract=yes"
"""Kubernetes itself puts a ConfigMap into every namespace."""


async def make(api: Api, namespace: str, name: str, **labels: str) -> Obj:
    meta = {"name": name, "labels": {"contract": "yes", **labels}}
    return await api.create(core(namespace, "configmaps"), {"metadata": meta})


async def take(api: Api, namespace: str, count: int, *, version: str, labels: str = ONLY) -> list[tuple[str, str]]:
    """The first `count` events: type and name, of an error its code."""
    found: list[tuple[str, str]] = []
    async with asyncio.timeout(api.patience):
        async for type_, obj in api.events(core(namespace, "configmaps"), version=version, labelSelector=labels):
            found.append((type_, str(obj["code"]) if type_ == "ERROR" else obj["metadata"]["name"]))
            if len(found) == count:
                break
    return found


@pytest.mark.parametrize(("selector", "names"), SELECTED)
async def test_labels_select(api: Api, namespace: str, selector: str, names: list[str]) -> None:
    await make(api, namespace, "a", role="cp")
    await make(api, namespace, "b", role="wk")
    await make(api, namespace, "c", team="x")
    assert await api.names(core(namespace, "configmaps"), labelSelector=f"{ONLY},{selector}") == names


async def test_a_name_selects_as_field_and_other_fields_are_refused(api: Api, namespace: str) -> None:
    await make(api, namespace, "a")
    await make(api, namespace, "b")
    path = core(namespace, "configmaps")
    assert await api.names(path, fieldSelector="metadata.name=a") == ["a"]
    assert "a" not in await api.names(path, fieldSelector="metadata.name!=a")
    with pytest.raises(Failed) as refusal:
        await api.page(path, fieldSelector="data.key=x")
    assert refusal.value.code == 400
    assert '"data.key" is not a known field selector: only "metadata.name", "metadata.namespace"' in (
        refusal.value.message
    )


async def test_a_list_in_pages_is_the_list_as_it_was_at_its_first_page(api: Api, namespace: str) -> None:
    for number in range(5):
        await make(api, namespace, f"x{number}")
    path = core(namespace, "configmaps")
    first = await api.page(path, labelSelector=ONLY, limit="2")
    await make(api, namespace, "x9")
    names = [one["metadata"]["name"] for one in first["items"]]
    following = first["metadata"]["continue"]
    while following:
        page = await api.page(path, labelSelector=ONLY, limit="2", **{"continue": following})
        names += [one["metadata"]["name"] for one in page["items"]]
        following = page["metadata"].get("continue")
    assert names == ["x0", "x1", "x2", "x3", "x4"]


async def test_a_watch_from_a_list_tells_everything_after_it_in_order(api: Api, namespace: str) -> None:
    await make(api, namespace, "before")
    path = core(namespace, "configmaps")
    version = (await api.page(path))["metadata"]["resourceVersion"]
    await make(api, namespace, "x")
    await api.merge(f"{path}/x", {"data": {"a": "1"}})
    await api.delete(f"{path}/x")
    events = [("ADDED", "x"), ("MODIFIED", "x"), ("DELETED", "x")]
    assert await take(api, namespace, 3, version=version) == events


async def test_every_watched_version_can_be_resumed_from(api: Api, namespace: str) -> None:
    path = core(namespace, "configmaps")
    start = (await api.page(path))["metadata"]["resourceVersion"]
    for number in range(3):
        await make(api, namespace, f"x{number}")
    seen: list[str] = []
    version = start
    for _ in range(3):
        async with asyncio.timeout(api.patience):
            async for _type, obj in api.events(path, version=version, labelSelector=ONLY):
                seen.append(obj["metadata"]["name"])
                version = obj["metadata"]["resourceVersion"]
                break
    assert seen == ["x0", "x1", "x2"]


async def test_what_leaves_the_selection_is_told_as_deleted(api: Api, namespace: str) -> None:
    made = await make(api, namespace, "x", role="cp")
    path = core(namespace, "configmaps", "x")
    await api.merge(path, {"metadata": {"labels": {"role": "wk"}}})
    await api.merge(path, {"metadata": {"labels": {"role": "cp"}}})
    version = made["metadata"]["resourceVersion"]
    assert await take(api, namespace, 2, version=version, labels="role=cp") == [("DELETED", "x"), ("ADDED", "x")]


async def test_a_watch_ends_after_the_seconds_it_asked_for(api: Api, namespace: str) -> None:
    version = (await api.page(core(namespace, "configmaps")))["metadata"]["resourceVersion"]
    async with asyncio.timeout(api.patience):
        path = core(namespace, "configmaps")
        async for type_, obj in api.events(path, version=version, timeoutSeconds="1", labelSelector="none=here"):
            raise AssertionError(f"{type_} {obj['metadata']}")


async def test_a_watch_from_a_forgotten_version_is_told_that_it_is_gone(
    api: Api, namespace: str, compact: Callable[[], None]
) -> None:
    await make(api, namespace, "x")
    await make(api, namespace, "y")
    compact()
    try:
        [(type_, told)] = await take(api, namespace, 1, version="1")
    except Failed as refusal:
        # Before the stream began is as good a time to say so.
        type_, told = "ERROR", str(refusal.code)
    if type_ != "ERROR":
        pytest.skip("the server still has its whole history")
    assert told == "410"
    # What is left to do: list again, and go on from there.
    version = (await api.page(core(namespace, "configmaps")))["metadata"]["resourceVersion"]
    await make(api, namespace, "z")
    assert await take(api, namespace, 1, version=version) == [("ADDED", "z")]


async def test_a_page_of_a_forgotten_list_is_refused_with_a_fresh_start(
    api: Api, namespace: str, compact: Callable[[], None]
) -> None:
    for name in ("x", "y"):
        await make(api, namespace, name)
    path = core(namespace, "configmaps")
    first = await api.page(path, labelSelector=ONLY, limit="1")
    await make(api, namespace, "z")
    compact()
    query = urlencode({"labelSelector": ONLY, "limit": "1", "continue": first["metadata"]["continue"]})
    code, answer = await api.call("GET", f"{path}?{query}")
    if code == 200:
        pytest.skip("the server remembers the list")
    assert (code, answer["reason"]) == (410, "Expired")
    # It offers to go on with what is there now: the pages after this one, the list no longer of one moment.
    query = urlencode({"labelSelector": ONLY, "limit": "1", "continue": answer["metadata"]["continue"]})
    code, answer = await api.call("GET", f"{path}?{query}")
    assert (code, [one["metadata"]["name"] for one in answer["items"]]) == (200, ["y"])


async def stream(api: Api, path: str, until: Callable[[str, Obj], bool], **query: str) -> list[tuple[str, Obj]]:
    """The events up to the first that is wanted. Skips where the server has no initial events yet."""
    found: list[tuple[str, Obj]] = []
    try:
        async with asyncio.timeout(api.patience):
            async for type_, obj in api.events(path, **query):
                found.append((type_, obj))
                if until(type_, obj):
                    break
    except Failed as refusal:
        if "WatchList feature gate" in refusal.message:
            pytest.skip(refusal.message)
        raise
    return found


def ends_initial(type_: str, obj: Obj) -> bool:
    marks = obj["metadata"].get("annotations") or {}
    return type_ == "BOOKMARK" and marks.get("k8s.io/initial-events-end") == "true"


async def test_a_watch_begins_with_what_is_there_and_says_when_that_was_all(api: Api, namespace: str) -> None:
    await make(api, namespace, "a")
    await make(api, namespace, "b")
    await make(api, namespace, "c", contract="no")
    path = core(namespace, "configmaps")
    listing = {
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "allowWatchBookmarks": "true",
        "labelSelector": ONLY,
    }
    events = await stream(api, path, ends_initial, **listing)
    assert sorted((type_, obj["metadata"]["name"]) for type_, obj in events[:-1]) == [("ADDED", "a"), ("ADDED", "b")]
    mark = events[-1][1]
    assert (mark["kind"], mark["apiVersion"]) == ("ConfigMap", "v1")
    # From the mark on nothing is missed and nothing told again.
    await make(api, namespace, "d")
    assert await take(api, namespace, 1, version=mark["metadata"]["resourceVersion"]) == [("ADDED", "d")]


async def test_a_watch_from_zero_begins_with_what_is_there_as_it_is(api: Api, namespace: str) -> None:
    made = await make(api, namespace, "a")
    await api.merge(f"{core(namespace, 'configmaps')}/a", {"data": {"k": "1"}})
    await make(api, namespace, "b")
    assert sorted(await take(api, namespace, 2, version="0")) == [("ADDED", "a"), ("ADDED", "b")]
    # As a contrast, from a version on the changes themselves are told.
    version = made["metadata"]["resourceVersion"]
    assert await take(api, namespace, 2, version=version) == [("MODIFIED", "a"), ("ADDED", "b")]


async def test_initial_events_come_from_any_version_on_that_is_not_newer(api: Api, namespace: str) -> None:
    old = await make(api, namespace, "a")
    await make(api, namespace, "b")
    path = core(namespace, "configmaps")
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    for version in (old["metadata"]["resourceVersion"], "0"):
        events = await stream(api, path, ends_initial, resourceVersion=version, labelSelector=ONLY, **query)
        found = [(type_, obj["metadata"]["name"]) for type_, obj in events[:-1]]
        assert sorted(found) == [("ADDED", "a"), ("ADDED", "b")], version


async def test_the_end_of_what_is_there_is_told_to_who_wants_bookmarks_and_begins_with_it(
    api: Api, namespace: str
) -> None:
    made = await make(api, namespace, "a")
    path = core(namespace, "configmaps")
    initial = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
    wanted = {"allowWatchBookmarks": "true"}
    for query, told in (
        (initial, False),
        ({}, False),
        (wanted, True),
        ({"resourceVersion": "0", **wanted}, True),
        ({"resourceVersion": made["metadata"]["resourceVersion"], **wanted}, False),
    ):
        events = await stream(api, path, lambda *_: False, timeoutSeconds="1", labelSelector=ONLY, **query)
        assert [ends_initial(*event) for event in events].count(True) == int(told), query
        assert "allowWatchBookmarks" in query or "BOOKMARK" not in {type_ for type_, _ in events}


async def test_initial_events_can_be_left_out(api: Api, namespace: str) -> None:
    await make(api, namespace, "a")
    path = core(namespace, "configmaps")
    query = {"sendInitialEvents": "false", "resourceVersionMatch": "NotOlderThan", "labelSelector": ONLY}
    # Nothing happens meanwhile, so there is nothing to tell.
    events = await stream(api, path, lambda type_, _: type_ != "BOOKMARK", timeoutSeconds="1", **query)
    assert events == []


@pytest.mark.parametrize(
    ("query", "told"),
    [
        (
            {"watch": "1", "sendInitialEvents": "true"},
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        ),
        (
            {"watch": "1", "resourceVersionMatch": "NotOlderThan"},
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        ),
        (
            {"watch": "1", "sendInitialEvents": "true", "resourceVersionMatch": "Exact"},
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        ),
        ({"sendInitialEvents": "true"}, "sendInitialEvents is forbidden for list"),
        (
            {"resourceVersionMatch": "NotOlderThan"},
            "resourceVersionMatch is forbidden unless resourceVersion is provided",
        ),
        (
            {"resourceVersionMatch": "Exact", "resourceVersion": "0"},
            'is forbidden for resourceVersion "0"',
        ),
        (
            {"resourceVersionMatch": "Sometimes", "resourceVersion": "1"},
            'resourceVersionMatch: Unsupported value: "Sometimes": supported values: "Exact", "NotOlderThan", ""',
        ),
    ],
)
async def test_options_that_contradict_each_other_are_refused(
    api: Api, namespace: str, query: dict[str, str], told: str
) -> None:
    code, answer = await api.call("GET", f"{core(namespace, 'configmaps')}?{urlencode(query)}")
    assert (code, answer["reason"]) == (422, "Invalid")
    assert told in answer["message"]


async def test_a_list_is_of_exactly_the_version_asked_for_or_not_older(api: Api, namespace: str) -> None:
    path = core(namespace, "configmaps")
    made = await make(api, namespace, "a")
    await make(api, namespace, "b")
    version = made["metadata"]["resourceVersion"]
    exact = {"resourceVersion": version, "resourceVersionMatch": "Exact", "labelSelector": ONLY}
    then = await api.page(path, **exact)
    assert [one["metadata"]["name"] for one in then["items"]] == ["a"]
    assert then["metadata"]["resourceVersion"] == version
    assert await api.names(path, **{**exact, "resourceVersionMatch": "NotOlderThan"}) == ["a", "b"]


async def test_a_list_of_a_forgotten_version_is_refused(api: Api, namespace: str, compact: Callable[[], None]) -> None:
    path = core(namespace, "configmaps")
    await make(api, namespace, "a")
    compact()
    code, answer = await api.call("GET", f"{path}?resourceVersion=1&resourceVersionMatch=Exact")
    if code == 200:
        pytest.skip("the server still has its whole history")
    assert (code, answer["reason"]) == (410, "Expired")


@pytest.mark.parametrize("option", ["limit", "timeoutSeconds"])
async def test_options_that_are_no_numbers_are_refused(api: Api, namespace: str, option: str) -> None:
    watch = "&watch=1" if option == "timeoutSeconds" else ""
    code, answer = await api.call("GET", f"{core(namespace, 'configmaps')}?{option}=abc{watch}")
    assert (code, answer["reason"]) == (400, "BadRequest")
    assert 'strconv.ParseInt: parsing "abc": invalid syntax' in answer["message"]


async def test_a_limit_below_one_is_none(api: Api, namespace: str) -> None:
    for name in ("a", "b"):
        await make(api, namespace, name)
    for limit in ("-1", "0"):
        listed = await api.get(f"{core(namespace, 'configmaps')}?labelSelector=contract%3Dyes&limit={limit}")
        assert ([one["metadata"]["name"] for one in listed["items"]], "continue" in listed["metadata"]) == (
            ["a", "b"],
            False,
        )


async def test_a_chunk_is_followed_by_another_as_long_as_more_is_there_whatever_was_selected(
    api: Api, namespace: str
) -> None:
    for name, chosen in (("a", "yes"), ("b", "no"), ("c", "yes"), ("d", "no")):
        await make(api, namespace, name, contract=chosen)
    path = core(namespace, "configmaps")
    # `kube-root-ca.crt`, which other servers put into each namespace, comes after them.
    await api.ensure(path, {"metadata": {"name": "kube-root-ca.crt"}})
    pages = []
    query: dict[str, str] = {"labelSelector": ONLY, "limit": "1"}
    while not pages or "continue" in query:
        page = await api.page(path, **query)
        pages.append([one["metadata"]["name"] for one in page["items"]])
        assert "remainingItemCount" not in page["metadata"]
        query.pop("continue", None)
        query |= {"continue": token} if (token := page["metadata"].get("continue")) else {}
    assert pages == [["a"], ["c"], []]
    first = await api.page(path, labelSelector=ONLY, limit="1")
    rest = await api.page(path, labelSelector=ONLY, **{"continue": first["metadata"]["continue"]})
    assert ([one["metadata"]["name"] for one in rest["items"]], "continue" in rest["metadata"]) == (["c"], False)
    whole = await api.page(path, limit="1")
    assert whole["metadata"]["remainingItemCount"] == len(await api.items(path)) - 1


async def test_chunks_are_of_the_version_asked_for_but_any_version_has_none(api: Api, namespace: str) -> None:
    made = await make(api, namespace, "a")
    await make(api, namespace, "b")
    path = f"{core(namespace, 'configmaps')}?labelSelector=contract%3Dyes&limit=1"
    then = await api.get(f"{path}&resourceVersion={made['metadata']['resourceVersion']}")
    # What comes after it, other than what the selector chooses, may still make for another chunk, an empty one.
    assert [one["metadata"]["name"] for one in then["items"]] == ["a"]
    cached = await api.get(f"{path}&resourceVersion=0")
    assert "continue" not in cached["metadata"]
    assert [one["metadata"]["name"] for one in cached["items"]] == ["a", "b"]
