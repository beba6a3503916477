"""What a kind makes of an object before it is stored: defaults, pruning, checks. Built-in kinds by small rules of their
own, custom ones by their schema."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from simulator.api import errors, schema
from simulator.api.cel import Rules, rule_faults
from simulator.api.errors import Cause
from simulator.api.registry import Kind

Obj = dict[str, Any]


def prepare(kind: Kind, obj: Obj, old: Obj | None, *, strict: bool = False) -> None:
    """Fill in defaults and drop what the kind does not have, in place.

    Raises ApiError 400 for unknown fields when `strict`.
    """
    if kind.schema is not None:
        removed = schema.prune(obj, kind.schema)
        if strict and removed:
            listed = ", ".join(f'unknown field "{path}"' for path in removed)
            raise errors.bad_request(f"strict decoding error: {listed}")
        schema.default(obj, kind.schema)
        if old is None and kind.status:
            obj.pop("status", None)
            schema.default(obj, kind.schema)
    default = _DEFAULTS.get(kind.kind)
    if default is not None and not kind.custom:
        default(obj, old)


def keep_status(kind: Kind, new: Obj, old: Obj) -> Obj:
    """`new` with the status of `old`, where the status is written through its subresource only."""
    if not kind.status:
        return new
    if "status" in old:
        return {**new, "status": old["status"]}
    return {key: value for key, value in new.items() if key != "status"}


def validate(kind: Kind, obj: Obj, old: Obj | None) -> None:
    """Raises ApiError 422 with every fault."""
    if kind.schema is None:
        return
    causes = list(schema.validate(obj, kind.schema))
    if not causes:
        causes = rule_faults(_rules(kind), obj, old)
    if causes:
        raise errors.invalid(kind.group, kind.kind, obj["metadata"]["name"], causes)


_compiled: dict[int, tuple[Obj, Rules]] = {}


def _rules(kind: Kind) -> Rules:
    assert kind.schema is not None
    found = _compiled.get(id(kind.schema))
    if found is None or found[0] is not kind.schema:
        found = _compiled[id(kind.schema)] = (kind.schema, Rules(kind.schema))
    return found[1]


def _namespace(obj: Obj, old: Obj | None) -> None:
    obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"]["name"]
    if old is None:
        obj["spec"] = {"finalizers": ["kubernetes"]}
        obj["status"] = {"phase": "Active"}


def _secret(obj: Obj, _old: Obj | None) -> None:
    text = obj.pop("stringData", None) or {}
    if text:
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in text.items()}
        obj["data"] = {**(obj.get("data") or {}), **encoded}
    obj.setdefault("type", "Opaque")


def _service(obj: Obj, old: Obj | None) -> None:
    spec = obj.setdefault("spec", {})
    if old is not None and "clusterIP" not in spec:
        spec |= {key: old["spec"][key] for key in ("clusterIP", "clusterIPs") if key in old["spec"]}
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    spec.setdefault("ipFamilies", ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "SingleStack")
    spec.setdefault("internalTrafficPolicy", "Cluster")
    for port in spec.get("ports") or []:
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port["port"])
    if old is None:
        obj["status"] = {"loadBalancer": {}}


def _pod(obj: Obj, old: Obj | None) -> None:
    spec = obj.setdefault("spec", {})
    for key, value in {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "serviceAccountName": "default",
        "schedulerName": "default-scheduler",
    }.items():
        spec.setdefault(key, value)
    if old is None:
        obj["status"] = {"phase": "Pending", "qosClass": "BestEffort"}


def _pending(obj: Obj, old: Obj | None) -> None:
    if old is None:
        obj["status"] = {"phase": "Pending"}
    obj.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")


def _storage_class(obj: Obj, _old: Obj | None) -> None:
    obj.setdefault("reclaimPolicy", "Delete")
    obj.setdefault("volumeBindingMode", "Immediate")


_DEFAULTS: dict[str, Callable[[Obj, Obj | None], None]] = {
    "Namespace": _namespace,
    "Secret": _secret,
    "Service": _service,
    "Pod": _pod,
    "PersistentVolumeClaim": _pending,
    "StorageClass": _storage_class,
}

__all__ = ["Cause", "keep_status", "prepare", "validate"]
