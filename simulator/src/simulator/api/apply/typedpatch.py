"""Whether what is applied has its kind's types, in the words of structured-merge-diff, which prints Go's values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from simulator.api.apply import fieldsets
from simulator.api.apply.fieldsets import Path
from simulator.api.schema import MISSING, Schema
from simulator.api.validation.gotypes import QUANTITIES

Obj = dict[str, Any]


def faults(config: Obj, schema: Schema) -> str:
    """What is wrong with an applied object, all of it; empty if nothing is."""
    found = list(_node(config, schema, (), loose=False))
    return found[0] if len(found) == 1 else "\n  ".join(["errors:", *found]) if found else ""


def _node(value: Any, schema: Schema | None, path: Path, *, loose: bool) -> Iterator[str]:
    """`loose`: within a field of quantities, which are numbers as well as strings."""
    if value is None or schema is None or schema.int_or_string or not schema.type:
        return
    if schema.type == "object":
        if isinstance(value, dict):
            yield from _object(value, schema, path, loose=loose)
        else:
            yield _at(path, f"expected map, got &{{{printed(value)}}}")
    elif schema.type == "array":
        if isinstance(value, list):
            yield from _list(value, schema, path)
        else:
            yield _at(path, f"expected list, got &{{{printed(value)}}}")
    else:
        yield from _scalar(value, schema, path, loose=loose)


def _object(value: Obj, schema: Schema, path: Path, *, loose: bool) -> Iterator[str]:
    for name, item in value.items():
        below = (*path, f"f:{name}")
        child = schema.properties.get(name)
        if child is None and isinstance(schema.additional, Schema):
            child = schema.additional
        elif child is None and not schema.preserve and not schema.additional and not _identity(name, schema, path):
            yield _at(below, "field not declared in schema")
        yield from _node(item, child, below, loose=loose or name in QUANTITIES)


def _identity(name: str, schema: Schema, path: Path) -> bool:
    return (not path or schema.embedded) and name in ("apiVersion", "kind", "metadata")


def _list(value: list[Any], schema: Schema, path: Path) -> Iterator[str]:
    seen = set()
    for index, item in enumerate(value):
        step = f"i:{index}"
        if schema.list_type == "map" and (why := _unkeyed(item, schema)):
            yield _at(path, f"element {index}: {why}")
            continue
        if schema.list_type in ("map", "set"):
            step = fieldsets.step_of(item, schema)
            if step in seen:
                yield _at(path, f"duplicate entries for key {fieldsets.shown((step,))}")
            seen.add(step)
        yield from _node(item, schema.items, (*path, step), loose=False)


def _unkeyed(item: Any, schema: Schema) -> str:
    """Why an item of a list of type map has no key."""
    if item is None:
        return "associative list with keys may not have a null element"
    if not isinstance(item, dict):
        return "associative list with keys may not have non-map elements"
    for name in schema.list_keys:
        if name not in item and fieldsets.key_default(name, schema) is MISSING:
            omitted = f"an element that omits key field {json.dumps(name)} (and doesn't have default value)"
            return f"associative list with keys has {omitted}"
    return ""


def _scalar(value: Any, schema: Schema, path: Path, *, loose: bool) -> Iterator[str]:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if schema.type == "string" and (loose or schema.format == "date-time"):
        if isinstance(value, dict | list):
            yield _at(path, f"expected any scalar, got &{{{printed(value)}}}")
    elif schema.type == "string" and not isinstance(value, str):
        yield _at(path, f"expected string, got &value.valueUnstructured{{Value:{literal(value)}}}")
    elif schema.type in ("integer", "number") and not number:
        yield _at(path, f"expected numeric (int or float), got {_type(value)}")
    elif schema.type == "boolean" and not isinstance(value, bool):
        yield _at(path, f"expected boolean, got &{{{printed(value)}}}")


def _at(path: Path, why: str) -> str:
    return f"{fieldsets.shown(path)}: {why}" if path else why


def _type(value: Any) -> str:
    """Go's name of the type that a value of JSON has there (`%T`)."""
    if isinstance(value, bool):
        return "bool"
    names = {str: "string", dict: "map[string]interface {}", list: "[]interface {}", int: "int64", float: "float64"}
    return names[type(value)]


def printed(value: Any) -> str:
    """A value as Go's `%v` prints it."""
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{printed(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(printed, value))}]"
    if value is None:
        return "<nil>"
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def literal(value: Any) -> str:
    """A value as Go's `%#v` prints it."""
    if isinstance(value, dict):
        return f"{_type(value)}{{{', '.join(f'{json.dumps(key)}:{literal(value[key])}' for key in sorted(value))}}}"
    if isinstance(value, list):
        return f"{_type(value)}{{{', '.join(map(literal, value))}}}"
    if value is None:
        return "interface {}(nil)"
    return json.dumps(value, ensure_ascii=False)
