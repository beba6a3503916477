"""What Leases, Events and ResourceQuotas have to be (Kubernetes: pkg/apis/coordination/validation,
pkg/apis/core/validation)."""

from __future__ import annotations

from typing import Any

from simulator.api.errors import Cause
from simulator.api.quantities import quantity
from simulator.api.values import shown

Obj = dict[str, Any]


def lease(obj: Obj, _old: Obj | None) -> list[Cause]:
    """What is wrong with a Lease."""
    spec = obj.get("spec") or {}
    causes: list[Cause] = []
    seconds, handovers = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    if seconds is not None and seconds <= 0:
        causes.append(Cause("spec.leaseDurationSeconds", f"Invalid value: {seconds}: must be greater than 0"))
    if handovers is not None and handovers < 0:
        said = f"Invalid value: {handovers}: must be greater than or equal to 0"
        causes.append(Cause("spec.leaseTransitions", said))
    return causes


def event(obj: Obj, _old: Obj | None) -> list[Cause]:
    """What is wrong with an Event: it is in the namespace of what it is about."""
    about = (obj.get("involvedObject") or {}).get("namespace") or "default"
    if about == obj["metadata"].get("namespace"):
        return []
    said = (obj.get("involvedObject") or {}).get("namespace") or ""
    return [Cause("involvedObject.namespace", f"Invalid value: {shown(said)}: does not match event.namespace")]


def quota(obj: Obj, _old: Obj | None) -> list[Cause]:
    """What is wrong with a ResourceQuota."""
    causes: list[Cause] = []
    for name, amount in ((obj.get("spec") or {}).get("hard") or {}).items():
        number, path = quantity(amount), f"spec.hard[{name}]"
        if number < 0:
            said = "must be greater than or equal to 0"
            causes.append(Cause(path, f"Invalid value: {shown(str(amount))}: {said}"))
        elif _counts(name) and number != number.to_integral_value():
            causes.append(Cause(path, f"Invalid value: {shown(str(amount))}: must be an integer"))
    return causes


def _counts(name: str) -> bool:
    """Whether the resource is a number of objects; others are amounts (cpu, memory, storage)."""
    kinds = ("pods", "services", "secrets", "configmaps", "persistentvolumeclaims", "resourcequotas")
    return name in kinds or name.startswith(("services.", "count/")) or name.endswith("/persistentvolumeclaims")
