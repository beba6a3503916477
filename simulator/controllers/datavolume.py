"""CDI's DataVolume controller: a DataVolume becomes a claim, and reports how the claim is filled."""

from __future__ import annotations

from simulator.api.errors import ApiError
from simulator.client import Obj
from simulator.controllers.claims import (
    CLONE_REQUEST,
    IMPORT_ENDPOINT,
    POPULATED_FOR,
    bound,
    class_of,
    waits_for_consumer,
)
from simulator.controllers.meta import annotation, controller_of, deleting, now, owned_by, owner, with_condition
from simulator.controllers.resources import DATA_VOLUMES, PVCS, STORAGE_CLASSES, STORAGE_PROFILES
from simulator.controllers.runtime import Controller
from simulator.controllers.workqueue import Key

PRE_POPULATED = "cdi.kubevirt.io/storage.prePopulated"
ALLOW_ADOPTION = "cdi.kubevirt.io/allowClaimAdoption"
COMPONENT = "datavolume-controller"
CLONING = {
    "copy": ["CloneInProgress"],
    "csi-clone": ["CSICloneInProgress"],
    "snapshot": ["SnapshotForSmartCloneInProgress", "CloneFromSnapshotSourceInProgress"],
}
"""Phases while a claim is cloned, by the strategy of its class's StorageProfile; a copy by hosts by default."""


class DataVolumes(Controller):
    """One claim for each DataVolume, named alike. A claim whose `populatedFor` names the DataVolume, or that may be
    adopted, is taken as it is. A clone whose source is missing waits for ever: CDI never reports Failed for it."""

    name = "datavolume"

    def watch(self) -> None:
        self.follow(DATA_VOLUMES)
        self.context.cache(PVCS).subscribe(self._claim_changed)
        self.context.cache(STORAGE_CLASSES)
        self.context.cache(STORAGE_PROFILES)

    def _claim_changed(self, claim: Obj) -> None:
        self.queue.add((claim["metadata"]["namespace"], claim["metadata"]["name"]))
        clone_of = f"{claim['metadata']['namespace']}/{claim['metadata']['name']}"
        for volume in self.context.cache(DATA_VOLUMES):
            if clone_source(volume) == clone_of and volume.get("status", {}).get("phase") != "Succeeded":
                self.queue.add((volume["metadata"]["namespace"], volume["metadata"]["name"]))

    async def reconcile(self, key: Key) -> float | None:
        volume = self.context.cache(DATA_VOLUMES).get(*key)
        if volume is None or deleting(volume):
            return None
        claim = self.context.cache(PVCS).get(*key)
        if claim is None:
            try:
                claim = await self._create_claim(volume)
            except ApiError as error:
                if error.code != 403 or "exceeded quota" not in error.message:
                    raise
                return await self._over_quota(volume, error.message)
        elif not owned_by(claim, volume):
            claim = await self._adopt(volume, claim)
        phase = await self._report(volume, claim)
        return self.delays.clone / 2 if phase == CLONING["snapshot"][0] else None

    async def _create_claim(self, volume: Obj) -> Obj | None:
        """Create the claim, unless content is promised by another or the source is not there."""
        if volume.get("status", {}).get("phase") == "Succeeded" or annotation(volume, PRE_POPULATED) is not None:
            return None
        source = clone_source(volume)
        if source is not None:
            found = self.context.cache(PVCS).get(*source.split("/", 1))
            if found is None or not bound(found):
                text = f"The source pvc {source} of the clone does not exist or is not bound"
                self.context.events.record(volume, "Warning", "CloneSourceMissing", text, component=COMPONENT)
                return None
        return await self.context.create(PVCS, claim_of(volume, self._class_name(volume)))

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

    async def _over_quota(self, volume: Obj, message: str) -> float:
        """Say so, and try again: quotas may grow, and old disks go. (CDI: ErrExceededQuota)"""
        reason = "ErrExceededQuota"
        self.context.events.record(volume, "Warning", reason, message, component=COMPONENT)
        old = volume.get("status") or {}
        conditions = _conditions(old, bound=False, running=False, reason=reason, message=message)
        await self.context.set_status(DATA_VOLUMES, volume, {**old, "phase": "Pending", "conditions": conditions})
        return self.delays.retry

    async def _report(self, volume: Obj, claim: Obj | None) -> str:
        """The phase that is reported."""
        old = volume.get("status") or {}
        storage_class = class_of({"spec": target_of(volume)}, self.context.cache(STORAGE_CLASSES))
        status = volume_status(volume, claim, waits_for_consumer(storage_class), self._strategy(storage_class))
        if old.get("phase") == "Succeeded" and status["phase"] != "Succeeded":
            return "Succeeded"
        if status != old:
            await self.context.set_status(DATA_VOLUMES, volume, status)
            if status["phase"] != old.get("phase"):
                self._tell(volume, status["phase"])
        return str(status["phase"])

    def _strategy(self, storage_class: Obj | None) -> str:
        name = storage_class["metadata"]["name"] if storage_class else ""
        profile = self.context.cache(STORAGE_PROFILES).get("", name)
        strategy: str = ((profile or {}).get("status") or {}).get("cloneStrategy", "copy")
        return strategy

    def _tell(self, volume: Obj, phase: str) -> None:
        name = volume["metadata"]["name"]
        text = f"Successfully populated {name}" if phase == "Succeeded" else f"{name} is in phase {phase}"
        self.context.events.record(volume, "Normal", phase, text, component=COMPONENT)


def clone_source(volume: Obj) -> str | None:
    """`namespace/name` of the claim that a DataVolume clones."""
    source = (volume["spec"].get("source") or {}).get("pvc")
    return f"{source.get('namespace') or volume['metadata']['namespace']}/{source['name']}" if source else None


def target_of(volume: Obj) -> Obj:
    """The claim's spec as the DataVolume asks for it."""
    return dict(volume["spec"].get("pvc") or volume["spec"].get("storage") or {})


def claim_of(volume: Obj, class_name: str | None) -> Obj:
    """The claim for a DataVolume; labels are copied, so that sweeps find it."""
    spec = {"accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem", **target_of(volume)}
    if class_name and not spec.get("storageClassName"):
        spec["storageClassName"] = class_name
    meta = volume["metadata"]
    annotations = {POPULATED_FOR: meta["name"], **source_annotations(volume)}
    source = volume["spec"].get("source") or {}
    if "snapshot" in source:
        spec["dataSource"] = {
            "apiGroup": "snapshot.storage.k8s.io",
            "kind": "VolumeSnapshot",
            "name": source["snapshot"]["name"],
        }
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": meta["name"],
            "namespace": meta["namespace"],
            "labels": dict(meta.get("labels") or {}),
            "annotations": annotations,
            "ownerReferences": [owner(volume)],
        },
        "spec": spec,
    }


def source_annotations(volume: Obj) -> dict[str, str]:
    """What tells the provisioner where the content comes from."""
    clone = clone_source(volume)
    if clone is not None:
        return {CLONE_REQUEST: clone}
    source = volume["spec"].get("source") or {}
    for kind in ("registry", "http", "s3", "gcs", "imageio", "vddk"):
        if kind in source:
            return {IMPORT_ENDPOINT: str((source[kind] or {}).get("url", kind))}
    return {}


def volume_status(volume: Obj, claim: Obj | None, waits: bool, strategy: str = "copy") -> Obj:
    """The DataVolume's status, from its claim; `waits`: the class binds for its first consumer only; `strategy`: how
    claims of the class are cloned."""
    old = volume.get("status") or {}
    cloning = clone_source(volume) is not None
    adopted = annotation(volume, PRE_POPULATED) is not None
    if claim is None:
        phase = "CloneScheduled" if cloning and not adopted else "Pending"
        if phase == "Pending":
            return {"phase": phase}
        return {"phase": phase, "progress": "N/A", "conditions": _conditions(old, bound=False, running=False)}
    if bound(claim) or (adopted and waits):
        return {
            "claimName": claim["metadata"]["name"],
            "conditions": _conditions(old, bound=True, running=False),
            "phase": "Succeeded",
            "progress": "100.0%",
        }
    if waits:
        return {"claimName": claim["metadata"]["name"], "phase": "PendingPopulation", "progress": "N/A"}
    source = volume["spec"].get("source") or {}
    if cloning:
        first, *more = CLONING.get(strategy, CLONING["copy"])
        return {"phase": more[0] if more and old.get("phase") in (first, *more) else first}
    return {"phase": "ImportInProgress" if source_annotations(volume) or "blank" in source else "Pending"}


def _conditions(old: Obj, *, bound: bool, running: bool, **why: str) -> list[Obj]:
    conditions = old.get("conditions")
    for type_, holds in (("Bound", bound), ("Ready", bound), ("Running", running)):
        stamp = now()
        conditions = with_condition(
            conditions,
            {
                "type": type_,
                "status": "True" if holds else "False",
                "lastTransitionTime": stamp,
                "lastHeartbeatTime": stamp,
                **why,
            },
        )
    return conditions or []
