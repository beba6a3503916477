"""KubeVirt's and CDI's validating webhooks as admission hooks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from simulator.api.admission import AdmissionRequest
from simulator.api.errors import ApiError, Cause
from simulator.client import Client, Obj, accounts
from simulator.client.meta import annotation, controller_of
from simulator.client.resources import PVCS
from simulator.controllers.cdi.datavolume import ALLOW_ADOPTION, PRE_POPULATED
from simulator.controllers.storage.claims import POPULATED_FOR
from simulator.virtapi.denials import changed_spec, denied, denied_by_cdi, reference_faults
from simulator.virtapi.restore_webhook import Restores, RestoreWebhook
from simulator.virtapi.vm_rules import namespace_faults, restore_faults, snapshot_faults, spec_faults, warnings

VM_VALIDATOR = "virtualmachine-validator.kubevirt.io"
SNAPSHOT_VALIDATOR = "virtualmachinesnapshot-validator.snapshot.kubevirt.io"
DATA_VOLUME_VALIDATOR = "datavolume-validate.cdi.kubevirt.io"


class Webhooks:
    """All of them; `client` is what they look others up with, `restores` virt-api's cache of restores."""

    def __init__(self, client: Client, restores: Restores | None = None) -> None:
        self._client = client
        self._restores = RestoreWebhook(client, restores)

    async def __call__(self, request: AdmissionRequest) -> None:
        """Raises ApiError."""
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
            await self._restores(request, request.object)
        elif where == ("cdi.kubevirt.io", "datavolumes"):
            await self._data_volume(request, request.object)

    def _virtual_machine(self, request: AdmissionRequest, vm: Obj) -> None:
        if vm["metadata"].get("deletionTimestamp"):
            return
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
        causes = reference_faults(snapshot["spec"].get("source") or {}, "spec.source")
        if request.operation == "UPDATE":
            causes = changed_spec(request, snapshot)
        if causes:
            raise denied(SNAPSHOT_VALIDATOR, causes)

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
