"""virt-controller's VirtualMachineSnapshotContent controller: one VolumeSnapshot for each volume backup."""

from __future__ import annotations

from simulator.client import Obj
from simulator.controllers.claims import class_of
from simulator.controllers.meta import controller_of, deleting, has_finalizer, now, owner, without_finalizer
from simulator.controllers.quiescing import freezable, freeze_fault, with_freeze
from simulator.controllers.resources import (
    STORAGE_CLASSES,
    STORAGE_PROFILES,
    VM_SNAPSHOT_CONTENTS,
    VM_SNAPSHOTS,
    VMIS,
    VOLUME_SNAPSHOT_CLASSES,
    VOLUME_SNAPSHOTS,
)
from simulator.controllers.runtime import Controller
from simulator.controllers.snapshot import COMPONENT, CONTENT_FINALIZER
from simulator.controllers.snapshot_classes import Ambiguous, snapshot_class
from simulator.controllers.snapshot_status import phase_of
from simulator.controllers.workqueue import Key


class SnapshotContents(Controller):
    name = "snapshot-content"
    workers = 6

    def watch(self) -> None:
        self.follow(VM_SNAPSHOT_CONTENTS)
        self.context.cache(VOLUME_SNAPSHOTS).subscribe(self._snapshot_changed)
        for gvr in (VMIS, VM_SNAPSHOTS, STORAGE_CLASSES, STORAGE_PROFILES, VOLUME_SNAPSHOT_CLASSES):
            self.context.cache(gvr)

    def _snapshot_changed(self, snapshot: Obj) -> None:
        reference = controller_of(snapshot)
        if reference is not None and reference["kind"] == "VirtualMachineSnapshotContent":
            self.queue.add((snapshot["metadata"]["namespace"], reference["name"]))

    async def reconcile(self, key: Key) -> float | None:
        content = self.context.cache(VM_SNAPSHOT_CONTENTS).get(*key)
        if content is None:
            return None
        if deleting(content):
            if has_finalizer(content, CONTENT_FINALIZER):
                await self.context.update(VM_SNAPSHOT_CONTENTS, without_finalizer(content, CONTENT_FINALIZER))
            return None
        owner_name = content["spec"]["virtualMachineSnapshotName"]
        parent = self.context.cache(VM_SNAPSHOTS).get(key[0], owner_name)
        skip = parent is None or deleting(parent) or phase_of(parent) == "Failed"
        taken = bool((content.get("status") or {}).get("creationTime"))
        taking = not taken and not skip
        fault = await self._freeze(content) if taking else None
        found, missing, again = await self._ensure(content, create=taking and fault is None)
        await self._report(content, found, missing, skipped=skip, fault=fault)
        return self.delays.retry if fault else again

    def _instance(self, content: Obj) -> Obj | None:
        """The running instance of the VM that is captured."""
        source = content["spec"]["source"]["virtualMachine"]["metadata"]
        return self.context.cache(VMIS).get(content["metadata"]["namespace"], source["name"])

    async def _freeze(self, content: Obj) -> str | None:
        """Freeze the guest's filesystems if its agent can be asked; why that failed."""
        vmi = self._instance(content)
        if vmi is None or not freezable(vmi) or vmi["status"].get("fsFreezeStatus"):
            return None
        fault = freeze_fault(vmi)
        if fault is None:
            await self.context.update(VMIS, with_freeze(vmi, frozen=True))
        return fault

    async def _thaw(self, content: Obj) -> None:
        vmi = self._instance(content)
        if vmi is not None and vmi.get("status", {}).get("fsFreezeStatus"):
            await self.context.update(VMIS, with_freeze(vmi, frozen=False))

    async def _ensure(self, content: Obj, *, create: bool) -> tuple[list[Obj], list[str], float | None]:
        """The VolumeSnapshots that exist, names of those that do not, seconds to another try."""
        found, missing, again = [], [], None
        for backup in content["spec"].get("volumeBackups") or []:
            name = backup["volumeSnapshotName"]
            snapshot = self.context.cache(VOLUME_SNAPSHOTS).get(content["metadata"]["namespace"], name)
            if snapshot is None and create:
                try:
                    class_name = self._class(backup)
                except Ambiguous:
                    again = self.delays.retry
                    continue
                snapshot = await self.context.create(VOLUME_SNAPSHOTS, volume_snapshot(content, backup, class_name))
                text = f"Successfully created VolumeSnapshot {name}"
                self.context.events.record(
                    content, "Normal", "SuccessfulVolumeSnapshotCreate", text, component=COMPONENT
                )
            if snapshot is None:
                missing.append(name)
            else:
                found.append(snapshot)
        return found, missing, again

    def _class(self, backup: Obj) -> str | None:
        storage_class = class_of(backup["persistentVolumeClaim"], self.context.cache(STORAGE_CLASSES))
        name = storage_class["metadata"]["name"] if storage_class else ""
        profile = self.context.cache(STORAGE_PROFILES).get("", name)
        return snapshot_class(storage_class, profile, list(self.context.cache(VOLUME_SNAPSHOT_CLASSES)))

    async def _report(
        self, content: Obj, found: list[Obj], missing: list[str], *, skipped: bool, fault: str | None
    ) -> None:
        old = content.get("status") or {}
        if missing and old.get("creationTime") and not skipped:
            for name in missing:
                self.context.events.record(
                    content,
                    "Warning",
                    "VolumeSnapshotMissing",
                    f"VolumeSnapshot {name} no longer exists",
                    component=COMPONENT,
                )
        status = content_status(old, found, missing, skipped=skipped, fault=fault)
        if not old.get("creationTime") and (skipped or "creationTime" in status):
            # Before it is written down: a thaw that fails is tried again with it.
            await self._thaw(content)
        await self.context.set_status(VM_SNAPSHOT_CONTENTS, content, status)


def content_status(old: Obj, found: list[Obj], missing: list[str], *, skipped: bool, fault: str | None = None) -> Obj:
    """The content's status: taken when all snapshots have a creationTime, ready when all are. With none to take it is
    both at once. `fault`: why taking them cannot begin."""
    if fault:
        return {"readyToUse": False, "error": _told(old, fault)}
    parts = [_part(snapshot) for snapshot in found]
    status: Obj = {"readyToUse": not missing and all(part.get("readyToUse") for part in parts)}
    if parts:
        status["volumeSnapshotStatus"] = parts
    taken = not missing and all(part.get("creationTime") for part in parts)
    if old.get("creationTime"):
        status["creationTime"] = old["creationTime"]
    elif taken:
        status["creationTime"] = now()
    text = _error(found, missing, skipped=skipped)
    if text:
        status["error"] = _told(old, text)
    return status


def _told(old: Obj, text: str) -> Obj:
    """An error, with the time when it was first said."""
    known: Obj = old.get("error") or {}
    return known if known.get("message") == text else {"message": text, "time": now()}


def _part(snapshot: Obj) -> Obj:
    status = snapshot.get("status") or {}
    part = {"volumeSnapshotName": snapshot["metadata"]["name"]}
    return part | {key: status[key] for key in ("creationTime", "readyToUse", "error") if key in status}


def _error(found: list[Obj], missing: list[str], *, skipped: bool) -> str:
    for snapshot in found:
        error = (snapshot.get("status") or {}).get("error")
        if error:
            return f"VolumeSnapshot {snapshot['metadata']['name']} error: {error.get('message', '')}"
    if not missing:
        return ""
    names = ",".join(missing)
    if skipped:
        return f"VolumeSnapshots ({names}) skipped because vm snapshot is deleted"
    return f"VolumeSnapshots ({names}) missing"


def volume_snapshot(content: Obj, backup: Obj, class_name: str | None) -> Obj:
    """The VolumeSnapshot for one backup."""
    vm = content["spec"]["source"]["virtualMachine"]["metadata"]
    spec: Obj = {"source": {"persistentVolumeClaimName": backup["persistentVolumeClaim"]["metadata"]["name"]}}
    if class_name:
        spec["volumeSnapshotClassName"] = class_name
    return {
        "apiVersion": "snapshot.storage.k8s.io/v1",
        "kind": "VolumeSnapshot",
        "metadata": {
            "name": backup["volumeSnapshotName"],
            "namespace": content["metadata"]["namespace"],
            "labels": {
                "snapshot.kubevirt.io/source-vm-name": vm["name"],
                "snapshot.kubevirt.io/source-vm-namespace": vm["namespace"],
            },
            "ownerReferences": [owner(content)],
        },
        "spec": spec,
    }
