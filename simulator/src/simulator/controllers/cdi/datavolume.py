"""CDI's DataVolume controller: a DataVolume becomes a claim, and reports how the claim is filled."""

from __future__ import annotations

from simulator.api.errors import ApiError
from simulator.client import Obj
from simulator.client.meta import annotation, controller_of, deleting, owned_by, owner, with_annotations
from simulator.client.resources import DATA_SOURCES, DATA_VOLUMES, PVCS, STORAGE_CLASSES, VOLUME_SNAPSHOTS
from simulator.controllers.cdi.data_sources import meant, named
from simulator.controllers.cdi.datavolume_events import events
from simulator.controllers.cdi.datavolume_status import Why, status_of, status_without_claim
from simulator.controllers.runtime.manager import Controller
from simulator.controllers.runtime.workqueue import Key
from simulator.controllers.storage.claims import (
    CLONE_REQUEST,
    IMPORT_ENDPOINT,
    IMPORT_SECRET,
    IMPORT_SOURCE,
    POPULATED_FOR,
    SOURCE_NAMESPACE,
    class_of,
    waits,
    waits_for_consumer,
)
from simulator.controllers.storage.populating import (
    CLONE_PHASE,
    CLONE_TYPE,
    POD_PHASE,
    POD_RESTARTS,
    ClonePhase,
    running,
)

PRE_POPULATED = "cdi.kubevirt.io/storage.prePopulated"
ALLOW_ADOPTION = "cdi.kubevirt.io/allowClaimAdoption"
COMPONENT = "datavolume-controller"
IMPORTS = ("registry", "http", "s3", "gcs", "imageio", "vddk", "blank")
"""Sources that a pod of CDI's brings."""


class DataVolumes(Controller):
    """One claim for each DataVolume, named alike. A claim whose `populatedFor` names the DataVolume, or that may be
    adopted, is taken as it is. A clone whose source is missing waits for ever: CDI never reports Failed for it.
    The populators fill the claims; what they note on them is what is reported here."""

    name = "datavolume"

    def watch(self) -> None:
        self.follow(DATA_VOLUMES)
        self.context.cache(PVCS).subscribe(self._claim_changed)
        self.context.cache(VOLUME_SNAPSHOTS).subscribe(lambda one: self._source_changed("snapshot", one))
        self.context.cache(DATA_SOURCES).subscribe(self._named_changed)
        self.context.cache(STORAGE_CLASSES)

    def _named_changed(self, source: Obj) -> None:
        where = (source["metadata"]["namespace"], source["metadata"]["name"])
        for volume in self.context.cache(DATA_VOLUMES):
            if named(volume, volume["metadata"]["namespace"]) == where:
                self.queue.add((volume["metadata"]["namespace"], volume["metadata"]["name"]))

    def _looked_up(self, volume: Obj) -> Obj:
        """The DataVolume with its source; one that names a DataSource keeps that name where it is stored."""
        where = named(volume, volume["metadata"]["namespace"])
        return meant(volume, self.context.cache(DATA_SOURCES).get(*where)) if where is not None else volume

    def _claim_changed(self, claim: Obj) -> None:
        self.queue.add((claim["metadata"]["namespace"], claim["metadata"]["name"]))
        self._source_changed("pvc", claim)

    def _source_changed(self, kind: str, source: Obj) -> None:
        there = (kind, source["metadata"]["namespace"], source["metadata"]["name"])
        for volume in self.context.cache(DATA_VOLUMES):
            if clone_source(self._looked_up(volume)) == there and volume.get("status", {}).get("phase") != "Succeeded":
                self.queue.add((volume["metadata"]["namespace"], volume["metadata"]["name"]))

    async def reconcile(self, key: Key) -> float | None:
        volume = self.context.cache(DATA_VOLUMES).get(*key)
        if volume is None or deleting(volume):
            return None
        claim = self.context.cache(PVCS).get(*key)
        if claim is None:
            return await self._create_claim(volume)
        if not owned_by(claim, volume):
            claim = await self._adopt(volume, claim)
        if claim is not None:
            await self._report(volume, claim)
        return None

    async def _create_claim(self, volume: Obj) -> float | None:
        """Create the claim, again if it was deleted, unless its content is promised by another or the source is not
        there."""
        if annotation(volume, PRE_POPULATED) is not None:
            await self._report_none(volume, "Pending")
            return None
        looked_up = self._looked_up(volume)
        if not looked_up["spec"].get("source") and named(volume, "") is not None:
            return None
        source = clone_source(looked_up)
        if source is not None and not self._there(*source):
            text = f"The source {source[0]} {source[2]} doesn't exist"
            await self._report_none(volume, "CloneScheduled", ("CloneWithoutSource", text))
            return None
        try:
            await self.context.create(PVCS, claim_of(looked_up, self._class_name(volume)))
        except ApiError as error:
            if error.code != 403 or "exceeded quota" not in error.message:
                raise
            await self._report_none(volume, "Pending", ("ErrExceededQuota", error.message))
            return self.delays.retry
        return None

    def _there(self, kind: str, namespace: str, name: str) -> bool:
        return self.context.cache(PVCS if kind == "pvc" else VOLUME_SNAPSHOTS).get(namespace, name) is not None

    def _class_name(self, volume: Obj) -> str | None:
        storage_class = class_of({"spec": target_of(volume)}, self.context.cache(STORAGE_CLASSES))
        return storage_class["metadata"]["name"] if storage_class else None

    async def _adopt(self, volume: Obj, claim: Obj) -> Obj | None:
        if controller_of(claim) is not None or deleting(claim):
            return None
        populated = annotation(claim, POPULATED_FOR) == volume["metadata"]["name"]
        if not populated and annotation(volume, ALLOW_ADOPTION) != "true":
            return None
        meta = {**claim["metadata"], "ownerReferences": [owner(volume)]}
        return await self.context.update(PVCS, {**claim, "metadata": meta})

    async def _report_none(self, volume: Obj, phase: str, why: Why | None = None) -> None:
        """There is no claim yet. Quotas may grow, and sources appear: it is tried again."""
        if why is not None:
            self.context.events.record(volume, "Warning", *why, component=COMPONENT)
        status = status_without_claim(volume, phase, *([why] if why is not None else []))
        await self.context.set_status(DATA_VOLUMES, volume, status)

    async def _report(self, volume: Obj, claim: Obj) -> None:
        storage_class = class_of(claim, self.context.cache(STORAGE_CLASSES))
        adopted = annotation(volume, PRE_POPULATED) is not None and waits_for_consumer(storage_class)
        status = status_of(volume, claim, waits=waits(claim, storage_class), adopted=adopted)
        strategy = annotation(claim, CLONE_TYPE)
        done = (volume.get("status") or {}).get("phase") == "Succeeded"
        if strategy is not None and annotation(volume, CLONE_TYPE) != strategy and not done:
            volume = await self.context.update(DATA_VOLUMES, with_annotations(volume, {CLONE_TYPE: strategy}))
        if status != volume.get("status"):
            await self.context.set_status(DATA_VOLUMES, volume, status)
            for told in events(volume, status, clone_source(self._looked_up(volume))):
                self.context.events.record(volume, *told, component=COMPONENT)


def clone_source(volume: Obj) -> tuple[str, str, str] | None:
    """Kind (`pvc` or `snapshot`), namespace and name of what a DataVolume clones."""
    sources = volume["spec"].get("source") or {}
    for kind in ("pvc", "snapshot"):
        if kind in sources:
            source = sources[kind]
            return kind, source.get("namespace") or volume["metadata"]["namespace"], source["name"]
    return None


def target_of(volume: Obj) -> Obj:
    """The claim's spec as the DataVolume asks for it."""
    return dict(volume["spec"].get("pvc") or volume["spec"].get("storage") or {})


def claim_of(volume: Obj, class_name: str | None) -> Obj:
    """The claim for a DataVolume; labels are copied, so that sweeps find it, and annotations."""
    spec = {"accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem", **target_of(volume)}
    if class_name and not spec.get("storageClassName"):
        spec["storageClassName"] = class_name
    meta = volume["metadata"]
    own = {POPULATED_FOR: meta["name"], POD_RESTARTS: "0"}
    source = clone_source(volume)
    if source is not None and source[0] == "snapshot":
        spec["dataSource"] = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": source[2]}
        own |= {SOURCE_NAMESPACE: source[1]} if source[1] != meta["namespace"] else {}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": meta["name"],
            "namespace": meta["namespace"],
            "labels": dict(meta.get("labels") or {}),
            "annotations": {**(meta.get("annotations") or {}), **own, **source_annotations(volume)},
            "ownerReferences": [owner(volume)],
        },
        "spec": spec,
    }


def source_annotations(volume: Obj) -> dict[str, str]:
    """What tells the populators where the content comes from."""
    clone = clone_source(volume)
    if clone is not None:
        kind, namespace, name = clone
        request = {CLONE_REQUEST: f"{namespace}/{name}"} if kind == "pvc" else {}
        return {**request, CLONE_PHASE: ClonePhase.PENDING, **running(False, "Clone Pending", "Pending")}
    source = volume["spec"].get("source") or {}
    for kind in IMPORTS:
        if kind in source:
            told = {IMPORT_SOURCE: "none" if kind == "blank" else kind, POD_PHASE: "Pending"}
            if kind == "blank":
                return told
            asked = source[kind] or {}
            secret = {IMPORT_SECRET: asked["secretRef"]} if asked.get("secretRef") else {}
            return told | secret | {IMPORT_ENDPOINT: str(asked.get("url", kind))}
    return {}
