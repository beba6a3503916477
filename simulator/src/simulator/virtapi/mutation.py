"""KubeVirt's mutating webhook of VirtualMachines: it looks at the schema, then completes what is new."""

from __future__ import annotations

import uuid
from typing import Any

from simulator.api.admission import AdmissionRequest
from simulator.api.errors import Cause
from simulator.client import Obj
from simulator.client.resources import VMS
from simulator.virtapi.denials import denied

VM_MUTATOR = "virtualmachines-mutator.kubevirt.io"
COMPLETED = (
    "spec.template.spec.domain.firmware",
    "spec.template.spec.domain.machine",
    "spec.template.metadata.annotations",
)
"""Where something is filled in."""


def mutate(request: AdmissionRequest) -> None:
    """An admission hook. Raises ApiError 422 for a VM without template, before the API server itself looks for one."""
    if request.gvr != VMS or request.operation not in ("CREATE", "UPDATE") or request.subresource:
        return
    spec = request.object.get("spec")
    if not isinstance(spec, dict):
        return
    if "template" not in spec:
        raise denied(VM_MUTATOR, [Cause("", "spec.template in body is required", "")])
    if request.operation == "CREATE" and all(_maps(request.object, path) for path in COMPLETED):
        default_vm(request.object)


def _maps(obj: Any, path: str) -> bool:
    """Whether everything on the way that is there is a map; what is not is for the schema to refuse."""
    for name in path.split("."):
        if not isinstance(obj, dict):
            return obj is None
        obj = obj.get(name)
    return obj is None or isinstance(obj, dict)


def default_vm(vm: Obj) -> None:
    """What the mutator fills in on creation, in place: a random firmware identity, architecture, machine type."""
    template = vm["spec"]["template"]
    inside = template.setdefault("spec", {})
    domain = inside.setdefault("domain", {})
    firmware = domain.setdefault("firmware", {})
    for name in ("uuid", "serial"):
        firmware[name] = firmware.get(name) or str(uuid.uuid4())
    inside.setdefault("architecture", "amd64")
    domain.setdefault("machine", {}).setdefault("type", "q35")
    meta = template.get("metadata") or {}
    annotations = meta.get("annotations") or {}
    annotations.setdefault("kubevirt.io/pci-topology-version", "v3")
    template["metadata"] = {**meta, "annotations": annotations}
