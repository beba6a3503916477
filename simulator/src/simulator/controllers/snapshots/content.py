"""virt-controller's VirtualMachineSnapshotContent controller: one VolumeSnapshot for each volume backup."""

from __future__ import annotations

import asyncio

from simulator.client import Obj
from simulator.client.meta import controller_of, deleting, has_finalizer, now, owner, without_finalizer
from simulator.client.resources import (
    STORAGE_CLASSES,
    STORAGE_PROFILES,
    VM_SNAPSHOT_CONTENTS,
    VM_SNAPSHOTS,
    VMIS,
    VOLUME_SNAPSHOT_CLASSES,
    VOLUME_SNAPSHOTS,
)
from simulator.controllers.runtime.manager import Context, Controller
from simulator.controllers.runtime.workqueue import Key
from simulator.controllers.snapshots.quiescing import freezable, freeze_fault, thaw_fault, with_freeze
from simulator.controllers.snapshots.snapshot import COMPONENT, CONTENT_FINALIZER
from simulator.controllers.snapshots.status import content_goes_too, terminating
from simulator.controllers.storage.claims import class_of
from simulator.controllers.storage.snapshot_classes import Ambiguous, snapshot_class


class SnapshotContents(Controller):
    name = "snapshot-content"
    workers = 6

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._late: dict[str, float] = {}
        """When contents are looked at again whose guest was thawed too late, by uid."""

    def watch(self) -> None:
        self.follow(VM_SNAPSHOT_CONTENTS)
        self.context.cache(VOLUME_SNAPSHOTS).subscribe(self._snapshot_changed)
        self.context.cache(VM_SNAPSHOTS).subscribe(self._parent_changed)
        for gvr in (VMIS, STORAGE_CLASSES, STORAGE_PROFILES, VOLUME_SNAPSHOT_CLASSES):
            self.context.cache(gvr)

    def _parent_changed(self, parent: Obj) -> None:
        """Contents wait for the end of their snapshot to go themselves."""
        self.queue.add((parent["metadata"]["namespace"], f"vmsnapshot-content-{parent['metadata']['uid']}"))

    def _snapshot_changed(self, snapshot: Obj) -> None:
        reference = controller_of(snapshot)
        if reference is not None and reference["kind"] == "VirtualMachineSnapshotContent":
            self.queue.add((snapshot["metadata"]["namespace"], reference["name"]))

    async def reconcile(self, key: Key) -> float | None:
        content = self.context.cache(VM_SNAPSHOT_CONTENTS).get(*key)
        if content is None:
            return None
        parent = self.context.cache(VM_SNAPSHOTS).get(key[0], content["spec"]["virtualMachineSnapshotName"])
        if parent is None or terminating(parent):
            await self._thaw(content)
            if has_finalizer(content, CONTENT_FINALIZER):
                content = await self.context.update(VM_SNAPSHOT_CONTENTS, without_finalizer(content, CONTENT_FINALIZER))
            if parent is not None and content_goes_too(parent, content):
                return None
        if deleting(content):
            # Without its snapshot's end it stays, and is of use as before.
            return self.delays.retry
        wait = self._late.get(content["metadata"]["uid"], 0.0) - asyncio.get_running_loop().time()
        if wait > 0:
            return wait
        skip = parent is None or deleting(parent)
        taken = bool((content.get("status") or {}).get("creationTime"))
        taking = not taken and not skip
        fault = await self._freeze(content) if taking and self._wanting(content) else None
        found, missing, again = await self._ensure(content, create=taking and fault is None)
        if again is not None:
            return again
        return await self._report(content, found, missing, fault=fault)

    def _wanting(self, content: Obj) -> bool:
        """Whether a VolumeSnapshot is still to be made."""
        cache, namespace = self.context.cache(VOLUME_SNAPSHOTS), content["metadata"]["namespace"]
        backups = content["spec"].get("volumeBackups") or []
        return any(cache.get(namespace, backup["volumeSnapshotName"]) is None for backup in backups)

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

    async def _thaw(self, content: Obj) -> str | None:
        """Thaw the guest's filesystems if they are frozen; why that failed."""
        vmi = self._instance(content)
        if vmi is None or not vmi.get("status", {}).get("fsFreezeStatus"):
            return None
        await self.context.update(VMIS, with_freeze(vmi, frozen=False))
        return thaw_fault(vmi)

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

    async def _report(self, content: Obj, found: list[Obj], missing: list[str], *, fault: str | None) -> float | None:
        old = content.get("status") or {}
        for name in missing if old.get("creationTime") else []:
            self.context.events.record(
                content,
                "Warning",
                "VolumeSnapshotMissing",
                f"VolumeSnapshot {name} no longer exists",
                component=COMPONENT,
            )
        status = content_status(old, found, missing, fault=fault)
        if "creationTime" in status and "creationTime" not in old:
            # Before it is written down: a thaw that fails is tried again with it.
            fault = await self._thaw(content)
            if fault:
                status = content_status(old, found, missing, fault=fault)
                # Long enough for the snapshot to tell of it: the next thaw finds nothing frozen and succeeds.
                self._late[content["metadata"]["uid"]] = asyncio.get_running_loop().time() + self.delays.retry
            else:
                self._late.pop(content["metadata"]["uid"], None)
        await self.context.set_status(VM_SNAPSHOT_CONTENTS, content, status)
        return self.delays.retry if fault else None


def content_status(old: Obj, found: list[Obj], missing: list[str], *, fault: str | None = None) -> Obj:
    """The content's status: taken when all snapshots have a creationTime, ready when all are. With none to take it is
    both at once. `fault`: why taking them cannot begin or end."""
    if fault:
        return {**old, "readyToUse": False, "error": _told(old, fault)}
    parts = [_part(snapshot) for snapshot in found]
    ready = not missing and all(part.get("readyToUse") for part in parts)
    status: Obj = {"readyToUse": ready}
    if parts:
        status["volumeSnapshotStatus"] = parts
    if old.get("creationTime"):
        status["creationTime"] = old["creationTime"]
    elif not missing and all(part.get("creationTime") for part in parts):
        status["creationTime"] = now()
    text = _error(parts, missing, taken=bool(old.get("creationTime")))
    if text and not ready:
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


def _error(parts: list[Obj], missing: list[str], *, taken: bool) -> str:
    """What is wrong, missing ones before faulty ones; missing before the content was taken: no longer wanted."""
    names = ",".join(missing)
    if names:
        why = "missing" if taken else "skipped because vm snapshot is deleted"
        return f"VolumeSnapshots ({names}) {why}"
    for part in parts:
        if (part.get("error") or {}).get("message"):
            return f"VolumeSnapshot {part['volumeSnapshotName']} error: {part['error']['message']}"
    return ""


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
