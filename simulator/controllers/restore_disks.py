"""The claims and DataVolumes that a VirtualMachineRestore makes. (KubeVirt: restore.go, reconcileVolumeRestores.)"""

from __future__ import annotations

from simulator.client import Obj
from simulator.controllers.claims import POPULATED_FOR, bound, class_of, waits_for_consumer
from simulator.controllers.meta import annotation, deleting, with_annotations
from simulator.controllers.resources import DATA_VOLUMES, PVCS, STORAGE_CLASSES, VOLUME_SNAPSHOTS
from simulator.controllers.restore_plan import (
    LAST_RESTORE,
    VolumePolicy,
    policy_of,
    replaced_data_volumes,
    restore_id,
    restored_claim,
    restored_data_volume,
    restored_name,
    template_volumes,
)
from simulator.controllers.restore_source import RestoreError
from simulator.controllers.restore_told import Told
from simulator.controllers.runtime import Context

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
        for backup in content["spec"].get("volumeBackups") or []:
            claim = await self._ensure_claim(restore, vm, content, backup)
            if claim is None:
                waiting = True
                continue
            phase = (claim.get("status") or {}).get("phase")
            if phase == "Lost":
                raise RestoreError(f"PVC {claim['metadata']['namespace']}/{claim['metadata']['name']} in phase Lost")
            storage_class = class_of(claim, self._context.cache(STORAGE_CLASSES))
            if not bound(claim) and not waits_for_consumer(storage_class):
                waiting = True
            claims.append(claim)
        return None if waiting else claims

    async def _ensure_claim(self, restore: Obj, vm: Obj | None, content: Obj, backup: Obj) -> Obj | None:
        namespace, name = restore["metadata"]["namespace"], restored_name(restore, backup)
        claim = self._context.cache(PVCS).get(namespace, name)
        if claim is not None and policy_of(restore) is VolumePolicy.IN_PLACE:
            if annotation(claim, LAST_RESTORE) == restore_id(restore):
                return claim
            if not deleting(claim):
                await self._release_data_volume(namespace, name)
                await self._context.delete(PVCS, claim)
            return None
        if claim is not None:
            return claim
        snapshot = self._context.cache(VOLUME_SNAPSHOTS).get(namespace, backup["volumeSnapshotName"])
        if snapshot is None:
            raise RestoreError(f"VolumeSnapshot {backup['volumeSnapshotName']} does not exist")
        await self._context.create(PVCS, restored_claim(restore, vm, content, backup, snapshot))
        return None

    async def _release_data_volume(self, namespace: str, name: str) -> None:
        """Tell CDI not to fill the claim again when it is deleted. Fails on a DataVolume without annotations, as
        KubeVirt does."""
        if self._context.cache(DATA_VOLUMES).get(namespace, name) is not None:
            path = "/metadata/annotations/cdi.kubevirt.io~1storage.prePopulated"
            patch = [{"op": "add", "path": path, "value": name}]
            await self._context.client.patch(DATA_VOLUMES, name, patch, namespace, type="json")

    async def hand_over(self, restore: Obj, content: Obj, claims: list[Obj]) -> Obj:
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
                    await self._context.update(PVCS, freed)
                one = {**one, "dataVolumeName": name}
            restores.append(one)
        return await self._told.say(
            restore, True, "Updating target spec", "Waiting for target update", restores=restores
        )

    async def ensure_data_volumes(self, restore: Obj, vm: Obj | None, content: Obj) -> bool:
        """Create the restored DataVolumes; whether all are populated."""
        populated = True
        namespace = restore["metadata"]["namespace"]
        for one in restore["status"]["restores"]:
            name = one.get("dataVolumeName")
            if name is None:
                continue
            volume = self._context.cache(DATA_VOLUMES).get(namespace, name)
            if volume is None:
                volume = await self._context.create(
                    DATA_VOLUMES, restored_data_volume(restore, content, one["volumeName"], name)
                )
            populated = populated and (volume.get("status") or {}).get("phase") in POPULATED
        replaced = replaced_data_volumes(vm, restore["status"]["restores"]) if vm is not None else []
        known = restore["status"].get("deletedDataVolumes") or []
        if replaced and set(replaced) - set(known):
            reason = ("Updating target spec", "Waiting for target update")
            await self._told.say(restore, True, *reason, deletedDataVolumes=sorted({*known, *replaced}))
            return populated
        return populated
