"""The claims and DataVolumes that a VirtualMachineRestore makes. (KubeVirt: restore.go, reconcileVolumeRestores.)"""

from __future__ import annotations

from simulator.api.errors import ApiError
from simulator.client import Obj
from simulator.client.meta import annotation, controller_of, deleting, owner, with_annotations
from simulator.client.resources import DATA_VOLUMES, PVCS, STORAGE_CLASSES, VOLUME_SNAPSHOTS
from simulator.controllers.cdi.data_sources import with_source
from simulator.controllers.cdi.datavolume import PRE_POPULATED
from simulator.controllers.restores.plan import (
    LAST_RESTORE,
    OWNED_BY_VM,
    RESTORE_NAME,
    VolumePolicy,
    backups_of,
    policy_of,
    replaced_data_volumes,
    restore_id,
    restored_claim,
    restored_data_volume,
    template_volumes,
)
from simulator.controllers.restores.source import RestoreError
from simulator.controllers.restores.told import COMPONENT, Told
from simulator.controllers.runtime.manager import Context
from simulator.controllers.storage.claims import POPULATED_FOR, bound, class_of, waits_for_consumer

POPULATED = ("Succeeded", "WaitForFirstConsumer", "PendingPopulation")


class RestoredDisks:
    """Makes what is missing, from what is there."""

    def __init__(self, context: Context, told: Told) -> None:
        self._context = context
        self._told = told

    async def ensure_claims(self, restore: Obj, vm: Obj | None, content: Obj) -> list[Obj] | None:
        """The restored claims once all are bound, or wait for a consumer; None to wait. A claim that is there is taken
        as restored, unless it is restored in place. Raises RestoreError."""
        claims, waiting = [], False
        for backup in backups_of(content):
            claim = await self._ensure_claim(restore, vm, content, backup)
            if claim is None:
                waiting = True
                continue
            phase = (claim.get("status") or {}).get("phase")
            if phase == "Lost":
                where = f"{claim['metadata']['namespace']}/{claim['metadata']['name']}"
                raise RestoreError(f'PVC {where} in status "Lost"')
            storage_class = class_of(claim, self._context.cache(STORAGE_CLASSES))
            if not bound(claim) and not waits_for_consumer(storage_class):
                waiting = True
            claims.append(claim)
        return None if waiting else claims

    async def _ensure_claim(self, restore: Obj, vm: Obj | None, content: Obj, backup: Obj) -> Obj | None:
        namespace, volume = restore["metadata"]["namespace"], backup["volumeName"]
        entry = next(one for one in restore["status"]["restores"] if one["volumeName"] == volume)
        claim = self._context.cache(PVCS).get(namespace, entry["persistentVolumeClaim"])
        if claim is not None:
            restored = annotation(claim, LAST_RESTORE) == restore_id(restore)
            if restored or policy_of(restore) is not VolumePolicy.IN_PLACE:
                return claim
            await self._clear(restore, entry, claim)
            return None
        snapshot = self._context.cache(VOLUME_SNAPSHOTS).get(namespace, backup["volumeSnapshotName"])
        if snapshot is None:
            raise RestoreError(f"missing volumeSnapshot {backup['volumeSnapshotName']}")
        await self._context.create(PVCS, restored_claim(restore, vm, content, entry, backup, snapshot))
        return None

    async def _clear(self, restore: Obj, entry: Obj, claim: Obj) -> None:
        """Delete a claim to restore in its place. Its DataVolume is noted first, and told not to make a new one."""
        if deleting(claim):
            return
        reference = controller_of(claim)
        if reference is not None and reference["kind"] == "DataVolume":
            name = reference["name"]
            if "dataVolumeName" not in entry:
                noted = [
                    {**one, "dataVolumeName": name} if one is entry else one for one in restore["status"]["restores"]
                ]
                await self._told.say(restore, True, "Creating new PVCs", "Waiting for new PVCs", restores=noted)
                return
            await self._release_data_volume(restore, name)
        await self._context.delete(PVCS, claim)

    async def _release_data_volume(self, restore: Obj, name: str) -> None:
        """Tell CDI not to fill the claim again when it is deleted. Fails on a DataVolume without annotations, as
        KubeVirt does."""
        meta = restore["metadata"]
        marks = {RESTORE_NAME: meta["name"], PRE_POPULATED: name}
        patch = [
            {"op": "add", "path": f"/metadata/annotations/{key.replace('/', '~1')}", "value": value}
            for key, value in marks.items()
        ]
        await self._context.client.patch(DATA_VOLUMES, name, patch, meta["namespace"], type="json")

    async def hand_over(self, restore: Obj, content: Obj, claims: list[Obj]) -> Obj:
        """Free claims of templated volumes from their owner and promise them to their DataVolume."""
        templated = template_volumes(content["spec"]["source"]["virtualMachine"]["spec"])
        names = {claim["metadata"]["name"]: claim for claim in claims}
        restores = []
        for one in restore["status"].get("restores") or []:
            claim = names.get(one["persistentVolumeClaim"])
            if one["volumeName"] in templated and claim is not None:
                name = claim["metadata"]["name"]
                if annotation(claim, POPULATED_FOR) != name:
                    freed = with_annotations(claim, {POPULATED_FOR: name})
                    freed["metadata"].pop("ownerReferences", None)
                    await self._context.update(PVCS, freed)
                one = {**one, "dataVolumeName": name}
            restores.append(one)
        if restores == (restore["status"].get("restores") or []):
            # Saying it again would replace an error of a later step, and wake this controller for it.
            return restore
        return await self._told.updating(restore, restores=restores)

    async def ensure_data_volumes(self, restore: Obj, vm: Obj | None, spec: Obj) -> tuple[Obj, bool]:
        """Create the DataVolumes of the restored spec's templates: the restore as it then is, and whether all of them
        are populated. Raises RestoreError."""
        populated = True
        namespace = restore["metadata"]["namespace"]
        for template in spec.get("dataVolumeTemplates") or []:
            volume = self._context.cache(DATA_VOLUMES).get(namespace, template["metadata"]["name"])
            if volume is None:
                volume = await self._create_data_volume(restore, vm, template)
            populated = populated and (volume.get("status") or {}).get("phase") in POPULATED
        replaced = replaced_data_volumes(vm, spec) if vm is not None else []
        if replaced != (restore["status"].get("deletedDataVolumes") or []):
            restore = await self._told.updating(restore, deletedDataVolumes=replaced)
        return restore, populated

    async def _create_data_volume(self, restore: Obj, vm: Obj | None, template: Obj) -> Obj:
        namespace, name = restore["metadata"]["namespace"], template["metadata"]["name"]
        if self._context.cache(PVCS).get(namespace, name) is None:
            raise RestoreError(f"when creating restore dv pvc {namespace}/{name} does not exist and should")
        try:
            template = await with_source(self._context.client, template, namespace)
        except ApiError as error:
            raise RestoreError(f"Unable to create restore DataVolume manifest: {error.message}") from error
        try:
            return await self._context.create(DATA_VOLUMES, restored_data_volume(restore, template))
        except ApiError as error:
            if error.reason == "AlreadyExists":
                raise
            if vm is not None:
                text = f"Error creating restore DataVolume {name}: {error.message}"
                reason = "RestoreDataVolumeCreateError"
                self._context.events.record(vm, "Warning", reason, text, component=COMPONENT)
            raise RestoreError(f"Failed to create restore DataVolume: {error.message}") from error

    async def own(self, restore: Obj, vm: Obj) -> None:
        """Give a VM that was just made the claims that wait for it."""
        for volume in vm["spec"]["template"]["spec"].get("volumes") or []:
            name = (volume.get("persistentVolumeClaim") or {}).get("claimName", "")
            claim = self._context.cache(PVCS).get(vm["metadata"]["namespace"], name)
            if claim is None or annotation(claim, OWNED_BY_VM) != restore["metadata"]["name"]:
                continue
            kept = {key: value for key, value in claim["metadata"]["annotations"].items() if key != OWNED_BY_VM}
            meta = {**claim["metadata"], "annotations": kept, "ownerReferences": [owner(vm)]}
            await self._context.update(PVCS, {**claim, "metadata": meta})
