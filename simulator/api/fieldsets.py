"""Sets of fields: as paths, and as `fieldsV1` writes them (structured-merge-diff)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from simulator.api.schema import MISSING, Schema
from simulator.api.values import child_of

Obj = dict[str, Any]
Path = tuple[str, ...]
"""Steps as in fieldsV1: `f:name`, `k:{"name":"x"}`, `v:"x"`."""
_HIDDEN_META = frozenset(
    [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "generation",
        "managedFields",
        "resourceVersion",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generateName",
    ]
)


def leaves(obj: Any, schema: Schema | None, path: Path = ()) -> Iterator[Path]:
    """Fields that a value sets: its plain values, its empty and atomic ones, and every item of a keyed list."""
    if isinstance(obj, dict) and obj and not _atomic(obj, schema):
        for name, value in visible(obj, path):
            yield from leaves(value, _below(schema, name), (*path, f"f:{name}"))
    elif isinstance(obj, list) and obj and not _atomic(obj, schema):
        for step, item in steps(obj, schema):
            yield (*path, step)
            if isinstance(item, dict):
                yield from leaves(item, schema.items if schema else None, (*path, step))
    elif path:
        yield path


def visible(obj: Obj, path: Path) -> Iterator[tuple[str, Any]]:
    """The fields somebody can own: not the object's identity, nor what the server sets."""
    for name, value in obj.items():
        if path == () and name in ("apiVersion", "kind"):
            continue
        if path == ("f:metadata",) and name in _HIDDEN_META:
            continue
        if path == () and name == "metadata" and not set(value) - _HIDDEN_META:
            continue
        yield name, value


def _below(schema: Schema | None, name: str) -> Schema | None:
    return child_of(name, schema) if schema is not None else None


def _atomic(value: Any, schema: Schema | None) -> bool:
    if isinstance(value, dict):
        return schema is not None and schema.map_type == "atomic"
    return schema is None or schema.list_type not in ("map", "set")


def steps(items: list[Any], schema: Schema | None) -> Iterator[tuple[str, Any]]:
    """The items of a keyed list or a set, with the step that leads to each."""
    for item in items:
        yield step_of(item, schema), item


def step_of(item: Any, schema: Schema | None) -> str:
    """`k:{...}` for an item of a list of type map, else `v:...`."""
    if schema is None or schema.list_type != "map" or not isinstance(item, dict):
        return f"v:{orjson.dumps(item).decode()}"
    known = schema.items.properties if schema.items else {}
    keys = {}
    for name in sorted(schema.list_keys):
        default = known[name].default if name in known else MISSING
        # Kubernetes' own default for the one key that is mostly left out.
        fallback = "TCP" if name == "protocol" else None
        keys[name] = item.get(name, fallback if default is MISSING else default)
    return f"k:{orjson.dumps(keys).decode()}"


def changes(new: Any, old: Any, schema: Schema | None, path: Path = ()) -> Iterator[tuple[str, Path]]:
    """What differs: ("set", path) for new values, ("removed", path) for those that are no longer there."""
    if new is old or new == old:
        return
    if isinstance(new, dict) and isinstance(old, dict) and not _atomic(new, schema):
        after, before = dict(visible(new, path)), dict(visible(old, path))
        for name in {**after, **before}:
            yield from _change(
                after.get(name, MISSING), before.get(name, MISSING), _below(schema, name), (*path, f"f:{name}")
            )
    elif isinstance(new, list) and isinstance(old, list) and not _atomic(new, schema):
        after, before = dict(steps(new, schema)), dict(steps(old, schema))
        items = schema.items if schema else None
        for step in {**after, **before}:
            there, was = after.get(step, MISSING), before.get(step, MISSING)
            if there is MISSING or was is MISSING:
                yield ("removed" if there is MISSING else "set"), (*path, step)
            yield from _change(there, was, items, (*path, step))
    elif path:
        yield from (("removed", one) for one in leaves(old, schema, path) if one != path)
        yield from (("set", one) for one in leaves(new, schema, path))


def _change(new: Any, old: Any, schema: Schema | None, path: Path) -> Iterator[tuple[str, Path]]:
    if old is MISSING:
        yield from (("set", one) for one in leaves(new, schema, path))
    elif new is MISSING:
        yield from (("removed", one) for one in leaves(old, schema, path))
    elif path[-1].startswith("v:"):
        return
    else:
        yield from changes(new, old, schema, path)


def to_v1(paths: set[Path]) -> Obj:
    """The nested form; `.` marks what is itself in the set beside what is below it."""
    root: Obj = {}
    for path in sorted(paths):
        node = root
        for step in path:
            node = node.setdefault(step, {})
        node["."] = {}
    return _trimmed(root)


def _trimmed(node: Obj) -> Obj:
    trimmed = {}
    for step, below in node.items():
        trimmed[step] = {} if set(below) <= {"."} else _trimmed(below)
    return trimmed


def from_v1(fields: Obj, path: Path = ()) -> set[Path]:
    """The paths of a nested form."""
    found: set[Path] = set()
    for step, below in fields.items():
        if step == ".":
            found.add(path)
        elif not below:
            found.add((*path, step))
        else:
            found |= from_v1(below, (*path, step))
    return found


def shown(path: Path) -> str:
    """A path as conflicts print it: `.spec.ports[port=80,protocol="TCP"].name`."""
    text = ""
    for step in path:
        kind, _, rest = step.partition(":")
        if kind == "f":
            text += f".{rest}"
        elif kind == "k":
            keys = orjson.loads(rest)
            text += "[" + ",".join(f"{name}={orjson.dumps(value).decode()}" for name, value in keys.items()) + "]"
        else:
            text += f"[={rest}]"
    return text
