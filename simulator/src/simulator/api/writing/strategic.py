"""Strategic merge patch: a merge patch whose lists of built-in kinds merge by key."""

from __future__ import annotations

from typing import Any

from simulator.api.errors import bad_request
from simulator.api.kinds import Kind
from simulator.api.schema import Schema
from simulator.api.values import type_name

Obj = dict[str, Any]
DIRECTIVE = "$patch"
RETAIN = "$retainKeys"
ORDER = "$setElementOrder/"
DELETE = "$deleteFromPrimitiveList/"


def patched(current: Obj, patch: Any, kind: Kind) -> Obj:
    """`current` with the patch applied; neither is changed. Raises ApiError 400."""
    if not isinstance(patch, dict):
        raise bad_request("the body of a strategic merge patch must be an object")
    return merged(current, patch, kind.versions[kind.storage].schema)


def merged(current: Obj, patch: Obj, schema: Schema | None) -> Obj:
    """Two objects of a type."""
    directive = patch.get(DIRECTIVE)
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != DIRECTIVE}
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise bad_request(f"unknown patch type: {directive}")
    result = dict(current)
    if RETAIN in patch:
        result = {key: value for key, value in result.items() if key in patch[RETAIN]}
    for key, value in patch.items():
        if key in (DIRECTIVE, RETAIN) or key.startswith((ORDER, DELETE)):
            continue
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _value(result.get(key), value, _child(schema, key))
    for key, value in patch.items():
        if key.startswith(DELETE):
            name = key.removeprefix(DELETE)
            result[name] = [one for one in result.get(name) or [] if one not in value]
    for key, value in patch.items():
        if key.startswith(ORDER):
            name = key.removeprefix(ORDER)
            if isinstance(result.get(name), list):
                result[name] = _ordered(result[name], value, _child(schema, name))
    return result


def _child(schema: Schema | None, key: str) -> Schema | None:
    if schema is None:
        return None
    additional = schema.additional
    return schema.properties.get(key) or (additional if isinstance(additional, Schema) else None)


def _value(current: Any, value: Any, schema: Schema | None) -> Any:
    if isinstance(value, dict):
        return merged(current if isinstance(current, dict) else {}, value, schema)
    if isinstance(value, list) and schema is not None and schema.merge_key is not None:
        before = current if isinstance(current, list) else []
        if schema.merge_key:
            return _by_key(before, value, schema)
        return [*before, *(one for one in value if one not in before)]
    return value


def _by_key(current: list[Any], patch: list[Any], schema: Schema) -> list[Any]:
    key = schema.merge_key or ""
    for one in patch:
        if not isinstance(one, dict):
            raise bad_request(f"expected a map[string]interface {{}}, but received a {type_name(one)}")
    if any(one.get(DIRECTIVE) == "replace" for one in patch):
        return [one for one in patch if DIRECTIVE not in one]
    result = list(current)
    for one in patch:
        if key not in one:
            raise bad_request(f"map: {one} does not contain declared merge key: {key}")
        index = next((at for at, old in enumerate(result) if old.get(key) == one[key]), None)
        if one.get(DIRECTIVE) == "delete":
            if index is not None:
                del result[index]
        elif index is None:
            result.append(merged({}, one, schema.items))
        else:
            result[index] = merged(result[index], one, schema.items)
    return result


def _ordered(items: list[Any], order: list[Any], schema: Schema | None) -> list[Any]:
    """In the order the patch wants; items it does not know of stay behind the one they followed."""
    key = schema.merge_key if schema is not None else ""

    def identity(item: Any) -> Any:
        return item.get(key) if key and isinstance(item, dict) else item

    wanted = [identity(one) for one in order]
    known = {wanted.index(identity(one)): one for one in items if identity(one) in wanted}
    result = [known[at] for at in sorted(known)]
    for index, one in enumerate(items):
        if identity(one) not in wanted:
            before = items[index - 1] if index else None
            at = result.index(before) + 1 if before in result else 0
            result.insert(at, one)
    return result
