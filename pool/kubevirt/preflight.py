"""Whether a storage class can carry the pool: a snapshot must outlive the volume that it was taken of.

Every reset deletes the disk that the golden snapshot was taken of. On most storage the snapshot is independent; on
some (Longhorn's `type: snap`) it lives inside the volume and dies with it, while its object may still say ready. So,
once per class: make a volume, snapshot it, delete it, and make another one of the snapshot.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from pool.core.errors import AlreadyExists, NotFound, SnapshotFailed, WaitTimeout
from pool.core.pools import Pool
from pool.core.settings import Settings
from pool.kube.client import Kube, Object
from pool.kube.resources import (
    CONFIG_MAPS,
    DATA_VOLUMES,
    PVCS,
    VOLUME_SNAPSHOTS,
    Resource,
)
from pool.kube.watching import Watching, described
from pool.kubevirt.cluster import pool_labels
from pool.kubevirt.manifests import BIND_NOW
from pool.kubevirt.ownership import remove_exactly
from pool.kubevirt.storage import snapshot_class, storage_class

T = TypeVar("T")

PROVED = "cks-pool-proved-storage"
"""A ConfigMap beside the golden images: the UIDs of the storage classes that were proved, by name."""
SIZE = "1Gi"


async def ensure_storage_proved(kube: Kube, watching: Watching, pool: Pool, settings: Settings) -> str:
    """The name of the pool's storage class, proved to keep snapshots when their volumes go; proved once per class.

    Raises InvalidInput when there is no such class, SnapshotFailed when its snapshots do not outlive
    their volumes, WaitTimeout naming the step that did not end.
    """
    storage = await storage_class(kube, pool)
    name, uid = storage["metadata"]["name"], storage["metadata"]["uid"]
    found = await kube.find(CONFIG_MAPS, PROVED, settings.templates_namespace)
    proved: dict[str, str] = (found or {}).get("data") or {}
    if proved.get(name) == uid:
        return str(name)
    proof = _Proof(kube, watching, pool, settings, str(name))
    try:
        await proof.make(await snapshot_class(kube, storage))
    finally:
        await proof.clean()
    noted = CONFIG_MAPS.manifest(PROVED, settings.templates_namespace, data={**proved, name: uid})
    await kube.apply(CONFIG_MAPS, noted, force=True)
    return str(name)


def proof_name(pool: Pool) -> str:
    """Name of the pool's VolumeSnapshot during a proof, and of its volumes before their suffix."""
    return f"preflight-{hashlib.sha256(pool.metadata.uid.encode()).hexdigest()[:12]}"


@dataclass(frozen=True)
class _Proof:
    """One proof of a storage class, with objects of the pool's own: several pools may be at it at once."""

    kube: Kube
    watching: Watching
    pool: Pool
    settings: Settings
    storage: str

    @property
    def snapshot(self) -> str:
        return proof_name(self.pool)

    @property
    def source(self) -> str:
        return f"{self.snapshot}-source"

    @property
    def restored(self) -> str:
        return f"{self.snapshot}-restored"

    async def make(self, snapshot_class: str) -> None:
        """A volume, its snapshot, and another volume of that once the first one is gone. Raises SnapshotFailed."""
        namespace = self.settings.templates_namespace
        await self.clean()
        await self._volume(self.source, {"blank": {}})
        spec = {"source": {"persistentVolumeClaimName": self.source}, "volumeSnapshotClassName": snapshot_class}
        await self._create(VOLUME_SNAPSHOTS, self.snapshot, spec)
        await self._until(VOLUME_SNAPSHOTS, self.snapshot, _ready, "be ready to use")
        await self._remove(DATA_VOLUMES, self.source)
        await self._remove(PVCS, self.source)
        try:
            await self._volume(self.restored, {"snapshot": {"namespace": namespace, "name": self.snapshot}})
        except WaitTimeout as error:
            raise _dies(self.storage, f"a restore that does not end: {error.last_seen}") from error
        snapshot = await self.kube.find(VOLUME_SNAPSHOTS, self.snapshot, namespace)
        if not _ready(snapshot):
            raise _dies(self.storage, described(snapshot))

    async def clean(self) -> None:
        """Nothing of a proof is left."""
        for resource, name in (
            (DATA_VOLUMES, self.source),
            (DATA_VOLUMES, self.restored),
            (PVCS, self.source),
            (PVCS, self.restored),
            (VOLUME_SNAPSHOTS, self.snapshot),
        ):
            await self._remove(resource, name)

    async def _volume(self, name: str, source: Object) -> None:
        """A DataVolume, Succeeded, also of a class that binds at first use."""
        wanted = {"storageClassName": self.storage, "resources": {"requests": {"storage": SIZE}}}
        await self._create(DATA_VOLUMES, name, {"source": source, "storage": wanted}, BIND_NOW)

        def succeeded(seen: Object | None) -> bool | None:
            return True if ((seen or {}).get("status") or {}).get("phase") == "Succeeded" else None

        await self._until(DATA_VOLUMES, name, succeeded, "be filled")

    async def _create(
        self, resource: Resource, name: str, spec: Object, annotations: Mapping[str, str] | None = None
    ) -> None:
        wanted = resource.manifest(name, self.settings.templates_namespace, labels=pool_labels(self.pool), spec=spec)
        wanted["metadata"]["annotations"] = dict(annotations or {})
        try:
            with suppress(AlreadyExists):
                await self.kube.create(resource, wanted)
        except NotFound as error:
            raise SnapshotFailed(
                f"{resource.kind}s cannot be made",
                expected="CDI and a CSI snapshotter on the host cluster",
                actual=error.message,
                cure="install them",
            ) from error

    async def _remove(self, resource: Resource, name: str) -> None:
        found = await self.kube.find(resource, name, self.settings.templates_namespace)
        if found is None:
            return
        await remove_exactly(self.kube, resource, found)
        await self._until(resource, name, lambda seen: True if seen is None else None, "go")

    async def _until(self, resource: Resource, name: str, check: Callable[[Object | None], T | None], what: str) -> T:
        namespace, timeout = self.settings.templates_namespace, self.settings.snapshot_timeout
        text = f"{resource.kind} {namespace}/{name} to {what}"
        return await self.watching.until(resource, name, namespace, check, timeout=timeout, what=text)


def _ready(snapshot: Object | None) -> bool | None:
    status = (snapshot or {}).get("status") or {}
    return True if status.get("readyToUse") and not status.get("error") else None


def _dies(storage: str, actual: str) -> SnapshotFailed:
    return SnapshotFailed(
        f"snapshots of storage class {storage}",
        expected="snapshots that outlive their volume",
        actual=actual,
        cure="choose another class or snapshot type (Longhorn: type bak) with spec.machines.storageClass of the Pool",
    )
