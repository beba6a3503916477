"""What ConfigMaps and Secrets may hold: keys, sizes, and whether it may change."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any

from simulator.api.errors import Cause, required
from simulator.api.values import shown

Obj = dict[str, Any]
LARGEST = 1024 * 1024
"""Bytes of all values together."""
_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_KEY_TEXT = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or"
    " 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
_NEEDED = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
}
"""Keys that a Secret of a type has."""
_IMMUTABLE = "Forbidden: field is immutable when `immutable` is set"
_LONGEST_KEY = 253


def config_map(obj: Obj, old: Obj | None) -> list[Cause]:
    """What is wrong with a ConfigMap."""
    causes = [*_changed(obj, old, "data", "binaryData"), *_keys(obj, "data"), *_keys(obj, "binaryData")]
    both = sorted((obj.get("data") or {}).keys() & (obj.get("binaryData") or {}).keys())
    said = "duplicate of key present in binaryData"
    causes += [Cause(f"data[{key}]", f"Invalid value: {shown(key)}: {said}") for key in both]
    size = sum(len((value or "").encode()) for value in (obj.get("data") or {}).values())
    size += sum(_decoded(value) for value in (obj.get("binaryData") or {}).values())
    return [*causes, *_too_long("[]", size)]


def secret(obj: Obj, old: Obj | None) -> list[Cause]:
    """What is wrong with a Secret."""
    causes = [*_changed(obj, old, "data"), *_keys(obj, "data")]
    needed = _NEEDED.get(obj.get("type") or "", ())
    causes += [required(f"data[{key}]") for key in needed if key not in (obj.get("data") or {})]
    return [*causes, *_too_long("data", sum(_decoded(value) for value in (obj.get("data") or {}).values()))]


def _decoded(value: str | None) -> int:
    return len(base64.b64decode(value or ""))


def _too_long(field: str, size: int) -> Iterator[Cause]:
    if size > LARGEST:
        yield Cause(field, f"Too long: may not be more than {LARGEST} bytes", "FieldValueTooLong")


def _keys(obj: Obj, field: str) -> Iterator[Cause]:
    for key in obj.get(field) or {}:
        for said in _key(key):
            yield Cause(f"{field}[{key}]", f"Invalid value: {shown(key)}: {said}")


def _key(key: str) -> Iterator[str]:
    if len(key) > _LONGEST_KEY:
        yield f"must be no more than {_LONGEST_KEY} bytes"
    if not _KEY.fullmatch(key):
        yield _KEY_TEXT
    if key in (".", ".."):
        yield f"must not be '{key}'"
    elif key.startswith(".."):
        yield "must not start with '..'"


def _changed(obj: Obj, old: Obj | None, *fields: str) -> Iterator[Cause]:
    if old is None or not old.get("immutable"):
        return
    if not obj.get("immutable"):
        yield Cause("immutable", _IMMUTABLE, "FieldValueForbidden")
    for field in fields:
        if (obj.get(field) or {}) != (old.get(field) or {}):
            yield Cause(field, _IMMUTABLE, "FieldValueForbidden")
