"""Built-in objects as Go has them once it has read them: nulls are zero values, quantities are strings."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from simulator.api.quantities import written
from simulator.api.schemas import components, name_of, reference_of
from simulator.api.validation.gotypes import QUANTITIES, SCHEMA, SCHEMA_FIELDS, SCHEMAS

Obj = dict[str, Any]
_ZEROS: Obj = {"string": "", "integer": 0, "number": 0, "boolean": False}


def settle(obj: Obj, group: str, kind: str) -> None:
    """Settle a built-in object whose values fit their types, in place."""
    source = components().get(name_of(group, kind))
    if source is not None:
        _struct(obj, source, "")


def settle_metadata(meta: Obj) -> None:
    """The same for the metadata of a custom resource."""
    _struct(meta, components()["V1ObjectMeta"], "V1ObjectMeta")


def _struct(value: Obj, source: Obj, name: str) -> None:
    known = source.get("properties") or {}
    for field, item in list(value.items()):
        if field not in known:
            continue
        if item is None:
            del value[field]
        elif name == SCHEMAS and field in SCHEMA_FIELDS:
            _settled(item, SCHEMA, field, "")
        else:
            value[field] = _settled(item, known[field], field, "")


def _settled(value: Any, source: Obj, field: str, outer: str) -> Any:
    """The value as it is kept; `outer`: the field of the map that it is in."""
    reference = reference_of(source)
    if reference:
        if reference in components() and isinstance(value, dict):
            _struct(value, components()[reference], reference)
    elif source.get("type") == "array" and isinstance(value, list):
        value[:] = [_filled(item, source["items"], "", "") for item in value]
    elif source.get("type") == "object" and isinstance(value, dict):
        below = source.get("additionalProperties")
        for key, item in value.items() if isinstance(below, dict) else ():
            value[key] = _filled(item, below or {}, key, field)
    elif isinstance(value, int | float) and source.get("type") == "string" and {field, outer} & QUANTITIES:
        return written(Decimal(str(value)))
    return value


def _filled(value: Any, source: Obj, field: str, outer: str) -> Any:
    """An item of a list or a map, where Go has a zero value for a null."""
    if value is not None:
        return _settled(value, source, field, outer)
    return {} if reference_of(source) else _ZEROS.get(source.get("type", ""))
