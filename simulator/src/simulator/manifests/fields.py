"""The fields of the kinds, from `fields.json`: generated from the real definitions by `generators/fields.py`."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import orjson

Obj = dict[str, Any]


@cache
def fields(kind: str) -> Obj:
    """Schemas of `spec` and `status` of a `group/Kind`, names and types alone; empty for a kind that is not in the
    file. Shared with all callers, so not to be changed."""
    content = _content()
    return {part: _whole(schema, content["shared"]) for part, schema in content["kinds"].get(kind, {}).items()}


def merged(schema: Obj, more: Obj) -> Obj:
    """A schema with what another one says besides: maps below it are merged, anything else is the other's."""
    both = {key: merged(schema[key], value) for key, value in more.items() if isinstance(schema.get(key), dict)}
    return {**schema, **more, **both}


@cache
def _content() -> Obj:
    loaded: Obj = orjson.loads(resources.files(__package__).joinpath("fields.json").read_bytes())
    return loaded


def _whole(schema: Obj, shared: Obj) -> Obj:
    """The schema with what its references mean."""
    if "$ref" in schema:
        return _whole(shared[schema["$ref"]], shared)
    changed = dict(schema)
    if "properties" in schema:
        changed["properties"] = {name: _whole(child, shared) for name, child in schema["properties"].items()}
    for below in ("items", "additionalProperties"):
        if below in schema:
            changed[below] = _whole(schema[below], shared)
    return changed
