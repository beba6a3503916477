"""`python simulator/generators/builtin.py`: write the schemas of the built-in kinds from the official client's models.

A tool for development: the simulator itself reads the file and never imports the client's models.
"""

from __future__ import annotations

import importlib
import re
import types
import typing
from datetime import datetime
from pathlib import Path
from typing import Any

import listmaps
import orjson
from pydantic import BaseModel

from simulator.api import schemas
from simulator.api.builtin import kinds as builtin
from simulator.api.schemas import REFERENCE, name_of

Obj = dict[str, Any]
DESCRIPTION = 200
"""Characters of a description that are kept: explain wants a sentence, not a page."""


def model(name: str) -> type[BaseModel]:
    """A model class by its name."""
    found: type[BaseModel] = getattr(importlib.import_module("kubernetes.client.models"), name)
    return found


def generate() -> Obj:
    """All schemas that the built-in kinds reach."""
    wanted = [name_of(kind.group, kind.kind) for kind in builtin.host()]
    done: dict[str, Obj] = {}
    while wanted:
        name = wanted.pop()
        if name not in done:
            done[name], more = _schema(model(name))
            wanted += more
    return dict(sorted(done.items()))


def _schema(of: type[BaseModel]) -> tuple[Obj, list[str]]:
    more: list[str] = []
    properties: Obj = {}
    required = []
    hints = typing.get_type_hints(of, include_extras=False)
    for field, info in of.model_fields.items():
        name = info.serialization_alias or field
        if field not in hints or name in ("additional_properties",):
            continue
        schema = _type(hints[field], name, more)
        if info.description:
            schema["description"] = _sentence(info.description)
        merge = listmaps.KEYS.get((of.__name__, name))
        if merge and schema.get("type") == "array":
            schema |= listmaps.extensions(merge)
        if (of.__name__, name) in listmaps.ATOMIC_FIELDS:
            schema["x-kubernetes-map-type"] = "atomic"
        properties[name] = schema
        if info.is_required():
            required.append(name)
    described = _sentence((of.__doc__ or "").strip().partition("\n\n")[0].replace("\n", " "))
    result: Obj = {"type": "object", "description": described, "properties": properties}
    if of.__name__ in listmaps.ATOMIC_TYPES:
        result["x-kubernetes-map-type"] = "atomic"
    if required:
        result["required"] = required
    return result, more


def _type(hint: Any, name: str, more: list[str]) -> Obj:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _type(arguments[0], name, more)
    if origin in (typing.Union, types.UnionType):
        kept = [one for one in arguments if one is not type(None)]
        if any(_plain(one) is bytes for one in kept):
            return {"type": "string", "format": "byte"}
        if {_plain(one) for one in kept} == {int, str}:
            return {"x-kubernetes-int-or-string": True}
        if len(kept) > 1:
            return {"type": "number"} if {_plain(one) for one in kept} == {int, float} else dict(_ANYTHING)
        return _type(kept[0], name, more)
    if origin is list:
        return {"type": "array", "items": _type(arguments[0], "", more)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _type(arguments[1], "", more)}
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        more.append(hint.__name__)
        return {"allOf": [{"$ref": f"{REFERENCE}{hint.__name__}"}]}
    if hint is datetime:
        return {"type": "string", "format": "date-time"}
    plain = {str: "string", int: "integer", bool: "boolean", float: "number", bytes: "string"}
    return {"type": plain[hint]} if hint in plain else dict(_ANYTHING)


_ANYTHING = {"x-kubernetes-preserve-unknown-fields": True}


def _plain(hint: Any) -> Any:
    return _plain(typing.get_args(hint)[0]) if typing.get_origin(hint) is typing.Annotated else hint


def _sentence(text: str) -> str:
    first = re.split(r"(?<=[.])\s", " ".join(text.split()), maxsplit=1)[0]
    return first if len(first) <= DESCRIPTION else f"{first[: DESCRIPTION - 1].rsplit(' ', 1)[0]}…"


def main() -> None:
    content = orjson.dumps(generate(), option=orjson.OPT_SORT_KEYS)
    Path(schemas.__file__).with_name("builtin.json").write_bytes(content.replace(b'},"', b'},\n"') + b"\n")


if __name__ == "__main__":
    main()
