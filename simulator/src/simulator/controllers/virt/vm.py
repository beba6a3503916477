"""virt-controller's VirtualMachine controller: volumes, the instance, the status."""

from __future__ import annotations

from simulator.api.errors import ApiError
from simulator.api.values import copied
from simulator.client import Obj
from simulator.client.meta import (
    annotation,
    controller_of,
    deleting,
    has_finalizer,
    now,
    owned_by,
    owner,
    with_annotations,
    with_finalizer,
    without_finalizer,
)
from simulator.client.resources import CONTROLLER_REVISIONS, DATA_VOLUMES, PVCS, VMIS, VMS
from simulator.controllers.runtime.manager import Context, Controller, key_of
from simulator.controllers.runtime.workqueue import Key
from simulator.controllers.storage.claims import bound
from simulator.controllers.virt.launcher import claims_of
from simulator.controllers.virt.revisions import record, revision_name, started_with, with_restart_required
from simulator.controllers.virt.run_strategy import Wanted, final, reruns, wanted
from simulator.controllers.virt.start_failure import left, with_start_failure
from simulator.controllers.virt.vm_status import POPULATED, VM_GENERATION, vm_status
from simulator.controllers.virt.vm_volumes import (
    IMMEDIATE,
    NotAuthorized,
    disk_names,
    ensure_data_volumes,
    template_names,
)

FINALIZER = "kubevirt.io/virtualMachineControllerFinalize"
FOREGROUND = "kubevirt.io/foregroundDeleteVirtualMachine"
OBSERVED = {
    "kubevirt.io/latest-observed-api-version": "v1",
    "kubevirt.io/storage-observed-api-version": "v1",
}
COMPONENT = "virtualmachine-controller"

Failure = tuple[str, str]


class VirtualMachines(Controller):
    name = "vm"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._deaf = context.clock.listen(self._clock_moved)

    async def stop(self) -> None:
        """Listen to the clock no more."""
        self._deaf()

    def watch(self) -> None:
        self.follow(VMS)
        self.follow(VMIS)
        self.context.cache(DATA_VOLUMES).subscribe(self._volume_changed)
        self.context.cache(PVCS).subscribe(self._claim_changed)
        self.context.cache(CONTROLLER_REVISIONS)

    def _claim_changed(self, claim: Obj) -> None:
        for vm in self.context.cache(VMS).inside(claim["metadata"]["namespace"]):
            if claim["metadata"]["name"] in claims_of(vm["spec"]["template"]):
                self.queue.add((vm["metadata"]["namespace"], vm["metadata"]["name"]))

    def _clock_moved(self) -> None:
        for vm in self.context.cache(VMS):
            if (vm.get("status") or {}).get("startFailure"):
                self.queue.add(key_of(vm))

    def _volume_changed(self, volume: Obj) -> None:
        namespace = volume["metadata"]["namespace"]
        reference = controller_of(volume)
        if reference is not None and reference["kind"] == "VirtualMachine":
            self.queue.add((namespace, reference["name"]))
            return
        for vm in self.context.cache(VMS).inside(namespace):
            if volume["metadata"]["name"] in (*template_names(vm), *disk_names(vm)):
                self.queue.add((namespace, vm["metadata"]["name"]))

    async def reconcile(self, key: Key) -> float | None:
        vm = self.context.cache(VMS).get(*key)
        vmi = self.context.cache(VMIS).get(*key)
        if vmi is not None and vm is not None and not owned_by(vmi, vm):
            vmi = None
        if vm is None:
            await self._orphan(key)
            return None
        if annotation(vm, "kubevirt.io/latest-observed-api-version") is None:
            vm = await self.context.update(VMS, with_annotations(vm, OBSERVED))
        if deleting(vm):
            return await self._terminate(vm, vmi)
        if not has_finalizer(vm, FINALIZER):
            vm = await self.context.update(VMS, with_finalizer(vm, FINALIZER))
        failure, again = await self._sync(vm, vmi)
        await self._report(vm, failure)
        return again

    async def _orphan(self, key: Key) -> None:
        """An instance whose VM is gone must not be held by the VM's finalizer."""
        vmi = self.context.cache(VMIS).get(*key)
        if vmi is not None and deleting(vmi) and has_finalizer(vmi, FINALIZER):
            await self.context.update(VMIS, without_finalizer(vmi, FINALIZER))

    async def _terminate(self, vm: Obj, vmi: Obj | None) -> float | None:
        if vmi is not None:
            await self._stop(vm, vmi)
            await self._report(vm, None)
            return None
        if has_finalizer(vm, FINALIZER):
            status = vm_status(vm, None, self._volumes(vm), None)
            vm = await self.context.set_status(VMS, vm, status)
            await self.context.update(VMS, without_finalizer(vm, FINALIZER))
        return None

    def _volumes(self, vm: Obj) -> list[Obj]:
        found = (self.context.cache(DATA_VOLUMES).get(vm["metadata"]["namespace"], name) for name in disk_names(vm))
        return [volume for volume in found if volume is not None]

    def _unbound(self, vm: Obj) -> bool:
        """Whether a claim of the VM exists and is not bound."""
        claims = self.context.cache(PVCS)
        found = [claims.get(vm["metadata"]["namespace"], name) for name in claims_of(vm["spec"]["template"])]
        return any(claim is not None and not bound(claim) for claim in found)

    async def _sync(self, vm: Obj, vmi: Obj | None) -> tuple[Failure | None, float | None]:
        """Bring volumes and instance nearer to the spec: failure if any, seconds to another pass."""
        want = wanted(vm, vmi)
        if vmi is not None:
            await self._keep_generation(vm, vmi)
            if want is Wanted.STOP or deleting(vmi):
                if reruns(vm, vmi):
                    await self._ask_to_start(vm)
                await self._stop(vm, vmi)
            return None, None
        if annotation(vm, IMMEDIATE) == "false" and want is not Wanted.START:
            return None, None
        try:
            volumes = await ensure_data_volumes(self.context, vm)
        except (NotAuthorized, ApiError) as error:
            if isinstance(error, ApiError) and error.code == 409:
                raise
            text = f"Error encountered while creating DataVolumes: {error}"
            return ("FailedCreate", text), self.delays.retry
        ready = all(volume.get("status", {}).get("phase") in POPULATED for volume in volumes)
        if want is not Wanted.START or not ready:
            return None, None
        wait = left(vm, self.context.clock.now())
        if wait > 0:
            return None, wait
        await self._start(vm)
        return None, None

    async def _ask_to_start(self, vm: Obj) -> None:
        """Note on the VM that it is to be started once nothing is left of its failed instance."""
        status = vm["status"]
        requests = [*(status.get("stateChangeRequests") or []), {"action": "Start"}]
        await self.context.set_status(VMS, vm, {**status, "stateChangeRequests": requests})

    async def _keep_generation(self, vm: Obj, vmi: Obj) -> None:
        """A change that needs no restart (run strategy) is noted on the instance; others need a restart."""
        if started_with(self.context, vm, vmi)["template"] != vm["spec"]["template"]:
            return
        generation = str(vm["metadata"]["generation"])
        if annotation(vmi, VM_GENERATION) != generation and not final(vmi) and not deleting(vmi):
            await self.context.update(VMIS, with_annotations(vmi, {VM_GENERATION: generation}))

    async def _start(self, vm: Obj) -> None:
        await record(self.context, vm)
        vmi = await self.context.create(VMIS, instance_of(vm))
        text = f"Started the virtual machine by creating the new virtual machine instance {vmi['metadata']['name']}"
        self.context.events.record(vm, "Normal", "SuccessfulCreate", text, component=COMPONENT)

    async def _stop(self, vm: Obj, vmi: Obj) -> None:
        """Delete the instance."""
        if not deleting(vmi):
            current = self.context.cache(VMIS).get(vm["metadata"]["namespace"], vm["metadata"]["name"])
            await self.context.delete(VMIS, current or vmi)
            text = f"Stopped the virtual machine by deleting the virtual machine instance {vmi['metadata']['uid']}"
            self.context.events.record(vm, "Normal", "SuccessfulDelete", text, component=COMPONENT)

    async def _report(self, vm: Obj, failure: Failure | None) -> None:
        """Write the VM's status; then an instance that has ended, deleted or not, is let go of."""
        current = self.context.cache(VMS).get(vm["metadata"]["namespace"], vm["metadata"]["name"]) or vm
        vmi = self.context.cache(VMIS).get(vm["metadata"]["namespace"], vm["metadata"]["name"])
        if vmi is not None and not owned_by(vmi, vm):
            vmi = None
        current = with_start_failure(current, vmi, self.context.clock.now(), self.delays.speed)
        current = with_restart_required(self.context, current, vmi)
        status = vm_status(current, vmi, self._volumes(current), failure, unbound=self._unbound(current))
        if status != vm.get("status"):
            await self.context.update(VMS, {**current, "status": status}, subresource="status")
        if vmi is not None and final(vmi) and has_finalizer(vmi, FINALIZER):
            await self.context.update(VMIS, without_finalizer(vmi, FINALIZER))


def instance_of(vm: Obj) -> Obj:
    """The new instance of a VM, from its template."""
    template = copied(vm["spec"]["template"])
    meta = template.get("metadata") or {}
    generation = vm["metadata"]["generation"]
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {
            "name": vm["metadata"]["name"],
            "namespace": vm["metadata"]["namespace"],
            "labels": dict(meta.get("labels") or {}),
            "annotations": {**(meta.get("annotations") or {}), VM_GENERATION: str(generation)},
            "finalizers": [FINALIZER, FOREGROUND],
            "ownerReferences": [owner(vm)],
        },
        "spec": template["spec"],
        "status": {
            "guestOSInfo": {},
            "phase": "Pending",
            "phaseTransitionTimestamps": [{"phase": "Pending", "phaseTransitionTimestamp": now()}],
            "runtimeUser": 107,
            "virtualMachineRevisionName": revision_name(vm),
        },
    }
