"""Pruning and defaulting of custom resources: nulls where none are allowed go, then come defaults, then what is unknown
goes. (Kubernetes: apiextensions-apiserver, structural/pruning and structural/defaulting.)"""

from __future__ import annotations

import copy
from typing import Any

from simulator.api.schema import MISSING, Schema

Obj = dict[str, Any]
_IDENTITY = ("apiVersion", "kind", "metadata")


def default(value: Any, schema: Schema) -> None:
    """Fill in the defaults below `value`, in place. A null where none is allowed takes the default."""
    if not schema.deep_defaults:
        return
    if isinstance(value, dict):
        for name, child in schema.properties.items():
            if child.default is not MISSING:
                missing = name not in value or (value[name] is None and not child.nullable)
                if missing:
                    value[name] = copy.deepcopy(child.default)
            if name in value:
                default(value[name], child)
        if isinstance(schema.additional, Schema):
            for name, item in value.items():
                if name not in schema.properties:
                    default(item, schema.additional)
    elif isinstance(value, list) and schema.items is not None:
        for item in value:
            default(item, schema.items)


def prune(value: Any, schema: Schema, *, root: bool = False, path: str = "", removed: list[str] | None = None) -> None:
    """Drop unknown fields below `value`, in place; their paths go to `removed`."""
    if not schema.deep_prunes:
        return
    if isinstance(value, dict):
        _prune_object(value, schema, root or schema.embedded, path, removed)
    elif isinstance(value, list) and schema.items is not None:
        for index, item in enumerate(value):
            prune(item, schema.items, path=f"{path}[{index}]", removed=removed)


def _prune_object(value: Obj, schema: Schema, identity: bool, path: str, removed: list[str] | None) -> None:
    additional = schema.additional
    for name in list(value):
        if identity and name in _IDENTITY:
            continue
        below = f"{path}.{name}" if path else name
        child = schema.properties.get(name)
        if child is not None:
            if value[name] is None and not child.nullable and child.default is MISSING:
                del value[name]
            else:
                prune(value[name], child, path=below, removed=removed)
        elif isinstance(additional, Schema):
            prune(value[name], additional, path=below, removed=removed)
        elif not schema.preserve and not additional:
            del value[name]
            if removed is not None:
                removed.append(below)
