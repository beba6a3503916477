"""Values that do not fit the Go types of built-in kinds, in the words of Go's `encoding/json`.

A null fits everything, as in Go. The Go types are told from the schemas: their names lack only the API group's prefix.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from simulator.api.quantities import quantity
from simulator.api.schemas import REFERENCE, components, name_of, reference_of
from simulator.api.values import shown

Obj = dict[str, Any]
_PREFIX = re.compile(r"^[A-Za-z]*?V1(?=[A-Z])")
SCHEMAS = "V1JSONSchemaProps"
SCHEMA = {"$ref": f"{REFERENCE}{SCHEMAS}"}
SCHEMA_FIELDS = {"items": list, "additionalProperties": bool}
"""Fields of a schema that are schemas, or something else instead."""
QUANTITIES = frozenset(
    [
        "limits",
        "requests",
        "capacity",
        "allocatable",
        "hard",
        "used",
        "default",
        "defaultRequest",
        "max",
        "min",
        "maxLimitRequestRatio",
        "sizeLimit",
        "divisor",
        "allocatedResources",
        "podFixed",
    ]
)
"""Fields of resource.Quantity, which takes numbers as well as strings."""
_MICRO_TIMES = frozenset(["renewTime", "acquireTime", "eventTime", "lastObservedTime"])
"""Fields of metav1.MicroTime; other times are metav1.Time."""
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_LONG = frozenset(
    [
        "generation",
        "observedGeneration",
        "deletionGracePeriodSeconds",
        "terminationGracePeriodSeconds",
        "activeDeadlineSeconds",
        "expirationSeconds",
        "tolerationSeconds",
        "runAsUser",
        "runAsGroup",
        "fsGroup",
        "maxItems",
        "minItems",
        "maxLength",
        "minLength",
        "maxProperties",
        "minProperties",
    ]
)
"""Integers of 64 bits; the others have 32."""


@dataclass(frozen=True)
class Misfit:
    """A value of the wrong type: `seen` (JSON's type), `struct` and `field` that it is in, `wanted` (Go's type)."""

    seen: str
    struct: str
    field: str
    wanted: str
    value: Any
    corrupt: int | None = None
    """Where a text is no base64."""
    said: str = ""
    """What the type itself says of a text it cannot read."""

    def __str__(self) -> str:
        if self.corrupt is not None:
            return f"illegal base64 data at input byte {self.corrupt}"
        if self.said:
            return self.said
        into = f"struct field {self.struct}.{self.field}" if self.struct else "value"
        return f"json: cannot unmarshal {self.seen} into Go {into} of type {self.wanted}"


def misfit(obj: Obj, group: str, kind: str) -> Misfit | None:
    """The first value of a built-in object that its Go type cannot hold."""
    name = name_of(group, kind)
    source = components().get(name)
    return next(_struct(obj, source, _short(name), ""), None) if source is not None else None


def misfit_metadata(meta: Obj) -> Misfit | None:
    """The first value that metadata of a custom resource cannot hold; it is read by itself there."""
    return next(_struct(meta, components()["V1ObjectMeta"], "ObjectMeta", ""), None)


@cache
def _short(name: str) -> str:
    return _PREFIX.sub("", name)


def _struct(value: Obj, source: Obj, struct: str, path: str) -> Iterator[Misfit]:
    known = source.get("properties") or {}
    for field, item in value.items():
        below = f"{path}.{field}" if path else field
        if struct == _short(SCHEMAS) and field in SCHEMA_FIELDS:
            if not isinstance(item, SCHEMA_FIELDS[field]):
                yield from _field(item, SCHEMA, struct, below)
        elif field in known:
            yield from _field(item, known[field], struct, below)


def _field(value: Any, source: Obj, struct: str, path: str) -> Iterator[Misfit]:
    """Path names fields of structs alone; the context of items and of values of maps is the field they are in."""
    if value is None:
        return
    reference = reference_of(source)
    if reference:
        if reference not in components():
            return
        if isinstance(value, dict):
            yield from _struct(value, components()[reference], _short(reference), path)
        else:
            yield Misfit(_seen(value), struct, path, _go(source, path), value)
    elif source.get("type") == "array" and isinstance(value, list):
        for item in value:
            yield from _field(item, source["items"], struct, path)
    elif source.get("type") == "object" and isinstance(value, dict):
        below = source.get("additionalProperties")
        for item in value.values() if isinstance(below, dict) else ():
            yield from _field(item, below or {}, struct, path)
    else:
        yield from _plain(value, source, struct, path)


def _plain(value: Any, source: Obj, struct: str, path: str) -> Iterator[Misfit]:
    type_ = source.get("type", "")
    name = path.rpartition(".")[2]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if source.get("x-kubernetes-int-or-string"):
        if not isinstance(value, str) and not (number and isinstance(value, int)):
            yield Misfit(_seen(value), "", "", "int32", value)
    elif type_ == "string" and source.get("format") == "byte" and isinstance(value, str):
        if (corrupt := _corrupt(value)) is not None:
            yield Misfit("string", struct, path, "[]uint8", value, corrupt)
    elif type_ == "string" and (isinstance(value, str) or (number and name in QUANTITIES)):
        said = _unread(value, source, name, path)
        if said:
            yield Misfit(_seen(value), struct, path, "string", value, said=said)
    elif type_ == "string" and source.get("format") == "date-time":
        yield Misfit(_seen(value), "", "", "string", value)
    elif type_ == "integer" and number:
        bits = 63 if name in _LONG else 31
        if isinstance(value, float) or not -(2**bits) <= value < 2**bits:
            yield Misfit(f"number {value}", struct, path, _go(source, path), value)
    elif type_ in _JSON and not isinstance(value, _JSON[type_]):
        yield Misfit(_seen(value), struct, path, _go(source, path), value)


def _unread(value: Any, source: Obj, name: str, path: str) -> str:
    """Why a text is no quantity or no time; empty if it is, or need not be."""
    if name in QUANTITIES or path.rpartition(".")[0].endswith(".capacity"):
        try:
            quantity(value)
        except ValueError as error:
            return str(error)
    if source.get("format") == "date-time" and value and not _TIME.fullmatch(value):
        layout = "2006-01-02T15:04:05.000000Z07:00" if name in _MICRO_TIMES else "2006-01-02T15:04:05Z07:00"
        return f'parsing time {shown(value)} as "{layout}": cannot parse {shown(value)} as "2006"'
    return ""


_BASE64 = re.compile(r"[A-Za-z0-9+/]*")


def _corrupt(text: str) -> int | None:
    """The byte at which Go finds that a text is no base64; None if it is. Go ignores ends of lines."""
    places = [index for index, char in enumerate(text) if char not in "\r\n"]
    plain = "".join(text[index] for index in places)
    found = _BASE64.match(plain)
    size = found.end() if found else 0
    rest, over = plain[size:], size % 4
    if not rest:
        return None if not over else len(text) - over
    if rest[0] != "=" or over < 2:
        return places[size]
    padding = 4 - over
    if rest[:padding] == "=" * padding:
        return places[size + padding] if len(rest) > padding else None
    return len(text) if len(rest) < padding else places[size + 1] - 1


_JSON: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "integer": (),
    "number": (int, float),
    "object": dict,
    "array": list,
}


def _seen(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    names = {dict: "object", list: "array", str: "string", int: "number", float: "number"}
    return names[type(value)]


def _go(source: Obj, path: str) -> str:
    """The Go type of a schema."""
    reference = reference_of(source)
    if reference:
        return f"v1.{_short(reference)}"
    type_, name = source.get("type", ""), path.rpartition(".")[2]
    if type_ == "array":
        return f"[]{_go(source['items'], path)}"
    if type_ == "object":
        return f"map[string]{_go(source.get('additionalProperties') or {'type': 'string'}, path)}"
    if source.get("format") == "byte":
        return "[]uint8"
    if type_ == "integer":
        return "int64" if name in _LONG else "int32"
    return {"boolean": "bool", "number": "float64"}.get(type_, type_ or "interface {}")
