"""What is wrong with a VirtualMachine. Pure. (KubeVirt: pkg/virt-api/webhooks, pkg/storage/admitters.)"""

from __future__ import annotations

from collections.abc import Iterator

from simulator.api.errors import Cause
from simulator.client import Obj
from simulator.controllers.virt.run_strategy import RunStrategy, strategy_of

STRATEGIES = tuple(RunStrategy)
RUNNING_IS_DEPRECATED = "spec.running is deprecated, please use spec.runStrategy instead."


def spec_faults(vm: Obj) -> Iterator[Cause]:
    """Faults of the spec alone."""
    spec = vm.get("spec") or {}
    if spec.get("template") is None:
        yield Cause("spec.template", "missing virtual machine template.", "FieldValueRequired")
        return
    yield from disk_faults(spec["template"])
    yield from template_faults(spec)
    yield from strategy_faults(spec)


def strategy_faults(spec: Obj) -> Iterator[Cause]:
    """Exactly one of the two ways to say whether the VM runs, and one that there is."""
    running, strategy = spec.get("running"), spec.get("runStrategy")
    if running is not None and strategy is not None:
        text = "Running and RunStrategy are mutually exclusive. Note that Running is deprecated, please use RunStrategy"
        yield Cause("spec.running", f"{text} instead")
    if running is None and strategy is None:
        yield Cause("spec.runStrategy", "RunStrategy must be specified")
    if strategy is not None and strategy not in STRATEGIES:
        yield Cause("spec.runStrategy", f"Invalid RunStrategy ({strategy})")


def warnings(vm: Obj) -> Iterator[str]:
    """What a client is told of a VM that is let in."""
    if vm["spec"].get("running") is not None:
        yield RUNNING_IS_DEPRECATED


def disk_faults(template: Obj) -> Iterator[Cause]:
    """Every disk needs its volume."""
    inside = template.get("spec") or {}
    volumes = {volume.get("name") for volume in inside.get("volumes") or []}
    for index, disk in enumerate(((inside.get("domain") or {}).get("devices") or {}).get("disks") or []):
        if disk.get("name") not in volumes:
            field = f"spec.template.spec.domain.devices.disks[{index}].Name"
            yield Cause(field, f"{field} '{disk.get('name')}' not found.")


def template_faults(spec: Obj) -> Iterator[Cause]:
    """Faults of dataVolumeTemplates, one of each."""
    used = {
        (volume.get("dataVolume") or {}).get("name") or (volume.get("persistentVolumeClaim") or {}).get("claimName")
        for volume in (spec["template"].get("spec") or {}).get("volumes") or []
    }
    for index, template in enumerate(spec.get("dataVolumeTemplates") or []):
        field = f"spec.dataVolumeTemplate[{index}]"
        fault = template_fault(field, template)
        if fault is None and template["metadata"]["name"] not in used:
            text = f"DataVolumeTemplate entry {field} must be referenced in the VMI template's 'volumes' list"
            fault = Cause(field, text, "FieldValueRequired")
        if fault is not None:
            yield fault


def template_fault(field: str, template: Obj) -> Cause | None:
    """The first fault of one of them."""
    inside = template.get("spec") or {}
    if not (template.get("metadata") or {}).get("name"):
        text = f"'name' field must not be empty for DataVolumeTemplate entry {field}.name."
        return Cause(f"{field}.name", text, "FieldValueRequired")
    claim, storage = inside.get("pvc"), inside.get("storage")
    if claim is None and storage is None:
        return Cause(f"{field}.PVC.Storage", "Missing Data volume PVC or Storage")
    if claim is not None and storage is not None:
        text = "Duplicate storage definition, both target storage and target pvc defined"
        return Cause(f"{field}.PVC.Storage", text)
    return source_fault(field, inside, (claim if claim is not None else storage) or {})


def source_fault(field: str, inside: Obj, claim: Obj) -> Cause | None:
    """What a disk is filled with: one source, or somebody else's doing."""
    outside = claim.get("dataSource") is not None or claim.get("dataSourceRef") is not None
    own = inside.get("source") is not None or inside.get("sourceRef") is not None
    if outside and own:
        return Cause(f"{field}.source", "External population is incompatible with Source and SourceRef")
    if not outside and not own:
        text = "Data volume should have either Source, SourceRef, or be externally populated"
        return Cause(f"{field}.source.sourceRef", text)
    if inside.get("source") is None:
        return None
    sources = [one for one in inside["source"].values() if one is not None]
    if len(sources) == 1:
        return None
    return Cause(f"{field}.source", "Multiple dataVolume sources" if sources else "Missing dataVolume valid source")


def namespace_faults(vm: Obj, old: Obj | None) -> Iterator[Cause]:
    """Templates are of the VM's own namespace; looked at when they are new."""
    templates = vm["spec"].get("dataVolumeTemplates") or []
    if old is not None and (old["spec"].get("dataVolumeTemplates") or []) == templates:
        return
    here = vm["metadata"].get("namespace", "")
    for index, template in enumerate(templates):
        there = (template.get("metadata") or {}).get("namespace") or here
        if there != here:
            text = f"Embedded DataVolume namespace {there} differs from VM namespace {here}"
            yield Cause(f"spec.dataVolumeTemplates[{index}]", text)


def snapshot_faults(old: Obj, new: Obj) -> Iterator[Cause]:
    """What must not change while a snapshot of the VM is taken; the first fault alone."""
    snapshot = (new.get("status") or {}).get("snapshotInProgress")
    if not snapshot:
        return
    if _volumes(old) != _volumes(new):
        yield _not_now(f'Cannot update vm disks or volumes until snapshot "{snapshot}" completes')
    elif _running(old) != _running(new):
        yield _not_now(f'Cannot update vm running state until snapshot "{snapshot}" completes')


def restore_faults(old: Obj, new: Obj) -> Iterator[Cause]:
    """What must not change while the VM is restored. `running` and the strategy that it means are the same."""
    restore = (new.get("status") or {}).get("restoreInProgress")
    if restore and strategy_of(old) != strategy_of(new):
        yield _not_now(f'Cannot update VM runStrategy until restore "{restore}" completes')


def _not_now(text: str) -> Cause:
    return Cause("spec", text, "FieldValueNotSupported")


def _running(vm: Obj) -> tuple[object, object]:
    return vm["spec"].get("running"), vm["spec"].get("runStrategy")


def _volumes(vm: Obj) -> list[Obj]:
    return ((vm["spec"].get("template") or {}).get("spec") or {}).get("volumes") or []
