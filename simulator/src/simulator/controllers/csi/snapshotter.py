"""The CSI snapshotter: VolumeSnapshots become captured content."""

from __future__ import annotations

import asyncio
from typing import Any

from simulator.client import Obj
from simulator.client.meta import deleting, has_finalizer, now, with_finalizer, without_finalizer
from simulator.client.resources import (
    PVCS,
    VOLUME_SNAPSHOT_CLASSES,
    VOLUME_SNAPSHOT_CONTENTS,
    VOLUME_SNAPSHOTS,
)
from simulator.controllers.csi.losing import used_by_kubevirt
from simulator.controllers.runtime.manager import Context, Controller
from simulator.controllers.runtime.workqueue import Key
from simulator.controllers.storage.claims import Source, bound, request, source_of
from simulator.faults.troubles import TroubleKind, victim
from simulator.guests.disk import Disks
from simulator.manifests import DRIVER

FAILED = 'Failed to create snapshot: failed to take snapshot of the volume of claim {}: "rpc error: code = Internal"'
"""As the CSI snapshotter reports what a driver answers."""
BOUND = "snapshot.storage.kubernetes.io/volumesnapshot-bound-protection"


class Snapshotter(Controller):
    """Takes the snapshot at `snapshot_create`, calls it ready at `snapshot_ready` later.

    Class parameters understood: `diesWithSource: "true"` keeps snapshots inside their volume; `ready: never` never
    reports readyToUse; `fail: TEXT` reports that error.
    """

    name = "csi-snapshotter"

    def __init__(self, context: Context, disks: Disks) -> None:
        super().__init__(context)
        self._disks = disks
        self._due: dict[tuple[str, str], float] = {}

    def watch(self) -> None:
        self.follow(VOLUME_SNAPSHOTS)
        self.follow_troubles(VOLUME_SNAPSHOTS)
        self.context.cache(PVCS).subscribe(self._claim_changed)
        for gvr in (VOLUME_SNAPSHOT_CLASSES, VOLUME_SNAPSHOT_CONTENTS):
            self.context.cache(gvr)

    def _claim_changed(self, claim: Obj) -> None:
        namespace = claim["metadata"]["namespace"]
        source, name = source_of(claim)
        if source is Source.SNAPSHOT:
            where, _, plain = name.partition("/")
            self.queue.add((where, plain))
        for snapshot in self.context.cache(VOLUME_SNAPSHOTS).inside(namespace):
            if snapshot["spec"]["source"].get("persistentVolumeClaimName") == claim["metadata"]["name"]:
                self.queue.add((namespace, snapshot["metadata"]["name"]))

    async def reconcile(self, key: Key) -> float | None:
        snapshot = self.context.cache(VOLUME_SNAPSHOTS).get(*key)
        if snapshot is None:
            return None
        if deleting(snapshot):
            return await self._release(snapshot)
        if (snapshot.get("status") or {}).get("readyToUse"):
            return await self._lose(snapshot)
        snapshot_class = self._class(snapshot)
        if snapshot_class is None or snapshot_class["driver"] != DRIVER:
            return None
        parameters = snapshot_class.get("parameters") or {}
        fault = self._fault(snapshot, parameters)
        if fault:
            status = snapshot.get("status") or {}
            known = status.get("error") or {}
            error = known if known.get("message") == fault else {"message": fault, "time": now()}
            await self.context.set_status(VOLUME_SNAPSHOTS, snapshot, {**status, "readyToUse": False, "error": error})
            return None
        return await self._advance(snapshot, snapshot_class, parameters)

    def _class(self, snapshot: Obj) -> Obj | None:
        return self.context.cache(VOLUME_SNAPSHOT_CLASSES).get("", snapshot["spec"].get("volumeSnapshotClassName", ""))

    def _fault(self, snapshot: Obj, parameters: dict[str, Any]) -> str:
        """What the driver says is wrong with this snapshot, or empty."""
        trouble = self.context.troubles.of(TroubleKind.FAIL_SNAPSHOT, victim(snapshot))
        if trouble is None:
            return str(parameters.get("fail") or "")
        return trouble.message or FAILED.format(snapshot["spec"]["source"].get("persistentVolumeClaimName", ""))

    async def _lose(self, snapshot: Obj) -> float | None:
        """The storage loses a snapshot that is in use, when it is asked to."""
        if self.context.troubles.of(TroubleKind.LOSE_SNAPSHOT, victim(snapshot)) is None:
            return None
        if not await used_by_kubevirt(self.client, snapshot):
            return self.delays.retry
        await self.context.delete(VOLUME_SNAPSHOTS, snapshot)
        return None

    async def _advance(self, snapshot: Obj, snapshot_class: Obj, parameters: dict[str, Any]) -> float | None:
        if not has_finalizer(snapshot, BOUND):
            snapshot = await self.context.update(VOLUME_SNAPSHOTS, with_finalizer(snapshot, BOUND))
        status = snapshot.get("status") or {}
        if not status.get("creationTime"):
            claim = self._claim(snapshot)
            if claim is None:
                return self.delays.retry
            key = f"{snapshot['metadata']['namespace']}/{snapshot['metadata']['name']}"
            text = f"Waiting for a snapshot {key} to be created by the CSI driver."
            self._tell(snapshot, "CreatingSnapshot", text)
            wait = self._wait(snapshot, "create", self.delays.snapshot_create)
            if wait > 0:
                return wait
            await self._take(snapshot, claim, snapshot_class, parameters)
            return None
        if parameters.get("ready") == "never":
            return None
        wait = self._wait(snapshot, "ready", self.delays.snapshot_ready)
        if wait > 0:
            return wait
        well = {key: value for key, value in status.items() if key != "error"}
        await self.context.set_status(VOLUME_SNAPSHOTS, snapshot, {**well, "readyToUse": True})
        self._tell(snapshot, "SnapshotReady", "Snapshot is ready to use.")
        return None

    def _tell(self, snapshot: Obj, reason: str, text: str, type_: str = "Normal") -> None:
        self.context.events.record(snapshot, type_, reason, text, component="snapshot-controller")

    def _claim(self, snapshot: Obj) -> Obj | None:
        """The bound source claim."""
        name = snapshot["spec"]["source"].get("persistentVolumeClaimName", "")
        claim = self.context.cache(PVCS).get(snapshot["metadata"]["namespace"], name)
        return claim if claim is not None and bound(claim) else None

    def _wait(self, snapshot: Obj, step: str, delay: float) -> float:
        clock = asyncio.get_running_loop().time()
        return self._due.setdefault((snapshot["metadata"]["uid"], step), clock + delay) - clock

    async def _take(self, snapshot: Obj, claim: Obj, snapshot_class: Obj, parameters: dict[str, Any]) -> None:
        handle = f"snap-{snapshot['metadata']['uid']}"
        dies = parameters.get("diesWithSource") == "true"
        self._disks.snapshot(handle, f"vol-{claim['metadata']['uid']}", dies_with_source=dies)
        name = f"snapcontent-{snapshot['metadata']['uid']}"
        content = self.context.cache(VOLUME_SNAPSHOT_CONTENTS).get("", name) or await self.context.create(
            VOLUME_SNAPSHOT_CONTENTS, content_of(name, snapshot, claim, snapshot_class)
        )
        status = {"snapshotHandle": handle, "readyToUse": True}
        await self.context.set_status(VOLUME_SNAPSHOT_CONTENTS, content, status)
        await self.context.set_status(
            VOLUME_SNAPSHOTS,
            snapshot,
            {
                "boundVolumeSnapshotContentName": name,
                "creationTime": now(),
                "readyToUse": False,
                "restoreSize": request(claim),
            },
        )
        key = f"{snapshot['metadata']['namespace']}/{snapshot['metadata']['name']}"
        self._tell(snapshot, "SnapshotCreated", f"Snapshot {key} was successfully created by the CSI driver.")

    async def _release(self, snapshot: Obj) -> float | None:
        """Let a deleted snapshot go, unless a claim is still being filled from it. (external-snapshotter)"""
        if not has_finalizer(snapshot, BOUND):
            return None
        namespace, name = snapshot["metadata"]["namespace"], snapshot["metadata"]["name"]
        for claim in self.context.cache(PVCS):
            if (
                source_of(claim) == (Source.SNAPSHOT, f"{namespace}/{name}")
                and not bound(claim)
                and not deleting(claim)
            ):
                text = "Snapshot is being used to restore a PVC"
                self._tell(snapshot, "SnapshotDeletePending", text, "Warning")
                return None
        content = self.context.cache(VOLUME_SNAPSHOT_CONTENTS).get("", f"snapcontent-{snapshot['metadata']['uid']}")
        if content is not None and content["spec"]["deletionPolicy"] == "Delete":
            # Its disk first: nobody would look for it once the object is gone.
            self._disks.drop_snapshot(f"snap-{snapshot['metadata']['uid']}")
            await self.context.delete(VOLUME_SNAPSHOT_CONTENTS, content)
        for step in ("create", "ready"):
            self._due.pop((snapshot["metadata"]["uid"], step), None)
        await self.context.update(VOLUME_SNAPSHOTS, without_finalizer(snapshot, BOUND))
        return None


def content_of(name: str, snapshot: Obj, claim: Obj, snapshot_class: Obj) -> Obj:
    """The VolumeSnapshotContent bound to a snapshot."""
    return {
        "apiVersion": "snapshot.storage.k8s.io/v1",
        "kind": "VolumeSnapshotContent",
        "metadata": {"name": name},
        "spec": {
            "deletionPolicy": snapshot_class["deletionPolicy"],
            "driver": DRIVER,
            "source": {"volumeHandle": f"vol-{claim['metadata']['uid']}"},
            "volumeSnapshotClassName": snapshot_class["metadata"]["name"],
            "volumeSnapshotRef": {
                "apiVersion": snapshot["apiVersion"],
                "kind": "VolumeSnapshot",
                "namespace": snapshot["metadata"]["namespace"],
                "name": snapshot["metadata"]["name"],
                "uid": snapshot["metadata"]["uid"],
            },
        },
    }
