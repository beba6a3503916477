"""`pods/NAME/binding`: how a scheduler puts a pod on a node, once and for all. Pure."""

from __future__ import annotations

from typing import Any

from simulator.api.errors import ApiError, Cause, bad_request, conflict, invalid
from simulator.timing.clock import today

Obj = dict[str, Any]


def bound(pod: Obj, binding: Obj) -> Obj:
    """The pod on the binding's target. Raises ApiError 400 (another pod's), 409 (it has a node, or is going away), 422
    (no target)."""
    name, target = pod["metadata"]["name"], binding.get("target") or {}
    if (binding.get("metadata") or {}).get("name") != name:
        raise bad_request("name in URL does not match name in Binding object")
    if target.get("kind", "Node") not in ("", "Node"):
        said = f'Unsupported value: "{target["kind"]}": supported values: "Node", "<empty>"'
        raise _invalid(name, Cause("target.kind", said, "FieldValueNotSupported"))
    if not target.get("name"):
        raise _invalid(name, Cause("target.name", "Required value", "FieldValueRequired"))
    meta = binding.get("metadata") or {}
    if meta.get("uid", pod["metadata"]["uid"]) != pod["metadata"]["uid"]:
        raise conflict("", "pods/binding", name, f"Precondition failed: UID in precondition: {meta['uid']}")
    if pod["metadata"].get("deletionTimestamp"):
        raise conflict("", "pods/binding", name, f"pod {name} is being deleted, cannot be assigned to a host")
    node = pod["spec"].get("nodeName")
    if node:
        raise conflict("", "pods/binding", name, f'pod {name} is already assigned to node "{node}"')
    status = pod.get("status") or {}
    others = [one for one in status.get("conditions") or [] if one["type"] != "PodScheduled"]
    stamp = today().strftime("%Y-%m-%dT%H:%M:%SZ")
    scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": stamp}
    return {
        **pod,
        "metadata": dict(pod["metadata"]),
        "spec": {**pod["spec"], "nodeName": target["name"]},
        "status": {**status, "conditions": [*others, scheduled]},
    }


def binding_to(pod: Obj, node: str) -> Obj:
    """The Binding that puts `pod` on `node`."""
    meta = {key: pod["metadata"][key] for key in ("name", "namespace", "uid")}
    target = {"apiVersion": "v1", "kind": "Node", "name": node}
    return {"apiVersion": "v1", "kind": "Binding", "metadata": meta, "target": target}


def _invalid(name: str, cause: Cause) -> ApiError:
    return invalid("", "Binding", name, [cause])
