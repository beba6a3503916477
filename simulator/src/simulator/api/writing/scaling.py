"""The scale subresource: one number of an object, under names that every scaler knows."""

from __future__ import annotations

from typing import Any

from simulator.api.errors import ApiError, Cause
from simulator.api.kinds import Kind, Scale
from simulator.api.objects import invalid_object

Obj = dict[str, Any]


def scale_of(obj: Obj, scale: Scale) -> Obj:
    """The object's `autoscaling/v1` Scale."""
    meta = obj["metadata"]
    kept = {
        name: meta[name]
        for name in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        if name in meta
    }
    status: Obj = {"replicas": _at(obj, scale.status_replicas) or 0}
    selector = _at(obj, scale.selector) if scale.selector else None
    if isinstance(selector, dict):
        labels = selector.get("matchLabels", selector)
        selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    if selector:
        status["selector"] = selector
    spec = {"replicas": _at(obj, scale.spec_replicas) or 0}
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": kept, "spec": spec, "status": status}


def scaled(obj: Obj, wanted: Any, scale: Scale, kind: Kind) -> Obj:
    """A copy of the object at the wanted number. Raises ApiError 422 for a number below zero."""
    replicas = ((wanted or {}).get("spec") or {}).get("replicas", 0)
    if not isinstance(replicas, int) or replicas < 0:
        said = f"Invalid value: {replicas}: must be greater than or equal to 0"
        fault: ApiError = invalid_object(kind, obj["metadata"]["name"], [Cause("spec.replicas", said)])
        raise fault
    return _with(obj, scale.spec_replicas, replicas)


def _at(obj: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        obj = obj.get(part) if isinstance(obj, dict) else None
    return obj


def _with(obj: Obj, path: tuple[str, ...], value: Any) -> Obj:
    first, *rest = path
    return {**obj, first: _with(obj.get(first) or {}, tuple(rest), value) if rest else value}
