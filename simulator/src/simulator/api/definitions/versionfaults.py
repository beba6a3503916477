"""What an API server refuses of a definition's versions beside their schemas: columns, subresources, selectable fields.

What all versions have alike is the definition's as a whole, as the server has it inside, and told of once.
(apiextensions-apiserver: pkg/apis/apiextensions/validation.)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from simulator.api.errors import Cause, required
from simulator.api.names import name_causes
from simulator.api.values import shown

Obj = dict[str, Any]
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_MOST_SELECTABLE = 8
_PATH = re.compile(r"(\.[^.\[\]]+)+")
_APPROVAL = "api-approved.kubernetes.io"


def faults(versions: list[Obj]) -> Iterator[Cause]:
    """What is wrong with the versions of a definition."""
    for index, version in enumerate(versions):
        yield from name_causes(version.get("name", ""), "label1035", f"spec.versions[{index}].name")
    checks: dict[str, Callable[[Obj, str], Iterator[Cause]]] = {
        "subresources": _scale,
        "additionalPrinterColumns": _columns,
        "selectableFields": _selectable,
    }
    for field, check in checks.items():
        shared = all(version.get(field) == versions[0].get(field) for version in versions)
        if shared:
            yield from check(versions[0], f"spec.{field}")
            continue
        for index, version in enumerate(versions):
            yield from check(version, f"spec.versions[{index}].{field}")


def _columns(version: Obj, path: str) -> Iterator[Cause]:
    for index, column in enumerate(version.get("additionalPrinterColumns") or ()):
        at = f"{path}[{index}]"
        if not column.get("name"):
            yield required(f"{at}.name")
        if not column.get("type"):
            yield required(f"{at}.type", f"must be one of {','.join(_COLUMN_TYPES)}")
        elif column["type"] not in _COLUMN_TYPES:
            said = f"must be one of {','.join(_COLUMN_TYPES)}"
            yield Cause(f"{at}.type", f"Invalid value: {shown(column['type'])}: {said}")
        if not column.get("jsonPath"):
            yield required(f"{at}.JSONPath")
        elif not column["jsonPath"].startswith("."):
            said = "must be a simple json path starting with ."
            yield Cause(f"{at}.JSONPath", f"Invalid value: {shown(column['jsonPath'])}: {said}")


def _scale(version: Obj, path: str) -> Iterator[Cause]:
    scale = (version.get("subresources") or {}).get("scale")
    if scale is None:
        return
    for field, under in (("specReplicasPath", ".spec"), ("statusReplicasPath", ".status")):
        at, given = f"{path}.scale.{field}", scale.get(field) or ""
        if not given:
            yield required(at)
        elif not _PATH.fullmatch(given):
            yield Cause(at, f"Invalid value: {shown(given)}: must be a simple json path starting with .")
        elif not given.startswith(f"{under}."):
            yield Cause(at, f"Invalid value: {shown(given)}: should be a json path under {under}")


def _selectable(version: Obj, path: str) -> Iterator[Cause]:
    listed = version.get("selectableFields") or []
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    if listed and not schema:
        yield Cause(path, 'Invalid value: "": may only be set when validations.schema is included')
        return
    count = len({one.get("jsonPath") for one in listed})
    if count > _MOST_SELECTABLE:
        yield Cause(path, f"Too many: {count}: must have at most {_MOST_SELECTABLE} items", "FieldValueTooMany")
    seen: list[str] = []
    for index, one in enumerate(listed):
        at, given = f"{path}[{index}].jsonPath", one.get("jsonPath") or ""
        if not given:
            yield required(at)
        elif why := _unselectable(given, schema or {}):
            yield Cause(at, f"Invalid value: {shown(given)}: {why}")
        elif given in seen:
            yield Cause(at, f"Duplicate value: {shown(given)}", "FieldValueDuplicate")
        seen.append(given)


def _unselectable(given: str, schema: Obj) -> str:
    """Why objects cannot be selected by what is at that path; empty if they can."""
    if not given.startswith((".", "[")):
        return f"is an invalid path: expected [ or . but got: {given.partition('.')[0]}"
    for name in given[1:].split("."):
        if name not in (schema.get("properties") or {}):
            return "is an invalid path: does not refer to a valid field"
        schema = schema["properties"][name]
    if schema.get("type") not in ("string", "boolean", "integer"):
        return (
            "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are"
            " allowed."
        )
    return ""


def approval(crd: Obj) -> Iterator[Cause]:
    """The groups of Kubernetes itself are protected. (Kubernetes enhancement 1111.)"""
    group = crd["spec"].get("group") or ""
    protected = any(group == one or group.endswith(f".{one}") for one in ("k8s.io", "kubernetes.io"))
    if protected and not (crd["metadata"].get("annotations") or {}).get(_APPROVAL):
        where = "https://github.com/kubernetes/enhancements/pull/1111"
        why = f'protected groups must have approval annotation "{_APPROVAL}", see {where}'
        yield required(f"metadata.annotations[{_APPROVAL}]", why)
