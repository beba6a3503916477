"""The VM's spec as its instance was started with: a ControllerRevision, by which a changed VM is told from what runs.

(KubeVirt: pkg/virt-controller/watch/vm, createVMRevision and addRestartRequiredIfNeeded; snapshot/source.go.)
"""

from __future__ import annotations

from simulator.api.values import copied
from simulator.client import Obj
from simulator.client.meta import now, owned_by, owner, with_condition, without_condition
from simulator.client.resources import CONTROLLER_REVISIONS
from simulator.controllers.runtime.manager import Context

RESTART_REQUIRED = "RestartRequired"
CHANGED = "a non-live-updatable field was changed in the template spec"


def revision_name(vm: Obj) -> str:
    return f"revision-start-vm-{vm['metadata']['uid']}-{vm['metadata']['generation']}"


async def record(context: Context, vm: Obj) -> None:
    """Keep the VM's spec for the instance about to start, in place of what earlier starts kept. Raises ApiError."""
    name, namespace = revision_name(vm), vm["metadata"]["namespace"]
    cache = context.cache(CONTROLLER_REVISIONS)
    if cache.get(namespace, name) is None:
        meta = {"name": name, "namespace": namespace, "ownerReferences": [owner(vm)]}
        kind = {"apiVersion": "apps/v1", "kind": "ControllerRevision"}
        data = {"spec": vm["spec"]}
        revision = {**kind, "metadata": meta, "data": data, "revision": vm["metadata"]["generation"]}
        await context.create(CONTROLLER_REVISIONS, revision)
    for other in cache.inside(namespace):
        if other["metadata"]["name"] != name and owned_by(other, vm):
            await context.delete(CONTROLLER_REVISIONS, other)


def started_with(context: Context, vm: Obj, vmi: Obj | None) -> Obj:
    """The VM's spec that the instance was started with; the present one when there is no instance."""
    name = ((vmi or {}).get("status") or {}).get("virtualMachineRevisionName", "")
    found = context.cache(CONTROLLER_REVISIONS).get(vm["metadata"]["namespace"], name) if name else None
    spec: Obj = found["data"]["spec"] if found is not None else vm["spec"]
    return spec


def as_it_runs(context: Context, vm: Obj, vmi: Obj | None) -> Obj:
    """The VM with the spec of its instance, but the volumes, disks and templates it has now: what a snapshot keeps."""
    spec = copied(started_with(context, vm, vmi))
    ran, present = spec["template"]["spec"], vm["spec"]["template"]["spec"]
    _take(ran, present, "volumes")
    _take(spec, vm["spec"], "dataVolumeTemplates")
    _take(ran.setdefault("domain", {}).setdefault("devices", {}), (present.get("domain") or {}).get("devices"), "disks")
    return {**vm, "spec": spec}


def _take(to: Obj, source: Obj | None, key: str) -> None:
    to.pop(key, None)
    if source and key in source:
        to[key] = source[key]


def with_restart_required(context: Context, vm: Obj, vmi: Obj | None) -> Obj:
    """The VM with the condition while its instance has another template than it, without it else. Without an instance
    it stays as it was, until the next start."""
    if vmi is None:
        return vm
    conditions = (vm.get("status") or {}).get("conditions")
    ran, present = started_with(context, vm, vmi)["template"], vm["spec"]["template"]
    if _fixed(ran) == _fixed(present):
        new = without_condition(conditions, RESTART_REQUIRED)
    else:
        stamp = {"status": "True", "message": CHANGED, "lastTransitionTime": now()}
        new = with_condition(conditions, {"type": RESTART_REQUIRED, **stamp})
    return vm if new == (conditions or []) else {**vm, "status": {**(vm.get("status") or {}), "conditions": new}}


def _fixed(template: Obj) -> Obj:
    """What of a template's spec cannot be changed while it runs: all but disks that are plugged in. (More only by the
    rollout strategy LiveUpdate, which is not KubeVirt's default. Labels and annotations are not of the spec.)"""
    spec: Obj = template.get("spec") or {}
    plugged = {one["name"] for one in spec.get("volumes") or [] if _hotpluggable(one)}
    if not plugged:
        return spec
    spec = copied(spec)
    devices = (spec.get("domain") or {}).get("devices") or {}
    for holder, key in ((spec, "volumes"), (devices, "disks")):
        if key in holder:
            holder[key] = [one for one in holder[key] if one["name"] not in plugged]
    return spec


def _hotpluggable(volume: Obj) -> bool:
    return any((volume.get(kind) or {}).get("hotpluggable") for kind in ("dataVolume", "persistentVolumeClaim"))
