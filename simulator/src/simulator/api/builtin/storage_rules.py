"""What PersistentVolumeClaims and StorageClasses have to be (Kubernetes: pkg/apis/{core,storage}/validation)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from simulator.api.errors import Cause, required, unsupported
from simulator.api.quantities import quantity
from simulator.api.values import shown

Obj = dict[str, Any]
_ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_CLASS_CHOICES = {
    "reclaimPolicy": ("Delete", "Retain"),
    "volumeBindingMode": ("Immediate", "WaitForFirstConsumer"),
}
_FINAL = (
    "Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound"
    " claims"
)


def claim(obj: Obj, old: Obj | None) -> list[Cause]:
    """What is wrong with a PersistentVolumeClaim."""
    spec = obj["spec"]
    causes = list(_claim_spec(spec))
    if old is not None:
        causes += _claim_changes(obj, old)
    return causes


def _claim_spec(spec: Obj) -> Iterator[Cause]:
    modes = spec.get("accessModes") or []
    if not modes:
        yield required("spec.accessModes", "at least 1 access mode is required")
    for mode in modes:
        if mode not in _ACCESS_MODES:
            yield unsupported("spec.accessModes", mode, _ACCESS_MODES)
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        said = "Forbidden: may not use ReadWriteOncePod with other access modes"
        yield Cause("spec.accessModes", said, "FieldValueForbidden")
    size = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if size is None:
        yield required("spec.resources[storage]")
    elif quantity(size) <= 0:
        yield Cause("spec.resources[storage]", f"Invalid value: {shown(str(size))}: must be greater than zero")
    if spec.get("volumeMode") not in ("Block", "Filesystem"):
        yield unsupported("spec.volumeMode", spec.get("volumeMode"), ("Block", "Filesystem"))


def _claim_changes(obj: Obj, old: Obj) -> Iterator[Cause]:
    """A claim is bound, gets the default class and, once bound, grows; nothing else of its spec changes."""
    new, before = _kept(obj["spec"]), _kept(old["spec"])
    if not old["spec"].get("volumeName"):
        new.pop("volumeName", None)
        before.pop("volumeName", None)
    if before.get("storageClassName") is None:
        new.pop("storageClassName", None)
    bound = (old.get("status") or {}).get("phase") == "Bound"
    if new != before or (not bound and _storage(obj) != _storage(old)):
        yield Cause("spec", _FINAL, "FieldValueForbidden")
    elif _storage(obj) < quantity(((old.get("status") or {}).get("capacity") or {}).get("storage", "0")):
        said = "Forbidden: field can not be less than status.capacity"
        yield Cause("spec.resources.requests.storage", said, "FieldValueForbidden")


def _kept(spec: Obj) -> Obj:
    return {key: value for key, value in spec.items() if key not in ("resources", "volumeAttributesClassName")}


def _storage(claim: Obj) -> Any:
    return quantity(((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage", "0"))


def storage_class(obj: Obj, old: Obj | None) -> list[Cause]:
    """What is wrong with a StorageClass."""
    return [*_class_fields(obj), *(_class_changes(obj, old) if old is not None else ())]


def _class_fields(obj: Obj) -> Iterator[Cause]:
    if not obj.get("provisioner"):
        yield required("provisioner")
    for field, choice in _CLASS_CHOICES.items():
        if obj.get(field) not in choice:
            yield unsupported(field, obj.get(field), choice)


def _class_changes(obj: Obj, old: Obj) -> Iterator[Cause]:
    for field in ("parameters", "provisioner", "reclaimPolicy"):
        if (obj.get(field) or None) != (old.get(field) or None):
            yield Cause(field, f"Forbidden: updates to {field} are forbidden.", "FieldValueForbidden")
    mode = obj.get("volumeBindingMode")
    if mode != old.get("volumeBindingMode"):
        yield Cause("volumeBindingMode", f"Invalid value: {shown(mode)}: field is immutable")
