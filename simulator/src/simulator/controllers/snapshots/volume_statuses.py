"""Which volumes of a VM could be snapshotted: `status.volumeSnapshotStatuses`. (KubeVirt: pkg/storage/snapshot.)"""

from __future__ import annotations

from simulator.client import Obj
from simulator.client.meta import deleting
from simulator.client.resources import (
    DATA_VOLUMES,
    PVCS,
    STORAGE_CLASSES,
    STORAGE_PROFILES,
    VMIS,
    VMS,
    VOLUME_SNAPSHOT_CLASSES,
)
from simulator.controllers.runtime.manager import Controller
from simulator.controllers.runtime.workqueue import Key
from simulator.controllers.snapshots.source import SnapshotSource, SourceVolume
from simulator.controllers.storage.snapshot_classes import Ambiguous


class VolumeStatuses(Controller):
    name = "volume-statuses"

    def watch(self) -> None:
        self.follow(VMS)
        for gvr in (PVCS, DATA_VOLUMES):
            self.context.cache(gvr).subscribe(self._volume_changed)
        for gvr in (VMIS, STORAGE_CLASSES, STORAGE_PROFILES, VOLUME_SNAPSHOT_CLASSES):
            self.context.cache(gvr)

    def _volume_changed(self, claim: Obj) -> None:
        namespace, name = claim["metadata"]["namespace"], claim["metadata"]["name"]
        for vm in self.context.cache(VMS).inside(namespace):
            source = SnapshotSource(self.context, vm)
            if any(volume.claim_name == name for volume in source.volumes()):
                self.queue.add((namespace, vm["metadata"]["name"]))

    async def reconcile(self, key: Key) -> float | None:
        vm = self.context.cache(VMS).get(*key)
        if vm is None or deleting(vm):
            return None
        source = SnapshotSource(self.context, vm)
        claims = {volume.name: volume for volume in source.volumes()}
        statuses = [_status(source, name, claims.get(name)) for name in source.volume_names()]
        status = vm.get("status") or {}
        if statuses and status.get("volumeSnapshotStatuses") != statuses:
            changed = {**status, "volumeSnapshotStatuses": statuses}
            await self.context.set_status(VMS, vm, changed)
        return None


def _status(source: SnapshotSource, name: str, volume: SourceVolume | None) -> Obj:
    if volume is None:
        return _disabled(name, f"Snapshot is not supported for this volumeSource type [{name}]")
    claim = volume.claim
    if claim is None and volume.data_volume is not None:
        spec = volume.data_volume["spec"]
        claim = {"spec": spec.get("pvc") or spec.get("storage") or {}}
    if claim is None:
        return _disabled(name, "PVC not found")
    try:
        found = source.class_for(claim)
    except Ambiguous as error:
        return _disabled(name, str(error))
    if found is None:
        storage_class = claim["spec"].get("storageClassName", "")
        return _disabled(
            name,
            "No VolumeSnapshotClass: Volume snapshots are not configured for this StorageClass "
            f"[{storage_class}] [{name}]",
        )
    return {"name": name, "enabled": True}


def _disabled(name: str, reason: str) -> Obj:
    return {"name": name, "enabled": False, "reason": reason}
