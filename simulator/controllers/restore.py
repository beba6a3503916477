"""virt-controller's VirtualMachineRestore controller: one step a pass, from what is there."""

from __future__ import annotations

from simulator.api.errors import ApiError
from simulator.client import Obj
from simulator.controllers.claims import POPULATED_FOR, bound, class_of, waits_for_consumer
from simulator.controllers.meta import (
    annotation,
    controller_of,
    deleting,
    has_finalizer,
    now,
    owner,
    with_annotations,
    without_finalizer,
)
from simulator.controllers.resources import (
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
from simulator.controllers.restore_created import created_vm
from simulator.controllers.restore_plan import (
    LAST_RESTORE,
    VolumePolicy,
    already_restored,
    policy_of,
    replaced_data_volumes,
    restore_id,
    restored_claim,
    restored_data_volume,
    restored_name,
    restored_spec,
    restores_of,
    template_volumes,
)
from simulator.controllers.restore_source import RestoreError, usable_content
from simulator.controllers.restore_target import Decision, decide
from simulator.controllers.runtime import Controller
from simulator.controllers.snapshot_status import conditioned
from simulator.controllers.workqueue import Key

FINALIZER = "snapshot.kubevirt.io/vmrestore-protection"
COMPONENT = "restore-controller"
INITIALIZING = "Initializing VirtualMachineRestore"
POPULATED = ("Succeeded", "WaitForFirstConsumer", "PendingPopulation")


class VirtualMachineRestores(Controller):
    name = "restore"
    workers = 3

    def watch(self) -> None:
        self.follow(VM_RESTORES)
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
            await self._say(restore, True, INITIALIZING, INITIALIZING, complete=False)
            return None
        if status.get("complete") or any(one["type"] == "Failure" for one in status.get("conditions") or []):
            return None
        try:
            await self._advance(await self._hold(restore, vm), vm)
        except RestoreError as error:
            await self._error(restore, str(error))
            return self.delays.retry
        except ApiError as error:
            if error.code == 409:
                raise
            await self._error(restore, str(error))
            return self.delays.retry
        return None

    async def _hold(self, restore: Obj, vm: Obj | None) -> Obj:
        """Finalizer, and the target as owner."""
        meta = restore["metadata"]
        changed = dict(meta)
        if not has_finalizer(restore, FINALIZER):
            changed["finalizers"] = [*(meta.get("finalizers") or []), FINALIZER]
        if vm is not None and controller_of(restore) is None:
            changed["ownerReferences"] = [*(meta.get("ownerReferences") or []), owner(vm)]
        if changed == meta:
            return restore
        return await self.context.update(VM_RESTORES, {**restore, "metadata": changed})

    async def _advance(self, restore: Obj, vm: Obj | None) -> None:
        if not await self._target_ready(restore, vm):
            return
        content = usable_content(self.context, restore, vm)
        if vm is not None:
            vm = await self._claim_target(restore, vm)
        status = restore.get("status") or {}
        if "restores" not in status:
            restore = await self._say(
                restore, True, "Creating new PVCs", "Waiting for new PVCs", restores=restores_of(restore, content)
            )
        if vm is not None and already_restored(vm, restore):
            await self._finish(restore, vm)
            return
        claims = await self._ensure_claims(restore, vm, content)
        if claims is None:
            await self._say(restore, True, "Creating new PVCs", "Waiting for new PVCs")
            return
        restore = await self._hand_over(restore, content, claims)
        if not await self._ensure_data_volumes(restore, vm, content):
            return
        await self._apply(restore, vm, content)

    async def _target_ready(self, restore: Obj, vm: Obj | None) -> bool:
        """Whether the target is powered off; if not, what the policy asks for is done."""
        target = restore["spec"]["target"]["name"]
        vmi = self.context.cache(VMIS).get(restore["metadata"]["namespace"], target)
        decision = decide(restore, vmi is not None, self.delays.restore_grace)
        if decision is None:
            return True
        if decision.kind is not Decision.Kind.FAIL:
            text = "Restore target VMI still exists, please stop the restore target to proceed with restore"
            self.context.events.record(restore, "Warning", "RestoreTargetNotReady", text, component=COMPONENT)
        if decision.kind is Decision.Kind.STOP and vm is not None and vm["spec"].get("runStrategy") != "Halted":
            await self.context.update(VMS, {**vm, "spec": {**vm["spec"], "runStrategy": "Halted"}})
        if decision.kind is Decision.Kind.FAIL:
            await self._fail(restore, decision.reason)
        else:
            await self._say(restore, False, decision.reason, decision.reason)
        return False

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

    async def _ensure_claims(self, restore: Obj, vm: Obj | None, content: Obj) -> list[Obj] | None:
        """The restored claims once all are bound, or wait for a consumer; None to wait. A claim that is there is taken
        as restored, unless it is restored in place. Raises RestoreError."""
        claims, waiting = [], False
        for backup in content["spec"].get("volumeBackups") or []:
            claim = await self._ensure_claim(restore, vm, content, backup)
            if claim is None:
                waiting = True
                continue
            phase = (claim.get("status") or {}).get("phase")
            if phase == "Lost":
                raise RestoreError(f"PVC {claim['metadata']['namespace']}/{claim['metadata']['name']} in phase Lost")
            storage_class = class_of(claim, self.context.cache(STORAGE_CLASSES))
            if not bound(claim) and not waits_for_consumer(storage_class):
                waiting = True
            claims.append(claim)
        return None if waiting else claims

    async def _ensure_claim(self, restore: Obj, vm: Obj | None, content: Obj, backup: Obj) -> Obj | None:
        namespace, name = restore["metadata"]["namespace"], restored_name(restore, backup)
        claim = self.context.cache(PVCS).get(namespace, name)
        if claim is not None and policy_of(restore) is VolumePolicy.IN_PLACE:
            if annotation(claim, LAST_RESTORE) == restore_id(restore):
                return claim
            if not deleting(claim):
                await self._release_data_volume(namespace, name)
                await self.context.delete(PVCS, claim)
            return None
        if claim is not None:
            return claim
        snapshot = self.context.cache(VOLUME_SNAPSHOTS).get(namespace, backup["volumeSnapshotName"])
        if snapshot is None:
            raise RestoreError(f"VolumeSnapshot {backup['volumeSnapshotName']} does not exist")
        await self.context.create(PVCS, restored_claim(restore, vm, content, backup, snapshot))
        return None

    async def _release_data_volume(self, namespace: str, name: str) -> None:
        """Tell CDI not to fill the claim again when it is deleted. Fails on a DataVolume without annotations, as
        KubeVirt does."""
        if self.context.cache(DATA_VOLUMES).get(namespace, name) is not None:
            path = "/metadata/annotations/cdi.kubevirt.io~1storage.prePopulated"
            patch = [{"op": "add", "path": path, "value": name}]
            await self.client.patch(DATA_VOLUMES, name, patch, namespace, type="json")

    async def _hand_over(self, restore: Obj, content: Obj, claims: list[Obj]) -> Obj:
        """Free claims of templated volumes from their owner and promise them to their DataVolume."""
        templated = template_volumes(content["spec"]["source"]["virtualMachine"]["spec"])
        names = {claim["metadata"]["name"]: claim for claim in claims}
        restores = []
        for one in restore["status"]["restores"]:
            claim = names.get(one["persistentVolumeClaim"])
            if one["volumeName"] in templated and claim is not None:
                name = claim["metadata"]["name"]
                if annotation(claim, POPULATED_FOR) != name:
                    freed = with_annotations(claim, {POPULATED_FOR: name})
                    freed["metadata"].pop("ownerReferences", None)
                    await self.context.update(PVCS, freed)
                one = {**one, "dataVolumeName": name}
            restores.append(one)
        return await self._say(restore, True, "Updating target spec", "Waiting for target update", restores=restores)

    async def _ensure_data_volumes(self, restore: Obj, vm: Obj | None, content: Obj) -> bool:
        """Create the restored DataVolumes; whether all are populated."""
        populated = True
        namespace = restore["metadata"]["namespace"]
        for one in restore["status"]["restores"]:
            name = one.get("dataVolumeName")
            if name is None:
                continue
            volume = self.context.cache(DATA_VOLUMES).get(namespace, name)
            if volume is None:
                volume = await self.context.create(
                    DATA_VOLUMES, restored_data_volume(restore, content, one["volumeName"], name)
                )
            populated = populated and (volume.get("status") or {}).get("phase") in POPULATED
        replaced = replaced_data_volumes(vm, restore["status"]["restores"]) if vm is not None else []
        known = restore["status"].get("deletedDataVolumes") or []
        if replaced and set(replaced) - set(known):
            reason = ("Updating target spec", "Waiting for target update")
            await self._say(restore, True, *reason, deletedDataVolumes=sorted({*known, *replaced}))
            return populated
        return populated

    async def _apply(self, restore: Obj, vm: Obj | None, content: Obj) -> None:
        """One update of the VM: spec and the mark that it is applied. A VM that is not there is created, Halted."""
        spec = restored_spec(vm, content, restore)
        if vm is None:
            await self.context.create(VMS, created_vm(restore, content, spec))
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
        text = f"Successfully completed VirtualMachineRestore {restore['metadata']['name']}"
        self.context.events.record(restore, "Normal", "VirtualMachineRestoreComplete", text, component=COMPONENT)
        status = restore["status"]
        conditions = conditioned(status.get("conditions"), "Progressing", False, "Operation complete")
        conditions = conditioned(conditions, "Ready", True, "Operation complete")
        done = {**status, "complete": True, "restoreTime": now(), "conditions": conditions}
        await self.context.set_status(VM_RESTORES, restore, done)

    async def _free(self, restore: Obj, vm: Obj) -> None:
        status = vm.get("status") or {}
        if status.get("restoreInProgress") == restore["metadata"]["name"]:
            dropped = ("restoreInProgress", "memoryDumpRequest")
            kept = {key: value for key, value in status.items() if key not in dropped}
            await self.context.set_status(VMS, vm, kept)

    async def _say(self, restore: Obj, progressing: bool, progress: str, ready: str, **fields: object) -> Obj:
        status = restore.get("status") or {}
        conditions = conditioned(status.get("conditions"), "Progressing", progressing, progress)
        conditions = conditioned(conditions, "Ready", False, ready)
        return await self.context.set_status(VM_RESTORES, restore, {**status, **fields, "conditions": conditions})

    async def _error(self, restore: Obj, text: str) -> None:
        """Show what is wrong for now."""
        current = self.context.cache(VM_RESTORES).get(restore["metadata"]["namespace"], restore["metadata"]["name"])
        if current is None:
            return
        self.context.events.record(current, "Warning", "VirtualMachineRestoreError", text, component=COMPONENT)
        await self._say(current, False, text, text)

    async def _fail(self, restore: Obj, text: str) -> None:
        """The end: a Failure condition, and the VM stays marked if it was."""
        status = restore.get("status") or {}
        conditions = status.get("conditions")
        for type_, holds in (("Progressing", False), ("Ready", False), ("Failure", True)):
            conditions = conditioned(conditions, type_, holds, text)
        message = f"VirtualMachineRestore failed {text}"
        self.context.events.record(restore, "Warning", "Operation failed", message, component=COMPONENT)
        await self.context.set_status(VM_RESTORES, restore, {**status, "conditions": conditions})

    async def _remove(self, restore: Obj, vm: Obj | None) -> None:
        """A deleted restore frees the VM and nothing else: claims and DataVolumes it made stay."""
        if not has_finalizer(restore, FINALIZER):
            return
        text = "VM restore is deleting"
        if vm is not None:
            await self._free(restore, vm)
        if not (restore.get("status") or {}).get("complete"):
            restore = await self._say(restore, False, text, text)
        await self.context.update(VM_RESTORES, without_finalizer(restore, FINALIZER))
