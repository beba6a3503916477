"""Get and list: selectors, chunks, and the JSON of stored objects joined without being made again."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import orjson

from simulator.api.calls import Call
from simulator.api.errors import ApiError, bad_request, not_found
from simulator.api.kinds import Kind
from simulator.api.reading import listoptions, selectors
from simulator.api.store import Key, Store, Stored

Obj = dict[str, Any]
ALWAYS_SELECTABLE = ("metadata.name", "metadata.namespace")
_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without"
    " the continue parameter, or use the continue token in this response to retrieve the remainder of the results."
    " Continuing with the provided token results in an inconsistent list - objects that were created, modified, or"
    " deleted between the time the first chunk was returned and now may show up in the list."
)
INCONSISTENT = -1
"""The version in a token that goes on with a list as it is now."""


def get(store: Store, call: Call) -> Stored:
    """Raises ApiError 404."""
    stored = store.get(call.kind.collection, call.key)
    if stored is None:
        raise not_found(call.kind.group, call.kind.plural, call.target.name)
    return stored


def object_bytes(kind: Kind, version: str, stored: Stored) -> bytes:
    """The object's JSON as `version` has it."""
    if version == kind.storage:
        return stored.json
    return Stored(kind.converted(stored.obj, version), stored.version, ordered=stored.ordered).json


def item_bytes(kind: Kind, version: str, stored: Stored) -> bytes:
    """The object's JSON in a list: items of built-in kinds carry no apiVersion and kind there."""
    if not kind.builtin:
        return object_bytes(kind, version, stored)
    if version == kind.storage and stored.json.startswith(kind.prefix):
        return b"{" + stored.json[len(kind.prefix) :]
    converted = kind.converted(stored.obj, version)
    return orjson.dumps({key: value for key, value in converted.items() if key not in ("apiVersion", "kind")})


def matcher(call: Call) -> selectors.Matches | None:
    """What the call selects; None for everything. Raises ApiError 400."""
    query = call.request.query
    labels, fields = query.get("labelSelector", ""), query.get("fieldSelector", "")
    tests = []
    if labels:
        tests.append(selectors.labels(labels))
    if fields:
        own = call.version.selectable
        tests.append(selectors.fields(fields, (*ALWAYS_SELECTABLE, *own), plain=call.kind.builtin and not own))
    if call.target.name:
        name = call.target.name
        tests.append(lambda obj: obj["metadata"]["name"] == name)
    if not tests:
        return None
    return tests[0] if len(tests) == 1 else lambda obj: all(test(obj) for test in tests)


@dataclass(frozen=True)
class Page:
    """A chunk of a list, at `version`."""

    items: list[Stored]
    version: int
    token: str = ""
    remaining: int | None = None


def page(store: Store, call: Call) -> Page:
    """The list the call asks for.

    Raises ApiError 400 (selector, token), 410 (token or exact version too old), 422 (options), 504 (version to come).
    """
    listoptions.check(call, store.version)
    matches = matcher(call)
    namespace = call.target.namespace if call.kind.namespaced else ""
    query = call.request.query
    # A list of any version comes from a cache, which has no chunks.
    limit = listoptions.number(query.get("limit", "")) if query.get("resourceVersion") != "0" else 0
    token = query.get("continue", "")
    if limit <= 0 and not token and query.get("resourceVersionMatch") != "Exact":
        items = store.list(call.kind.collection, namespace)
        return Page([one for one in items if matches(one.obj)] if matches else items, store.version)
    return _chunk(store, call, namespace, matches, limit, token)


def _chunk(store: Store, call: Call, namespace: str, matches: selectors.Matches | None, limit: int, token: str) -> Page:
    version, start = _opened(token) if token else (store.version, ("", ""))
    if version == INCONSISTENT:
        version = store.version
    elif not token and (exact := listoptions.exact(call)):
        version = exact
    found = store.list_at(call.kind.collection, namespace, version)
    if found is None:
        raise _expired(token, start)
    following = [(key, one) for key, one in found if key > start]
    items: list[Stored] = []
    for count, (key, one) in enumerate(following, start=1):
        if matches is None or matches(one.obj):
            items.append(one)
        left = len(following) - count
        if 0 < limit == len(items) and left:
            # What is left may hold nothing that is selected: the server does not look, and does not count it.
            return Page(items, version, _token(version, key), left if matches is None else None)
    return Page(items, version)


def _expired(token: str, start: Key) -> ApiError:
    error = ApiError(410, "Expired", _TOO_OLD if token else "The resourceVersion for the provided list is too old.")
    if token:
        error.resume = _token(INCONSISTENT, start)
    return error


def _token(version: int, last: Key) -> str:
    return base64.urlsafe_b64encode(orjson.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": list(last)})).decode()


def _opened(token: str) -> tuple[int, Key]:
    try:
        content = orjson.loads(base64.urlsafe_b64decode(token))
        return int(content["rv"]), (content["start"][0], content["start"][1])
    except (ValueError, KeyError, TypeError, IndexError):
        raise bad_request("continue key is not valid: illegal base64 data") from None


def list_meta(found: Page) -> Obj:
    """The list's metadata."""
    meta: Obj = {"resourceVersion": str(found.version)}
    if found.token:
        meta["continue"] = found.token
    if found.remaining is not None:
        meta["remainingItemCount"] = found.remaining
    return meta


def list_bytes(kind: Kind, version: str, found: Page) -> bytes:
    """The list's JSON, joined from the items' own."""
    head = {"kind": kind.list_kind, "apiVersion": kind.api_version(version), "metadata": list_meta(found)}
    items = b"[" + b",".join(item_bytes(kind, version, stored) for stored in found.items) + b"]"
    # A list of custom resources is a map as well, with its keys in order.
    order = orjson.OPT_SORT_KEYS if not kind.builtin else 0
    return orjson.dumps({**head, "items": orjson.Fragment(items)}, option=order)
