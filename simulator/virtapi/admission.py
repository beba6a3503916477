"""KubeVirt's and CDI's webhooks as admission hooks."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator

from simulator import accounts
from simulator.api.admission import AdmissionRequest
from simulator.api.errors import ApiError, Cause
from simulator.client import Client, Obj
from simulator.controllers.claims import POPULATED_FOR
from simulator.controllers.datavolume import ALLOW_ADOPTION, PRE_POPULATED
from simulator.controllers.meta import annotation, controller_of
from simulator.controllers.resources import PVCS, VM_RESTORES, VM_SNAPSHOTS
from simulator.virtapi.denials import denied, denied_by_cdi, refused
from simulator.virtapi.restore_patches import patch_faults
from simulator.virtapi.vm_rules import namespace_faults, restore_faults, snapshot_faults, spec_faults, warnings

VM_VALIDATOR = "virtualmachine-validator.kubevirt.io"
SNAPSHOT_VALIDATOR = "virtualmachinesnapshot-validator.snapshot.kubevirt.io"
RESTORE_VALIDATOR = "virtualmachinerestore-validator.snapshot.kubevirt.io"
DATA_VOLUME_VALIDATOR = "datavolume-validate.cdi.kubevirt.io"
IMMUTABLE = "spec in immutable after creation"
VOLUME_POLICIES = (None, "RandomizeNames", "InPlace", "PrefixTargetName")
OWNERSHIP_POLICIES = (None, "Vm", "None")


class Webhooks:
    """All of them; `client` is what they look others up with."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def __call__(self, request: AdmissionRequest) -> None:
        """Mutate or deny. Raises ApiError."""
        if request.operation == "DELETE" or request.subresource or request.object is None:
            return
        where = (request.gvr.group, request.gvr.plural)
        if where == ("kubevirt.io", "virtualmachines"):
            self._virtual_machine(request, request.object)
        elif where == ("kubevirt.io", "virtualmachineinstances"):
            self._instance(request)
        elif where == ("snapshot.kubevirt.io", "virtualmachinesnapshots"):
            self._snapshot(request, request.object)
        elif where == ("snapshot.kubevirt.io", "virtualmachinerestores"):
            await self._restore(request, request.object)
        elif where == ("cdi.kubevirt.io", "datavolumes"):
            await self._data_volume(request, request.object)

    def _virtual_machine(self, request: AdmissionRequest, vm: Obj) -> None:
        if vm["metadata"].get("deletionTimestamp"):
            return
        if request.operation == "CREATE" and (vm.get("spec") or {}).get("template"):
            default_vm(vm)
        old = request.old_object if request.operation == "UPDATE" else None
        for faults in vm_faults(vm, old):
            causes = list(faults)
            if causes:
                raise denied(VM_VALIDATOR, causes)
        request.warnings.extend(warnings(vm))

    def _instance(self, request: AdmissionRequest) -> None:
        """Instances have no status subresource; what others than KubeVirt write there is dropped without a word."""
        old = request.old_object
        if request.operation == "UPDATE" and old is not None and request.user.name not in accounts.OWN:
            request.object.pop("status", None)
            if "status" in old:
                request.object["status"] = old["status"]

    def _snapshot(self, request: AdmissionRequest, snapshot: Obj) -> None:
        causes = _reference_faults(snapshot["spec"].get("source") or {}, "spec.source")
        if request.operation == "UPDATE":
            causes = _immutable(request, snapshot)
        if causes:
            raise denied(SNAPSHOT_VALIDATOR, causes)

    async def _restore(self, request: AdmissionRequest, restore: Obj) -> None:
        if request.operation == "UPDATE":
            causes = _immutable(request, restore)
        else:
            causes = _reference_faults(restore["spec"].get("target") or {}, "spec.target")
            causes += _policy_faults(restore["spec"])
            causes += await self._running_restores(request, restore)
            if await self._check_snapshot(request, restore):
                causes += patch_faults(restore["spec"])
        if causes:
            raise denied(RESTORE_VALIDATOR, causes)

    async def _running_restores(self, request: AdmissionRequest, restore: Obj) -> list[Cause]:
        """Any restore of the target that is not complete is in the way, failed ones too."""
        target = restore["spec"].get("target")
        return [
            Cause("spec.target", f'VirtualMachineRestore "{other["metadata"]["name"]}" in progress')
            for other in await self._client.list(VM_RESTORES, request.namespace)
            if other["spec"].get("target") == target and not (other.get("status") or {}).get("complete")
        ]

    async def _check_snapshot(self, request: AdmissionRequest, restore: Obj) -> bool:
        """Whether there is one: a missing snapshot is admitted, whatever the patches; one without content is not."""
        try:
            snapshot = await self._client.get(
                VM_SNAPSHOTS, restore["spec"]["virtualMachineSnapshotName"], request.namespace
            )
        except ApiError as error:
            if error.code == 404:
                return False
            raise
        if "status" not in snapshot:
            text = f'Internal error occurred: failed calling webhook "{RESTORE_VALIDATOR}": failed to call webhook: EOF'
            raise ApiError(500, "InternalError", text)
        if snapshot["status"].get("readyToUse") and not snapshot["status"].get("virtualMachineSnapshotContentName"):
            raise refused(RESTORE_VALIDATOR, "snapshot content name is nil in vmSnapshot status")
        return True

    async def _data_volume(self, request: AdmissionRequest, volume: Obj) -> None:
        if request.operation == "UPDATE":
            if request.old_object is not None and request.old_object["spec"] != volume["spec"]:
                cause = Cause("DataVolume.Spec", "Cannot update DataVolume Spec", "FieldValueDuplicate")
                raise denied_by_cdi(DATA_VOLUME_VALIDATOR, [cause])
            return
        annotations = volume["metadata"].get("annotations") or {}
        if {PRE_POPULATED, ALLOW_ADOPTION} & annotations.keys():
            return
        try:
            claim = await self._client.get(PVCS, request.name, request.namespace)
        except ApiError as error:
            if error.code == 404:
                return
            raise
        if annotation(claim, POPULATED_FOR) == request.name or (controller_of(claim) or {}).get("kind") == "DataVolume":
            return
        text = f"Destination PVC {request.namespace}/{request.name} already exists"
        raise denied_by_cdi(DATA_VOLUME_VALIDATOR, [Cause("DataVolume.Name", text, "FieldValueDuplicate")])


def vm_faults(vm: Obj, old: Obj | None) -> Iterator[Iterable[Cause]]:
    """One look after another, as KubeVirt takes them: what the first one finds is all that a client is told."""
    yield spec_faults(vm)
    yield namespace_faults(vm, old)
    if old is not None:
        yield snapshot_faults(old, vm)
        yield restore_faults(old, vm)


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


def _immutable(request: AdmissionRequest, obj: Obj) -> list[Cause]:
    if request.old_object is not None and request.old_object["spec"] != obj["spec"]:
        return [Cause("spec", IMMUTABLE)]
    return []


def _reference_faults(reference: Obj, field: str) -> list[Cause]:
    group = reference.get("apiGroup")
    if group is None:
        return [Cause(f"{field}.apiGroup", "missing apiGroup", "FieldValueNotFound")]
    if group != "kubevirt.io":
        return [Cause(f"{field}.apiGroup", "invalid apiGroup")]
    if reference.get("kind") != "VirtualMachine":
        return [Cause(f"{field}.kind", "invalid kind")]
    return []


def _policy_faults(spec: Obj) -> list[Cause]:
    causes = []
    if spec.get("volumeRestorePolicy") not in VOLUME_POLICIES:
        text = f'volume restore policy "{spec["volumeRestorePolicy"]}" doesn\'t exist'
        causes.append(Cause("spec.volumeRestorePolicy", text))
    if spec.get("volumeOwnershipPolicy") not in OWNERSHIP_POLICIES:
        text = f'volume ownership policy "{spec["volumeOwnershipPolicy"]}" doesn\'t exist'
        causes.append(Cause("spec.volumeOwnershipPolicy", text))
    for index, override in enumerate(spec.get("volumeRestoreOverrides") or []):
        field = f"spec.volumeRestoreOverrides[{index}]"
        if not override.get("volumeName"):
            causes.append(Cause(field, "must provide a volume name"))
        if not any(override.get(key) for key in ("restoreName", "labels", "annotations")):
            causes.append(Cause(field, "must provide at least one overriden field"))
    return causes
