"""Tables, as `kubectl get` wants them: the server decides the columns."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson

from simulator.api.builtin.columns import NAMELESS, NAMES
from simulator.api.calls import Call
from simulator.api.jsonpath import find
from simulator.api.kinds import Column
from simulator.api.reading import lists as reading
from simulator.api.reading import watching
from simulator.api.reading.metadata_only import VERSION, partial
from simulator.api.store import Stored
from simulator.timing.clock import today

Obj = dict[str, Any]
NAME = Column("Name", "string", ".metadata.name", "Name must be unique within a namespace.", "name")


class Tables:
    """Encodes tables."""

    content_type = "application/json;as=Table;g=meta.k8s.io;v=v1"

    def one(self, call: Call, stored: Stored) -> bytes:
        return orjson.dumps(
            table(call, [stored], {"resourceVersion": stored.obj["metadata"].get("resourceVersion", "")})
        )

    def page(self, call: Call, found: reading.Page) -> bytes:
        return orjson.dumps(table(call, found.items, reading.list_meta(found)))

    def events(self, call: Call) -> watching.Encode | None:
        told = False

        def encode(type_: str, stored: Stored) -> bytes:
            nonlocal told
            content = table(call, [stored], {"resourceVersion": stored.obj["metadata"]["resourceVersion"]})
            if told:
                # Only the first event of a watch says what the columns are.
                content["columnDefinitions"] = None
            told = True
            return watching.line(type_, orjson.dumps(content))

        return encode


def table(call: Call, items: Sequence[Stored], meta: Obj) -> Obj:
    """The Table of some objects."""
    columns = (*_name(call), *call.version.columns)
    include = call.request.query.get("includeObject", "Metadata")
    return {
        "kind": "Table",
        "apiVersion": VERSION,
        "metadata": meta,
        "columnDefinitions": [_definition(column) for column in columns],
        "rows": [_row(call, stored, columns, include) for stored in items],
    }


def _name(call: Call) -> tuple[Column, ...]:
    kind = (call.kind.group, call.kind.kind)
    if kind in NAMELESS:
        return ()
    shown = NAMES.get(kind)
    return (NAME if shown is None else Column(NAME.name, NAME.type, shown, NAME.description, NAME.format),)


def _definition(column: Column) -> Obj:
    return {
        "name": column.name,
        # Built-in kinds say how long ago in words of their own; of custom ones kubectl is told that it is a date.
        "type": column.type,
        "format": column.format,
        "description": column.description,
        "priority": column.priority,
    }


def _row(call: Call, stored: Stored, columns: Sequence[Column], include: str) -> Obj:
    row: Obj = {"cells": [cell(stored.obj, column) for column in columns]}
    if include == "Object":
        row["object"] = call.kind.converted(stored.obj, call.target.version)
    elif include == "Metadata":
        row["object"] = partial(stored)
    return row


def cell(obj: Obj, column: Column) -> Any:
    """One cell, as the type of its column wants it."""
    if callable(column.path):
        return column.path(obj)
    found = find(obj, column.path)
    if not found or found[0] is None:
        return "<unknown>" if column.type == "date" and column.name == "Age" else None
    if column.type == "date":
        return age(found[0])
    if column.type == "string":
        return ",".join(_text(value) for value in found)
    return found[0]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return orjson.dumps(value).decode()
    return str(value)


def age(stamp: Any, now: datetime | None = None) -> str:
    """How long ago, as kubectl says it: 5s, 3m20s, 4h, 2d."""
    if not stamp:
        return "<unknown>"
    try:
        then = datetime.fromisoformat(str(stamp))
    except ValueError:
        return "<invalid>"
    seconds = int(((now or today()) - then).total_seconds())
    return human(seconds)


def human(seconds: int) -> str:
    """A duration as apimachinery's HumanDuration."""
    if seconds < -1:
        return "<invalid>"
    if seconds <= 0:
        return "0s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m" if seconds % 60 == 0 else f"{minutes}m{seconds % 60}s"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h" if minutes % 60 == 0 else f"{hours}h{minutes % 60}m"
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        return f"{days}d" if hours % 24 == 0 else f"{days}d{hours % 24}h"
    if days < 730:
        return f"{days}d"
    years = days // 365
    return f"{years}y" if days % 365 == 0 or years >= 8 else f"{years}y{days % 365}d"
