"""What is wrong with a VirtualMachine. Pure. (KubeVirt: pkg/virt-api/webhooks, pkg/storage/admitters.)"""

from __future__ import annotations

from collections.abc import Iterator

from simulator.api.errors import Cause
from simulator.client import Obj

STRATEGIES = ("Always", "Halted", "Manual", "RerunOnFailure", "Once", "WaitAsReceiver")


def spec_faults(vm: Obj) -> Iterator[Cause]:
    """Faults of the spec alone."""
    spec = vm.get("spec") or {}
    if spec.get("template") is None:
        yield Cause("spec.template", "missing virtual machine template.", "FieldValueRequired")
        return
    if spec.get("running") is not None and spec.get("runStrategy") is not None:
        text = "Running and RunStrategy are mutually exclusive. Note that Running is deprecated, please use RunStrategy"
        yield Cause("spec.running", f"{text} instead")
    elif spec.get("running") is None and spec.get("runStrategy") is None:
        yield Cause("spec.runStrategy", "RunStrategy must be specified")
    elif spec.get("runStrategy") is not None and spec["runStrategy"] not in STRATEGIES:
        yield Cause("spec.runStrategy", f"Invalid RunStrategy ({spec['runStrategy']})", "FieldValueNotSupported")
    yield from disk_faults(spec["template"])
    yield from template_faults(vm)


def disk_faults(template: Obj) -> Iterator[Cause]:
    """Every disk needs its volume."""
    inside = template.get("spec") or {}
    volumes = {volume.get("name") for volume in inside.get("volumes") or []}
    for index, disk in enumerate(((inside.get("domain") or {}).get("devices") or {}).get("disks") or []):
        if disk.get("name") not in volumes:
            field = f"spec.template.spec.domain.devices.disks[{index}].Name"
            yield Cause(field, f"{field} '{disk.get('name')}' not found.")


def template_faults(vm: Obj) -> Iterator[Cause]:
    """Faults of dataVolumeTemplates."""
    spec = vm["spec"]
    used = {
        (volume.get("dataVolume") or {}).get("name") or (volume.get("persistentVolumeClaim") or {}).get("claimName")
        for volume in (spec["template"].get("spec") or {}).get("volumes") or []
    }
    for index, template in enumerate(spec.get("dataVolumeTemplates") or []):
        field = f"spec.dataVolumeTemplate[{index}]"
        meta, inside = template.get("metadata") or {}, template.get("spec") or {}
        name, namespace = meta.get("name", ""), vm["metadata"].get("namespace", "")
        if meta.get("namespace") not in (None, "", namespace):
            text = f"Embedded DataVolume namespace {meta['namespace']} differs from VM namespace {namespace}"
            yield Cause(field, text)
        if not inside.get("pvc") and not inside.get("storage"):
            yield Cause(field, "Missing Data volume PVC or Storage", "FieldValueRequired")
        elif inside.get("pvc") and inside.get("storage"):
            yield Cause(field, "Duplicate storage definition, both target storage and target pvc defined")
        data = inside.get("pvc") or inside.get("storage") or {}
        populated = data.get("dataSource") or data.get("dataSourceRef")
        if not inside.get("source") and not inside.get("sourceRef") and not populated:
            yield Cause(field, "Data volume should have either Source, SourceRef, or be externally populated")
        if name not in used:
            text = f"DataVolumeTemplate entry {field} must be referenced in the VMI template's 'volumes' list"
            yield Cause(field, text)


def change_faults(old: Obj, new: Obj) -> Iterator[Cause]:
    """What must not change while a snapshot or a restore of the VM is running."""
    status = old.get("status") or {}
    snapshot, restore = status.get("snapshotInProgress"), status.get("restoreInProgress")
    if snapshot and _storage(old) != _storage(new):
        yield Cause("spec", f'Cannot update vm disks or volumes until snapshot "{snapshot}" completes')
    if snapshot and _running(old) != _running(new):
        yield Cause("spec", f'Cannot update vm running state until snapshot "{snapshot}" completes')
    if restore and _running(old) != _running(new):
        yield Cause("spec", f'Cannot update VM runStrategy until restore "{restore}" completes')


def _running(vm: Obj) -> tuple[object, object]:
    return vm["spec"].get("running"), vm["spec"].get("runStrategy")


def _storage(vm: Obj) -> tuple[object, object]:
    inside = (vm["spec"].get("template") or {}).get("spec") or {}
    return ((inside.get("domain") or {}).get("devices") or {}).get("disks"), inside.get("volumes")
