"""Schemas of the built-in kinds: `builtin.json`, generated from the official client's models by
`generators/builtin.py`."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import orjson

from simulator.api.schema import Schema, measured
from simulator.api.schemas.standing import standing

Obj = dict[str, Any]
REFERENCE = "#/components/schemas/"
CLASSES = {("", "Event"): "CoreV1Event", ("events.k8s.io", "Event"): "EventsV1Event"}
_RECURSIVE = "V1JSONSchemaProps"


@cache
def components() -> Obj:
    """OpenAPI v3 schemas by name (`V1Pod`); references are `#/components/schemas/NAME`."""
    loaded: Obj = orjson.loads(resources.files(__name__).joinpath("builtin.json").read_bytes())
    return loaded


def name_of(group: str, kind: str) -> str:
    """The name of a built-in kind's schema."""
    return CLASSES.get((group, kind), f"V1{kind}")


@cache
def structure(name: str) -> Schema | None:
    """What fields a built-in type has; None for a type that is not in the file."""
    source = components().get(name)
    if source is None:
        return None
    read = _read(source)
    read.standing = standing(name, source)
    return read


def _read(source: Obj) -> Schema:
    reference = reference_of(source)
    if reference:
        # Schemas of schemas have no end; what is in there is CRDs' own business.
        found = None if reference == _RECURSIVE else structure(reference)
        return found or Schema(type="object", preserve=True)
    items, additional = source.get("items"), source.get("additionalProperties")
    return measured(
        Schema(
            type=source.get("type", ""),
            properties={field: _read(child) for field, child in (source.get("properties") or {}).items()},
            items=_read(items) if items else None,
            additional=_read(additional) if additional else None,
            preserve="properties" not in source,
            format=source.get("format", ""),
            list_type=source.get("x-kubernetes-list-type", "atomic"),
            list_keys=tuple(source.get("x-kubernetes-list-map-keys") or ()),
            map_type=source.get("x-kubernetes-map-type", "granular"),
            merge_key=source.get("x-kubernetes-patch-merge-key", "") if _merges(source) else None,
        )
    )


def _merges(source: Obj) -> bool:
    return "merge" in str(source.get("x-kubernetes-patch-strategy", "")).split(",")


def reference_of(source: Obj) -> str:
    """The name that a schema refers to, empty when it is one itself."""
    for part in [source, *source.get("allOf", [])]:
        if "$ref" in part:
            return str(part["$ref"]).removeprefix(REFERENCE)
    return ""
