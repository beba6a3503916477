"""The webhook of VirtualMachineRestores. (KubeVirt: pkg/storage/admitters/vmrestore.go.)"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from simulator.api.admission import AdmissionRequest
from simulator.api.errors import ApiError, Cause
from simulator.client import Client, Obj
from simulator.client.finding import find
from simulator.client.resources import VM_RESTORES, VM_SNAPSHOT_CONTENTS, VM_SNAPSHOTS, VMS
from simulator.virtapi.denials import changed_spec, denied, reference_faults, refused
from simulator.virtapi.restore_patches import patch_faults

VALIDATOR = "virtualmachinerestore-validator.snapshot.kubevirt.io"
VOLUME_POLICIES = (None, "RandomizeNames", "InPlace", "PrefixTargetName")
OWNERSHIP_POLICIES = (None, "Vm", "None")
KEPT_STATE = (
    "Restore to a different VM is not supported when snapshotted VM has backend storage (persistent TPM or EFI)"
)


class Restores(Protocol):
    """The restores of a namespace as virt-api knows them: from a cache, so the newest may be missing."""

    def inside(self, namespace: str) -> list[Obj]: ...


class RestoreWebhook:
    """`restores`: the cache that says whether another restore is at it; asked for each time when there is none."""

    def __init__(self, client: Client, restores: Restores | None) -> None:
        self._client = client
        self._restores = restores

    async def __call__(self, request: AdmissionRequest, restore: Obj) -> None:
        """Raises ApiError."""
        if request.operation == "UPDATE":
            causes = changed_spec(request, restore)
        else:
            target = restore["spec"].get("target") or {}
            causes = reference_faults(target, "spec.target")
            if not causes:
                causes = [*await self._target_faults(request.namespace, restore["spec"]), *spec_faults(restore["spec"])]
            causes += await self._others(request.namespace, target)
        if causes:
            raise denied(VALIDATOR, causes)

    async def _others(self, namespace: str, target: Obj) -> list[Cause]:
        """Any restore of the target that is not complete is in the way, failed ones too."""
        cache = self._restores
        known = cache.inside(namespace) if cache is not None else await self._client.list(VM_RESTORES, namespace)
        return [
            Cause("spec.target", f'VirtualMachineRestore "{other["metadata"]["name"]}" in progress')
            for other in known
            if other["spec"].get("target") == target and not (other.get("status") or {}).get("complete")
        ]

    async def _target_faults(self, namespace: str, spec: Obj) -> list[Cause]:
        """A missing snapshot is admitted, whatever the patches."""
        snapshot = await find(self._client, VM_SNAPSHOTS, spec["virtualMachineSnapshotName"], namespace)
        if snapshot is None:
            return []
        causes = list(patch_faults(spec))
        vm = await find(self._client, VMS, spec["target"]["name"], namespace)
        if "status" not in snapshot:
            text = f'Internal error occurred: failed calling webhook "{VALIDATOR}": failed to call webhook: EOF'
            raise ApiError(500, "InternalError", text)
        taken_of = snapshot["status"].get("sourceUID")
        if vm is None or taken_of not in (None, vm["metadata"]["uid"]):
            source = await self._source(namespace, snapshot)
            if keeps_state(source["spec"]["template"].get("spec") or {}):
                causes.append(Cause("spec", KEPT_STATE))
        return causes

    async def _source(self, namespace: str, snapshot: Obj) -> Obj:
        """The VM that was snapshotted, as the content has it."""
        name = snapshot["status"].get("virtualMachineSnapshotContentName")
        if name is None:
            raise refused(VALIDATOR, "snapshot content name is nil in vmSnapshot status")
        try:
            content = await self._client.get(VM_SNAPSHOT_CONTENTS, name, namespace)
        except ApiError as error:
            raise refused(VALIDATOR, error.message) from error
        source: Obj = content["spec"]["source"]["virtualMachine"]
        return source


def keeps_state(template: Obj) -> bool:
    """Whether a VM has a claim of its own for the state of its TPM or EFI."""
    domain = template.get("domain") or {}
    tpm = (domain.get("devices") or {}).get("tpm") or {}
    efi = ((domain.get("firmware") or {}).get("bootloader") or {}).get("efi") or {}
    return bool(tpm.get("persistent") or efi.get("persistent"))


def spec_faults(spec: Obj) -> Iterator[Cause]:
    """Overrides that override nothing, policies that are none."""
    for index, override in enumerate(spec.get("volumeRestoreOverrides") or []):
        field = f"spec.volumeRestoreOverrides[{index}]"
        if not override.get("volumeName"):
            yield Cause(f"{field}.volumeName", "must provide a volume name", "FieldValueRequired")
        if not override.get("restoreName") and override.get("labels") is None and override.get("annotations") is None:
            yield Cause(field, "must provide at least one overriden field", "FieldValueRequired")
    if spec.get("volumeRestorePolicy") not in VOLUME_POLICIES:
        text = f'volume restore policy "{spec["volumeRestorePolicy"]}" doesn\'t exist'
        yield Cause("spec.volumeRestorePolicy", text)
    if spec.get("volumeOwnershipPolicy") not in OWNERSHIP_POLICIES:
        text = f'volume ownership policy "{spec["volumeOwnershipPolicy"]}" doesn\'t exist'
        yield Cause("spec.volumeOwnershipPolicy", text)
