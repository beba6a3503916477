"""virt-controller's VirtualMachineRestore controller: one step a pass, from what is there."""

from __future__ import annotations

from simulator.api.errors import ApiError
from simulator.client import Obj
from simulator.client.meta import (
    deleting,
    has_finalizer,
    owner,
    with_annotations,
    without_finalizer,
)
from simulator.client.resources import (
    DATA_VOLUMES,
    PVCS,
    STORAGE_CLASSES,
    VM_RESTORES,
    VM_SNAPSHOT_CONTENTS,
    VM_SNAPSHOTS,
    VMIS,
    VMS,
    VOLUME_SNAPSHOTS,
)
from simulator.controllers.restores.created import created_vm
from simulator.controllers.restores.disks import RestoredDisks
from simulator.controllers.restores.plan import (
    LAST_RESTORE,
    already_restored,
    restore_id,
    restored_spec,
    restores_of,
)
from simulator.controllers.restores.source import RestoreError, usable_content, usable_snapshot
from simulator.controllers.restores.target import Decision, decide, failure, stopped
from simulator.controllers.restores.told import Told
from simulator.controllers.runtime.manager import Context, Controller
from simulator.controllers.runtime.workqueue import Key
from simulator.faults.troubles import TroubleKind, victim

FINALIZER = "snapshot.kubevirt.io/vmrestore-protection"
PASSING = "Internal error occurred: etcdserver: request timed out"
"""What an error on request is by default."""
INITIALIZING = "Initializing VirtualMachineRestore"


class VirtualMachineRestores(Controller):
    name = "restore"
    workers = 3

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._told = Told(context)
        self._disks = RestoredDisks(context, self._told)

    def watch(self) -> None:
        self.follow(VM_RESTORES)
        self.follow_troubles(VM_RESTORES)
        for gvr in (VMS, PVCS, DATA_VOLUMES):
            self.context.cache(gvr).subscribe(self._changed)
        for gvr in (VMIS, VM_SNAPSHOTS, VM_SNAPSHOT_CONTENTS, VOLUME_SNAPSHOTS, STORAGE_CLASSES):
            self.context.cache(gvr)

    def _changed(self, obj: Obj) -> None:
        """A VM, claim or DataVolume wakes the unfinished restores of its namespace; an instance does not."""
        namespace = obj["metadata"]["namespace"]
        for restore in self.context.cache(VM_RESTORES).inside(namespace):
            if not (restore.get("status") or {}).get("complete"):
                self.queue.add((namespace, restore["metadata"]["name"]))

    async def reconcile(self, key: Key) -> float | None:
        restore = self.context.cache(VM_RESTORES).get(*key)
        if restore is None:
            return None
        vm = self.context.cache(VMS).get(key[0], restore["spec"]["target"]["name"])
        if deleting(restore):
            await self._remove(restore, vm)
            return None
        status = restore.get("status") or {}
        if not status:
            await self._told.say(restore, True, INITIALIZING, INITIALIZING, complete=False)
            return None
        if status.get("complete") or any(one["type"] == "Failure" for one in status.get("conditions") or []):
            return None
        try:
            await self._advance(await self._hold(restore, vm), vm)
        except RestoreError as error:
            await self._told.error(restore, str(error))
            return self.delays.retry
        except ApiError as error:
            if error.code == 409:
                raise
            await self._told.error(restore, str(error))
            return self.delays.retry
        return None

    async def _hold(self, restore: Obj, vm: Obj | None) -> Obj:
        """Finalizer, and the target as owner."""
        meta = restore["metadata"]
        changed = dict(meta)
        if not has_finalizer(restore, FINALIZER):
            changed["finalizers"] = [*(meta.get("finalizers") or []), FINALIZER]
        if vm is not None and not meta.get("ownerReferences"):
            changed["ownerReferences"] = [*(meta.get("ownerReferences") or []), owner(vm)]
        if changed == meta:
            return restore
        return await self.context.update(VM_RESTORES, {**restore, "metadata": changed})

    async def _advance(self, restore: Obj, vm: Obj | None) -> None:
        if not await self._target_ready(restore, vm):
            return
        snapshot = usable_snapshot(self.context, restore, vm)
        if vm is not None:
            vm = await self._claim_target(restore, vm)
        content = usable_content(self.context, snapshot)
        restores = restores_of(restore, content)
        if restores and "restores" not in (restore.get("status") or {}):
            restore = await self._told.say(
                restore, True, "Creating new PVCs", "Waiting for new PVCs", restores=restores
            )
        if vm is not None and already_restored(vm, restore):
            await self._finish(restore, vm)
            return
        claims = await self._disks.ensure_claims(restore, vm, content)
        if await self._struck(restore):
            return
        if claims is None:
            await self._told.say(restore, True, "Creating new PVCs", "Waiting for new PVCs")
            return
        restore = await self._disks.hand_over(restore, content, claims)
        spec = restored_spec(vm, content, restore)
        restore, populated = await self._disks.ensure_data_volumes(restore, vm, spec)
        if populated:
            await self._apply(restore, vm, content, spec)
        await self._told.updating(restore)

    async def _target_ready(self, restore: Obj, vm: Obj | None) -> bool:
        """Whether the target is powered off; if not, what the policy asks for is done."""
        if vm is None:
            return True
        vmi = self.context.cache(VMIS).get(vm["metadata"]["namespace"], vm["metadata"]["name"])
        decision = decide(restore, vmi is not None, self.delays.restore_grace)
        if decision is None or vmi is None:
            return True
        if decision.kind is Decision.Kind.FAIL:
            await self._told.fail(restore, decision.reason)
            return False
        if decision.kind is Decision.Kind.STOP:
            await self._stop(vm, vmi)
        await self._told.wait(restore, decision.reason, decision.event)
        return False

    async def _stop(self, vm: Obj, vmi: Obj) -> None:
        after = stopped(vm, vmi)
        if after["spec"] != vm["spec"]:
            await self.context.update(VMS, after)
        elif after.get("status") != vm.get("status"):
            await self.context.set_status(VMS, vm, after["status"])

    async def _claim_target(self, restore: Obj, vm: Obj) -> Obj:
        """Mark the VM as being restored by this restore. Raises RestoreError when another one is at it."""
        name = restore["metadata"]["name"]
        status = vm.get("status") or {}
        other = status.get("restoreInProgress")
        if other not in (None, "", name):
            raise RestoreError(f"vm restore {other} in progress")
        if other == name or already_restored(vm, restore):
            return vm
        return await self.context.set_status(VMS, vm, {**status, "restoreInProgress": name})

    async def _struck(self, restore: Obj) -> bool:
        """Whether it has failed on request, as one does whose target is started meanwhile. Raises RestoreError."""
        trouble = self.context.troubles.of(TroubleKind.FAIL_RESTORE, victim(restore))
        if trouble is None:
            return False
        if not trouble.terminal:
            raise RestoreError(trouble.message or PASSING)
        await self._told.fail(restore, trouble.message or failure(restore))
        return True

    async def _apply(self, restore: Obj, vm: Obj | None, content: Obj, spec: Obj) -> None:
        """One update of the VM: spec and the mark that it is applied. A VM that is not there is created, Halted, and
        gets the claims that the VM of the snapshot had of its own."""
        if vm is None:
            vm = await self.context.create(VMS, created_vm(restore, content, spec))
            await self._disks.own(restore, vm)
            return
        mark = {LAST_RESTORE: restore_id(restore)}
        await self.context.update(VMS, {**with_annotations(vm, mark), "spec": spec})

    async def _finish(self, restore: Obj, vm: Obj) -> None:
        """Old DataVolumes go, the VM is freed, the restore is complete: in this order."""
        for name in restore["status"].get("deletedDataVolumes") or []:
            volume = self.context.cache(DATA_VOLUMES).get(vm["metadata"]["namespace"], name)
            if volume is not None and not deleting(volume):
                await self.context.delete(DATA_VOLUMES, volume)
        await self._free(restore, vm)
        await self._told.complete(restore)

    async def _free(self, restore: Obj, vm: Obj) -> None:
        status = vm.get("status") or {}
        if status.get("restoreInProgress") == restore["metadata"]["name"]:
            dropped = ("restoreInProgress", "memoryDumpRequest")
            kept = {key: value for key, value in status.items() if key not in dropped}
            await self.context.set_status(VMS, vm, kept)

    async def _remove(self, restore: Obj, vm: Obj | None) -> None:
        """A deleted restore frees the VM and nothing else: claims and DataVolumes it made stay."""
        if not has_finalizer(restore, FINALIZER):
            return
        text = "VM restore is deleting"
        if vm is not None:
            await self._free(restore, vm)
        restore = await self._told.say(restore, False, text, text)
        await self.context.update(VM_RESTORES, without_finalizer(restore, FINALIZER))
