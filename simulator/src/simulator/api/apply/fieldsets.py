"""Sets of fields: as paths, and as `fieldsV1` writes them (structured-merge-diff)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from simulator.api.schema import MISSING, Schema
from simulator.api.values import child_of

Obj = dict[str, Any]
Path = tuple[str, ...]
"""Steps as in fieldsV1: `f:name`, `k:{"name":"x"}`, `v:"x"`, `i:0`."""
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
    ]
)


def applied(obj: Any, schema: Schema | None, path: Path = ()) -> Iterator[Path]:
    """The fields that an apply names: plain values, atomic ones, every item of a keyed list, empty objects."""
    if isinstance(obj, dict) and not _atomic(obj, schema):
        for name, value in visible(obj, path):
            below = (*path, f"f:{name}")
            yield from applied(value, _below(schema, name), below)
            if value is None or value == {} or schema is None or name not in schema.properties:
                yield below
    elif isinstance(obj, list) and not _atomic(obj, schema):
        for step, item in steps(obj, schema):
            yield (*path, step)
            yield from applied(item, schema.items if schema else None, (*path, step))
    elif path:
        yield path


def everything(value: Any, schema: Schema | None, path: Path) -> Iterator[Path]:
    """A value that comes or goes as a whole: every field in it, and every object and list around them."""
    if path and path != ("f:metadata",):
        yield path
    if isinstance(value, dict) and not _atomic(value, schema):
        for name, item in visible(value, path):
            yield from everything(item, _below(schema, name), (*path, f"f:{name}"))
    elif isinstance(value, list) and not _atomic(value, schema):
        for step, item in steps(value, schema):
            yield from everything(item, schema.items if schema else None, (*path, step))


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
    keys = {}
    for name in sorted(schema.list_keys):
        default = key_default(name, schema)
        keys[name] = item.get(name, None if default is MISSING else default)
    return f"k:{orjson.dumps(keys).decode()}"


def key_default(name: str, schema: Schema) -> Any:
    """What an item of a list of type map has for a key that it leaves out; MISSING if it must not.

    In definitions a key has a default or is required. Kinds of Kubernetes' own have Go's zero values, and TCP.
    """
    known = schema.items.properties.get(name) if schema.items else None
    if schema.items is None or known is None or name in schema.items.required or known.default is not MISSING:
        return known.default if known is not None else MISSING
    return "TCP" if name == "protocol" else 0 if known.type == "integer" else ""


def changes(new: Any, old: Any, schema: Schema | None, path: Path = ()) -> Iterator[tuple[str, Path]]:
    """What differs: ("set", path) for new values, ("removed", path) for those that are no longer there.

    MISSING is a value that is not there. An empty or null object beside a filled one has itself not changed.
    """
    if new is old or new == old:
        return
    if old is MISSING:
        yield from (("set", one) for one in everything(new, schema, path))
    elif new is MISSING:
        yield from (("removed", one) for one in everything(old, schema, path))
    elif _filled(dict, new, old) and not _atomic(new or old, schema):
        yield from _fields(dict(visible(new or {}, path)), dict(visible(old or {}, path)), schema, path)
    elif _filled(list, new, old) and not _atomic(new or old, schema):
        after, before = dict(steps(new or [], schema)), dict(steps(old or [], schema))
        items = schema.items if schema else None
        for step in {**after, **before}:
            yield from changes(after.get(step, MISSING), before.get(step, MISSING), items, (*path, step))
    elif path:
        yield from (("removed", one) for one in everything(old, schema, path) if one != path)
        yield "set", path
        yield from (("set", one) for one in everything(new, schema, path) if one != path)


def _filled(kind: type, new: Any, old: Any) -> bool:
    """Whether both are of `kind` or null, and something is in one of them."""
    return all(one is None or isinstance(one, kind) for one in (new, old)) and bool(new or old)


def _fields(after: Obj, before: Obj, schema: Schema | None, path: Path) -> Iterator[tuple[str, Path]]:
    standing = schema.standing if schema is not None else {}
    for name in {**after, **before}:
        empty = standing.get(name, MISSING)
        new, old = after.get(name, empty), before.get(name, empty)
        yield from changes(new, old, _below(schema, name), (*path, f"f:{name}"))


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
            text += f"[{rest}]" if kind == "i" else f"[={rest}]"
    return text
