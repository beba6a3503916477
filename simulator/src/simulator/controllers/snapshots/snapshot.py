"""virt-controller's VirtualMachineSnapshot controller: lock the VM, describe what to capture, report, unlock."""

from __future__ import annotations

import asyncio

from simulator.client import Obj
from simulator.client.meta import deleting, has_finalizer, with_finalizer, without_finalizer
from simulator.client.resources import (
    CONTROLLER_REVISIONS,
    DATA_VOLUMES,
    PODS,
    PVCS,
    STORAGE_CLASSES,
    STORAGE_PROFILES,
    VM_SNAPSHOT_CONTENTS,
    VM_SNAPSHOTS,
    VMIS,
    VMS,
    VOLUME_SNAPSHOT_CLASSES,
)
from simulator.controllers.runtime.manager import Context, Controller
from simulator.controllers.runtime.workqueue import Key
from simulator.controllers.snapshots.source import SnapshotSource, SourceVolume
from simulator.controllers.snapshots.status import (
    NOT_LOCKED,
    content_goes_too,
    deadline,
    exceeded,
    phase_of,
    status_of,
    with_volumes,
)
from simulator.controllers.storage.snapshot_classes import Ambiguous
from simulator.controllers.virt.revisions import as_it_runs

FINALIZER = "snapshot.kubevirt.io/vmsnapshot-protection"
CONTENT_FINALIZER = "snapshot.kubevirt.io/vmsnapshotcontent-protection"
SOURCE_FINALIZER = "snapshot.kubevirt.io/snapshot-source-protection"
LOCKED = (True, "Source locked and operation in progress")
COMPONENT = "snapshot-controller"
MOMENT = 0.01
"""Seconds after a deadline at which it has surely passed."""


class VirtualMachineSnapshots(Controller):
    name = "snapshot"
    workers = 6

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._due: dict[str, float] = {}

    def watch(self) -> None:
        self.follow(VM_SNAPSHOTS)
        for gvr in (VMS, VMIS):
            self.context.cache(gvr).subscribe(self._source_changed)
        self.context.cache(VM_SNAPSHOT_CONTENTS).subscribe(self._content_changed)
        for gvr in (PVCS, PODS, DATA_VOLUMES, STORAGE_CLASSES, STORAGE_PROFILES, VOLUME_SNAPSHOT_CLASSES):
            self.context.cache(gvr)
        self.context.cache(CONTROLLER_REVISIONS)

    def _source_changed(self, vm: Obj) -> None:
        namespace, name = vm["metadata"]["namespace"], vm["metadata"]["name"]
        for snapshot in self.context.cache(VM_SNAPSHOTS).inside(namespace):
            if snapshot["spec"]["source"]["name"] == name:
                self.queue.add((namespace, snapshot["metadata"]["name"]))

    def _content_changed(self, content: Obj) -> None:
        self.queue.add((content["metadata"]["namespace"], content["spec"]["virtualMachineSnapshotName"]))

    async def reconcile(self, key: Key) -> float | None:
        snapshot = self.context.cache(VM_SNAPSHOTS).get(*key)
        if snapshot is None:
            return None
        vm = self.context.cache(VMS).get(key[0], snapshot["spec"]["source"]["name"])
        if deleting(snapshot):
            await self._remove(snapshot, vm)
            return None
        if not has_finalizer(snapshot, FINALIZER):
            snapshot = await self.context.update(VM_SNAPSHOTS, with_finalizer(snapshot, FINALIZER))
        if not phase_of(snapshot):
            snapshot = await self._save(snapshot, self._status(snapshot, vm, NOT_LOCKED))
        waiting = phase_of(snapshot) == "InProgress" and self._content(snapshot) is None
        if waiting and vm is not None and not exceeded(snapshot):
            return await self._capture(snapshot, vm)
        return await self._follow(snapshot, vm)

    async def _capture(self, snapshot: Obj, vm: Obj) -> float | None:
        """Lock the source and describe its volumes; then wait for the content."""
        source = SnapshotSource(self.context, vm)
        name = snapshot["metadata"]["name"]
        obstacle = source.obstacle(name)
        if obstacle is not None:
            await self._save(snapshot, self._status(snapshot, vm, (False, f"{NOT_LOCKED[1]}{obstacle}")))
            left = deadline(snapshot)
            return self.delays.retry if left is None else min(self.delays.retry, max(left, 0.0) + MOMENT)
        vm = await self._lock(name, vm)
        snapshot = await self._save(snapshot, self._status(snapshot, vm, LOCKED))
        try:
            backups = source.backups()
        except Ambiguous:
            return self.delays.retry
        captured = as_it_runs(self.context, vm, source.vmi)
        content = await self.context.create(VM_SNAPSHOT_CONTENTS, content_for(snapshot, captured, backups))
        text = f"Successfully created VirtualMachineSnapshotContent {content['metadata']['name']}"
        self.context.events.record(
            snapshot, "Normal", "SuccessfulVirtualMachineSnapshotContentCreate", text, component=COMPONENT
        )
        return None

    async def _follow(self, snapshot: Obj, vm: Obj | None) -> float | None:
        """Report what the content says; let go of the VM when it is over."""
        content = self._content(snapshot)
        if exceeded(snapshot):
            await self._drop(snapshot, content)
        status = self._status(snapshot, vm, LOCKED if locked(vm, snapshot) else NOT_LOCKED)
        snapshot = await self._save(snapshot, status)
        if status["phase"] == "Succeeded":
            return await self._unlock_later(snapshot, vm)
        if status["phase"] == "Failed":
            await self._unlock(snapshot, vm)
            return None
        left = deadline(snapshot)
        return None if left is None else max(left, 0.0) + MOMENT

    def _status(self, snapshot: Obj, vm: Obj | None, progress: tuple[bool, str]) -> Obj:
        content = self._content(snapshot)
        indications = SnapshotSource(self.context, vm).indications() if vm is not None else []
        status = status_of(snapshot, vm, content, progress=progress, indications=indications)
        return with_volumes(status, content) if status["phase"] == "Succeeded" and content is not None else status

    async def _drop(self, snapshot: Obj, content: Obj | None) -> bool:
        """Delete the content of a snapshot that ends, unless it is kept; whether there is one that still has to go."""
        if content is None or not content_goes_too(snapshot, content):
            return False
        if not deleting(content):
            await self.context.delete(VM_SNAPSHOT_CONTENTS, content)
        return True

    def _content(self, snapshot: Obj) -> Obj | None:
        name = f"vmsnapshot-content-{snapshot['metadata']['uid']}"
        return self.context.cache(VM_SNAPSHOT_CONTENTS).get(snapshot["metadata"]["namespace"], name)

    async def _save(self, snapshot: Obj, status: Obj) -> Obj:
        return await self.context.set_status(VM_SNAPSHOTS, snapshot, status)

    async def _lock(self, name: str, vm: Obj) -> Obj:
        status = {**(vm.get("status") or {}), "snapshotInProgress": name}
        vm = await self.context.set_status(VMS, vm, status)
        if not has_finalizer(vm, SOURCE_FINALIZER):
            vm = await self.context.update(VMS, with_finalizer(vm, SOURCE_FINALIZER))
        return vm

    async def _unlock_later(self, snapshot: Obj, vm: Obj | None) -> float | None:
        """The VM is freed in a later pass than the one that reports: with fast storage the snapshot is ready by then,
        and a VM that is started in between is refused."""
        if not locked(vm, snapshot):
            return None
        uid, clock = snapshot["metadata"]["uid"], asyncio.get_running_loop().time()
        wait = self._due.setdefault(uid, clock + self.delays.snapshot_unlock) - clock
        if wait > 0:
            return wait
        await self._unlock(snapshot, vm)
        self._due.pop(uid, None)
        return None

    async def _unlock(self, snapshot: Obj, vm: Obj | None) -> None:
        if vm is None or not locked(vm, snapshot):
            return
        status = {key: value for key, value in vm["status"].items() if key != "snapshotInProgress"}
        if has_finalizer(vm, SOURCE_FINALIZER):
            vm = await self.context.update(VMS, without_finalizer(vm, SOURCE_FINALIZER))
            if deleting(vm) and not vm["metadata"].get("finalizers"):
                return
        await self.context.set_status(VMS, vm, status)

    async def _remove(self, snapshot: Obj, vm: Obj | None) -> None:
        """A snapshot that is deleted before it is over frees its VM once its content is gone."""
        if not has_finalizer(snapshot, FINALIZER):
            return
        left_over = await self._drop(snapshot, self._content(snapshot))
        if not left_over or phase_of(snapshot) in ("Succeeded", "Failed"):
            await self._unlock(snapshot, vm)
        elif locked(vm, snapshot):
            await self._save(snapshot, self._status(snapshot, vm, LOCKED))
            return
        snapshot = await self._save(snapshot, self._status(snapshot, vm, NOT_LOCKED))
        await self.context.update(VM_SNAPSHOTS, without_finalizer(snapshot, FINALIZER))


def locked(vm: Obj | None, snapshot: Obj) -> bool:
    """Whether the VM is held for this snapshot."""
    holder = ((vm or {}).get("status") or {}).get("snapshotInProgress")
    return bool(holder == snapshot["metadata"]["name"])


def content_for(snapshot: Obj, vm: Obj, backups: list[tuple[SourceVolume, str]]) -> Obj:
    """The content object that says what to capture."""
    uid = snapshot["metadata"]["uid"]
    manifest = {key: value for key, value in vm["metadata"].items() if key != "managedFields"}
    return {
        "apiVersion": "snapshot.kubevirt.io/v1beta1",
        "kind": "VirtualMachineSnapshotContent",
        "metadata": {
            "name": f"vmsnapshot-content-{uid}",
            "namespace": snapshot["metadata"]["namespace"],
            "finalizers": [CONTENT_FINALIZER],
        },
        "spec": {
            "virtualMachineSnapshotName": snapshot["metadata"]["name"],
            "source": {"virtualMachine": {"metadata": manifest, "spec": vm["spec"], "status": {}}},
            "volumeBackups": [
                {
                    "volumeName": volume.name,
                    "volumeSnapshotName": f"vmsnapshot-{uid}-volume-{volume.name}",
                    "persistentVolumeClaim": {
                        "metadata": {
                            key: value for key, value in volume.claim["metadata"].items() if key != "managedFields"
                        },
                        "spec": volume.claim["spec"],
                    },
                }
                for volume, _ in backups
                if volume.claim is not None
            ],
        },
    }
