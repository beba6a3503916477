"""Object metadata: times, owners, finalizers, conditions."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from simulator.client import Obj
from simulator.timing.clock import today


def now(later: float = 0.0) -> str:
    """RFC 3339 in whole seconds, as metav1.Time; `later`: seconds from now."""
    return (today() + timedelta(seconds=later)).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_now() -> str:
    """RFC 3339 with microseconds, as metav1.MicroTime."""
    return today().strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def age(stamp: str) -> float:
    """Seconds since an RFC 3339 time."""
    return (today() - datetime.fromisoformat(stamp)).total_seconds()


def deleting(obj: Obj) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


def has_finalizer(obj: Obj, finalizer: str) -> bool:
    return finalizer in (obj["metadata"].get("finalizers") or [])


def with_finalizer(obj: Obj, finalizer: str) -> Obj:
    """A copy of `obj` that has `finalizer`."""
    return _with_finalizers(obj, [*(obj["metadata"].get("finalizers") or []), finalizer])


def without_finalizer(obj: Obj, finalizer: str) -> Obj:
    """A copy of `obj` that has not `finalizer`."""
    return _with_finalizers(obj, [kept for kept in obj["metadata"].get("finalizers") or [] if kept != finalizer])


def _with_finalizers(obj: Obj, finalizers: list[str]) -> Obj:
    return {**obj, "metadata": {**obj["metadata"], "finalizers": finalizers}}


def owner(obj: Obj) -> Obj:
    """The controller ownerReference that points to `obj`."""
    return {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "name": obj["metadata"]["name"],
        "uid": obj["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def controller_of(obj: Obj) -> Obj | None:
    """The ownerReference marked as controller."""
    for reference in obj["metadata"].get("ownerReferences") or []:
        if reference.get("controller"):
            return dict(reference)
    return None


def owned_by(obj: Obj, owner_obj: Obj) -> bool:
    reference = controller_of(obj)
    return reference is not None and reference["uid"] == owner_obj["metadata"]["uid"]


def annotation(obj: Obj, key: str) -> str | None:
    value: str | None = (obj["metadata"].get("annotations") or {}).get(key)
    return value


def with_annotations(obj: Obj, annotations: dict[str, str]) -> Obj:
    meta = obj["metadata"]
    return {**obj, "metadata": {**meta, "annotations": {**(meta.get("annotations") or {}), **annotations}}}


def condition(conditions: list[Obj] | None, type_: str) -> Obj | None:
    """The condition of that type."""
    for one in conditions or []:
        if one["type"] == type_:
            return one
    return None


def is_true(conditions: list[Obj] | None, type_: str) -> bool:
    found = condition(conditions, type_)
    return found is not None and found["status"] == "True"


def with_condition(conditions: list[Obj] | None, new: dict[str, Any]) -> list[Obj]:
    """The conditions with `new` in its type's place. Unless status, reason or message differ, the old one stays."""
    kept = list(conditions or [])
    for index, old in enumerate(kept):
        if old["type"] == new["type"]:
            if any(old.get(field) != new.get(field) for field in ("status", "reason", "message")):
                kept[index] = new
            return kept
    return [*kept, new]


def without_condition(conditions: list[Obj] | None, type_: str) -> list[Obj]:
    return [one for one in conditions or [] if one["type"] != type_]
