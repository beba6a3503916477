"""Validation of custom resources against their structural schema, in the words of the real API server.

What did not change since the stored version is not judged again (ratcheting); rules about oldSelf always are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from simulator.api.errors import Cause
from simulator.api.schema import MISSING, Schema
from simulator.api.validation import formats, rules
from simulator.api.values import child_of, correlate, join, list_key, shown, type_name

Obj = dict[str, Any]
_BLOCKING = {
    "FieldValueRequired",
    "FieldValueNotSupported",
    "FieldValueTooLong",
    "FieldValueTooMany",
    "FieldValueTypeInvalid",
}
UNCHECKED = Cause(
    "<nil>",
    'Invalid value: "null": some validation rules were not checked because the object was invalid; correct the existing'
    " errors to complete validation",
)


def validate(obj: Obj, old: Obj | None, schema: Schema) -> list[Cause]:
    """What is wrong with `obj`, everything at once; `old` is the version it replaces."""
    causes = list(_node(obj, MISSING if old is None else old, schema, ""))
    if not schema.deep_rules:
        return causes
    if any(cause.reason in _BLOCKING for cause in causes):
        return [*causes, UNCHECKED]
    return [*causes, *rules.broken(obj, MISSING if old is None else old, schema, "")]


def _node(value: Any, old: Any, schema: Schema, path: str) -> Iterator[Cause]:
    if old is not MISSING and value == old:
        return
    wrong = _type_error(value, schema, path)
    if wrong is not None:
        yield wrong
        return
    if value is None:
        return
    yield from _value(value, schema, path)
    if isinstance(value, dict):
        yield from _object(value, old, schema, path)
    elif isinstance(value, list):
        yield from _list(value, old, schema, path)


def _type_error(value: Any, schema: Schema, path: str) -> Cause | None:
    if value is None and schema.nullable:
        return None
    if schema.int_or_string:
        fits, wanted = isinstance(value, int | str) and not isinstance(value, bool), "integer,string"
    elif not schema.type:
        return None
    else:
        fits, wanted = _is(value, schema.type), schema.type
    if fits:
        return None
    seen = type_name(value)
    message = f'Invalid value: "{seen}": {path} in body must be of type {wanted}: "{seen}"'
    return Cause(path, message, "FieldValueTypeInvalid")


def _is(value: Any, type_: str) -> bool:
    if type_ == "object":
        return isinstance(value, dict)
    if type_ == "array":
        return isinstance(value, list)
    if type_ == "string":
        return isinstance(value, str)
    if type_ == "boolean":
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if type_ == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return isinstance(value, int | float)


def _value(value: Any, schema: Schema, path: str) -> Iterator[Cause]:
    if schema.enum is not None and value not in schema.enum:
        choice = ", ".join(shown(one) for one in schema.enum)
        yield Cause(path, f"Unsupported value: {shown(value)}: supported values: {choice}", "FieldValueNotSupported")
    if isinstance(value, str):
        yield from _string(value, schema, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _number(value, schema, path)
    for part in schema.all_of:
        yield from _node(value, MISSING, part, path)
    if schema.any_of and not any(_valid(value, part) for part in schema.any_of):
        yield _invalid(path, value, f'"{path}" must validate at least one schema (anyOf)')
    if schema.one_of:
        fits = sum(_valid(value, part) for part in schema.one_of)
        if fits != 1:
            found = "Found none valid" if fits == 0 else f"Found {fits} valid alternatives"
            yield _invalid(path, value, f'"{path}" must validate one and only one schema (oneOf). {found}')
    if schema.not_ is not None and _valid(value, schema.not_):
        yield _invalid(path, value, f'"{path}" must not validate the schema (not)')


def _valid(value: Any, schema: Schema) -> bool:
    return next(_node(value, MISSING, schema, ""), None) is None


def _invalid(path: str, value: Any, message: str) -> Cause:
    return Cause(path, f"Invalid value: {shown(value)}: {message}")


def _string(value: str, schema: Schema, path: str) -> Iterator[Cause]:
    longest, shortest = schema.limits.get("maxLength"), schema.limits.get("minLength")
    if longest is not None and len(value) > longest:
        yield Cause(path, f"Too long: may not be more than {longest} bytes", "FieldValueTooLong")
    if shortest is not None and len(value) < shortest:
        yield _invalid(path, value, f"{path} in body should be at least {shortest} chars long")
    if schema.pattern is not None and not schema.pattern.search(value):
        yield _invalid(path, value, f"{path} in body should match '{schema.pattern.pattern}'")
    if schema.format and not formats.holds(schema.format, value):
        said = f"{path} in body must be of type {schema.format}: {shown(value)}"
        yield Cause(path, f"Invalid value: {shown(value)}: {said}", "FieldValueTypeInvalid")


def _number(value: float, schema: Schema, path: str) -> Iterator[Cause]:
    limits = schema.limits
    low, high, step = limits.get("minimum"), limits.get("maximum"), limits.get("multipleOf")
    if low is not None and (value < low or (value == low and limits.get("exclusiveMinimum"))):
        than = "than" if limits.get("exclusiveMinimum") else "than or equal to"
        yield _invalid(path, value, f"{path} in body should be greater {than} {low}")
    if high is not None and (value > high or (value == high and limits.get("exclusiveMaximum"))):
        than = "than" if limits.get("exclusiveMaximum") else "than or equal to"
        yield _invalid(path, value, f"{path} in body should be less {than} {high}")
    if step and value % step:
        yield _invalid(path, value, f"{path} in body should be a multiple of {step}")
    bits = {"int32": 31, "int64": 63}.get(schema.format)
    if bits and not -(2**bits) <= value < 2**bits:
        yield _invalid(path, value, f"{path} in body must be of type {schema.format}: {shown(value)}")


def _object(value: Obj, old: Any, schema: Schema, path: str) -> Iterator[Cause]:
    before = old if isinstance(old, dict) else {}
    for name in schema.required:
        if name not in value:
            yield Cause(join(path, name), "Required value", "FieldValueRequired")
    yield from _counted(len(value), "Properties", "properties", value, schema, path)
    for name, item in value.items():
        child = child_of(name, schema)
        if child is not None and not (path == "" and name == "metadata"):
            yield from _node(item, before.get(name, MISSING), child, join(path, name))


def _list(value: list[Any], old: Any, schema: Schema, path: str) -> Iterator[Cause]:
    yield from _counted(len(value), "Items", "items", value, schema, path)
    if schema.limits.get("uniqueItems") and any(item in value[:index] for index, item in enumerate(value)):
        yield _invalid(path, value, f"{path} in body shouldn't contain duplicates")
    if schema.list_type in ("set", "map"):
        yield from _duplicates(value, schema, path)
    if schema.items is None:
        return
    correlated = correlate(old, schema)
    for index, item in enumerate(value):
        yield from _node(item, correlated.get(list_key(item, schema), MISSING), schema.items, f"{path}[{index}]")


def _counted(count: int, limit: str, noun: str, value: Any, schema: Schema, path: str) -> Iterator[Cause]:
    most, least = schema.limits.get(f"max{limit}"), schema.limits.get(f"min{limit}")
    if most is not None and count > most:
        yield Cause(path, f"Too many: {count}: must have at most {most} items", "FieldValueTooMany")
    if least is not None and count < least:
        yield _invalid(path, value, f"{path} in body should have at least {least} {noun}")


def _duplicates(value: list[Any], schema: Schema, path: str) -> Iterator[Cause]:
    seen: list[Any] = []
    for index, item in enumerate(value):
        keyed = isinstance(item, dict) and bool(schema.list_keys)
        key = {name: item.get(name) for name in schema.list_keys} if keyed else item
        if key in seen:
            yield Cause(f"{path}[{index}]", f"Duplicate value: {shown(key)}", "FieldValueDuplicate")
        seen.append(key)
