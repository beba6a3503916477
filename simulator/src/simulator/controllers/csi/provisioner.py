"""The CSI driver's provisioner with the PersistentVolume binder: claims become bound volumes with content."""

from __future__ import annotations

import asyncio

from simulator.api.quantities import quantity
from simulator.client import Obj
from simulator.client.meta import annotation, deleting
from simulator.client.resources import (
    PVCS,
    PVS,
    STORAGE_CLASSES,
    VOLUME_SNAPSHOT_CONTENTS,
    VOLUME_SNAPSHOTS,
)
from simulator.controllers.runtime.manager import Context, Controller
from simulator.controllers.runtime.workqueue import Key
from simulator.controllers.storage.claims import (
    IMPORT_ENDPOINT,
    Source,
    bound,
    class_of,
    request,
    slowness,
    source_of,
    waits,
)
from simulator.controllers.storage.populating import ClonePhase, clone_phase, may_bind, may_fill
from simulator.faults.troubles import TroubleKind, victim
from simulator.guests.disk import Disk, Disks
from simulator.guests.images import image
from simulator.manifests import DRIVER


class Provisioner(Controller):
    """Provisions claims whose class names this driver.

    Class parameters understood: `binding: never` leaves claims Pending for ever; `slowness: N` takes N times as long.
    """

    name = "csi-provisioner"

    def __init__(self, context: Context, disks: Disks) -> None:
        super().__init__(context)
        self._disks = disks
        self._due: dict[str, float] = {}

    def watch(self) -> None:
        self.follow(PVCS)
        self.follow_troubles(PVCS)
        self.context.cache(STORAGE_CLASSES).subscribe(self._any_pending)
        self.context.cache(VOLUME_SNAPSHOTS).subscribe(self._snapshot_changed)
        self.context.cache(PVS).subscribe(self._volume_changed)
        self.context.cache(VOLUME_SNAPSHOT_CONTENTS)

    def _volume_changed(self, volume: Obj) -> None:
        reference = volume["spec"].get("claimRef")
        if reference:
            self.queue.add((reference["namespace"], reference["name"]))

    def _any_pending(self, _: Obj) -> None:
        for claim in self.context.cache(PVCS):
            if not bound(claim):
                self.queue.add((claim["metadata"]["namespace"], claim["metadata"]["name"]))

    def _snapshot_changed(self, snapshot: Obj) -> None:
        namespace, name = snapshot["metadata"]["namespace"], snapshot["metadata"]["name"]
        for claim in self.context.cache(PVCS).inside(namespace):
            if not bound(claim) and source_of(claim) == (Source.SNAPSHOT, f"{namespace}/{name}"):
                self.queue.add((namespace, claim["metadata"]["name"]))

    async def reconcile(self, key: Key) -> float | None:
        claim = self.context.cache(PVCS).get(*key)
        if claim is None or deleting(claim) or (claim.get("status") or {}).get("phase") == "Lost":
            return None
        storage_class = class_of(claim, self.context.cache(STORAGE_CLASSES))
        if storage_class is None or storage_class["provisioner"] != DRIVER or waits(claim, storage_class):
            return None
        if bound(claim):
            if self._made(claim) is None:
                await self.context.set_status(PVCS, claim, {**claim["status"], "phase": "Lost"})
            return None
        return await self._provision(claim, storage_class)

    async def _provision(self, claim: Obj, storage_class: Obj) -> float | None:
        parameters = storage_class.get("parameters") or {}
        source, name = source_of(claim)
        stuck = self.context.troubles.of(TroubleKind.PENDING_PVC, victim(claim)) is not None
        if source is Source.OTHER or stuck or parameters.get("binding") == "never":
            return None
        handle = f"vol-{claim['metadata']['uid']}"
        if self._made(claim) is None or handle not in self._disks.volumes:
            if not may_fill(claim):
                self._due.pop(claim["metadata"]["uid"], None)
                return None
            problem = self._missing(claim, source, name)
            if problem:
                self.context.events.record(claim, "Warning", "ProvisioningFailed", problem, component=DRIVER)
                return self.delays.retry
            wait = self._wait(claim, self._delay(claim, source) * slowness(storage_class))
            if wait > 0:
                return wait
            await self._make(claim, storage_class, handle, self._content(claim, source, name))
        if may_bind(claim):
            await self._bind(claim)
        return None

    def _wait(self, claim: Obj, delay: float) -> float:
        now = asyncio.get_running_loop().time()
        return self._due.setdefault(claim["metadata"]["uid"], now + delay) - now

    def _delay(self, claim: Obj, source: Source) -> float:
        if clone_phase(claim) is ClonePhase.HOST_CLONE:
            return self.delays.copy(quantity(request(claim)))
        return {
            Source.BLANK: self.delays.provision,
            Source.IMAGE: self.delays.image_import,
            Source.CLONE: self.delays.clone,
            Source.SNAPSHOT: self.delays.restore_pvc,
        }[source]

    def _missing(self, claim: Obj, source: Source, name: str) -> str:
        """Why the source cannot be read yet, or empty."""
        if source is Source.CLONE and self._volume(name) is None:
            return f"source pvc {name} is not bound"
        if source is Source.SNAPSHOT and self._snapshot_handle(name) is None:
            plain = name.partition("/")[2]
            return f"error getting handle for DataSource Type VolumeSnapshot by Name {plain}: snapshot is not ready"
        return ""

    def _content(self, claim: Obj, source: Source, name: str) -> Disk:
        if source is Source.IMAGE:
            return image(annotation(claim, IMPORT_ENDPOINT) or "")
        if source is Source.CLONE:
            volume = self._volume(name)
            return volume.copy() if volume else Disk()
        if source is Source.SNAPSHOT:
            handle = self._snapshot_handle(name) or ""
            void = self.context.troubles.of(TroubleKind.VOID_RESTORE, victim(claim)) is not None
            return (self._last(claim, name) if void else None) or self._disks.snapshots[handle].disk.copy()
        return Disk()

    def _last(self, claim: Obj, snapshot_key: str) -> Disk | None:
        """What the disk that the snapshot was taken of has now, or the one restored in its place."""
        namespace = claim["metadata"]["namespace"]
        snapshot = self.context.cache(VOLUME_SNAPSHOTS).get(*snapshot_key.split("/", 1)) or {}
        first = ((snapshot.get("spec") or {}).get("source") or {}).get("persistentVolumeClaimName", "")
        later = [one for one in self.context.cache(PVCS).inside(namespace) if bound(one) and _vm(one) == _vm(claim)]
        names = [first, *(one["metadata"]["name"] for one in later if _vm(one))]
        found = [volume for name in names if (volume := self._volume(f"{namespace}/{name}")) is not None]
        return found[-1].copy() if found else None

    def _volume(self, claim: str) -> Disk | None:
        """The disk behind `namespace/name`."""
        found = self.context.cache(PVCS).get(*claim.split("/", 1))
        if found is None or not bound(found):
            return None
        return self._disks.volumes.get(f"vol-{found['metadata']['uid']}")

    def _snapshot_handle(self, key: str) -> str | None:
        """The snapshot `namespace/name` as the storage knows it, once it is ready."""
        snapshot = self.context.cache(VOLUME_SNAPSHOTS).get(*key.split("/", 1))
        status = (snapshot or {}).get("status") or {}
        content = self.context.cache(VOLUME_SNAPSHOT_CONTENTS).get("", status.get("boundVolumeSnapshotContentName", ""))
        handle: str = ((content or {}).get("status") or {}).get("snapshotHandle", "")
        return handle if status.get("readyToUse") and handle in self._disks.snapshots else None

    def _made(self, claim: Obj) -> Obj | None:
        """The volume that was made for the claim."""
        return self.context.cache(PVS).get("", f"pvc-{claim['metadata']['uid']}")

    async def _make(self, claim: Obj, storage_class: Obj, handle: str, content: Disk) -> None:
        """Content first: a volume that is seen has its content."""
        self._disks.volumes.setdefault(handle, content)
        if self._made(claim) is None:
            await self.context.create(PVS, persistent_volume(claim, storage_class, handle))
        self._due.pop(claim["metadata"]["uid"], None)

    async def _bind(self, claim: Obj) -> None:
        volume = self._made(claim)
        if volume is None:
            return
        await self.context.set_status(PVS, volume, {"phase": "Bound"})
        name = volume["metadata"]["name"]
        if claim["spec"].get("volumeName") != name:
            claim = await self.context.update(PVCS, {**claim, "spec": {**claim["spec"], "volumeName": name}})
        status = {
            "phase": "Bound",
            "accessModes": claim["spec"].get("accessModes", ["ReadWriteOnce"]),
            "capacity": {"storage": request(claim)},
        }
        await self.context.set_status(PVCS, claim, status)


def _vm(claim: Obj) -> str | None:
    """The VM whose restore made the claim."""
    label: str | None = (claim["metadata"].get("labels") or {}).get("restore.kubevirt.io/source-vm-name")
    return label


def persistent_volume(claim: Obj, storage_class: Obj, handle: str) -> Obj:
    """The volume provisioned for a claim."""
    meta = claim["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"pvc-{meta['uid']}", "annotations": {"pv.kubernetes.io/provisioned-by": DRIVER}},
        "spec": {
            "accessModes": claim["spec"].get("accessModes", ["ReadWriteOnce"]),
            "capacity": {"storage": request(claim)},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": meta["namespace"],
                "name": meta["name"],
                "uid": meta["uid"],
            },
            "csi": {"driver": DRIVER, "volumeHandle": handle},
            "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy", "Delete"),
            "storageClassName": storage_class["metadata"]["name"],
            "volumeMode": claim["spec"].get("volumeMode", "Filesystem"),
        },
    }
