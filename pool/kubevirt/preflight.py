"""Whether a storage class can carry the pool: a snapshot must outlive the volume that it was taken of.

Every reset deletes the disk that the golden snapshot was taken of. On most storage the snapshot is independent; on
some (Longhorn's `type: snap`) it lives inside the volume and dies with it, while its object may still say ready. So,
once per class: make a volume, snapshot it, delete it, and make another one of the snapshot.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from pool.core.errors import AlreadyExists, InvalidInput, NotFound, SnapshotFailed, WaitTimeout
from pool.core.settings import Settings
from pool.kube.client import Kube, Object
from pool.kube.resources import (
    DATA_VOLUMES,
    NAMESPACES,
    PVCS,
    STORAGE_CLASSES,
    STORAGE_PROFILES,
    VOLUME_SNAPSHOT_CLASSES,
    VOLUME_SNAPSHOTS,
    Resource,
)
from pool.kube.watching import Watching, described

T = TypeVar("T")

PROVED = "cks.io/proved-storage"
"""On the templates namespace: JSON, the UIDs of the storage classes that were proved, by name."""
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
DEFAULT_SNAPSHOT_CLASS = "snapshot.storage.kubernetes.io/is-default-class"
SIZE = "1Gi"


async def ensure_storage_proved(kube: Kube, watching: Watching, settings: Settings) -> str:
    """The name of the pool's storage class, proved to keep snapshots when their volumes go; proved once per class.

    Raises InvalidInput when there is no such class, SnapshotFailed when its snapshots do not outlive
    their volumes, WaitTimeout naming the step that did not end.
    """
    storage = await storage_class(kube, settings)
    name, uid = storage["metadata"]["name"], storage["metadata"]["uid"]
    namespace = await kube.get(NAMESPACES, settings.templates_namespace)
    proved: dict[str, str] = json.loads(_annotations(namespace).get(PROVED, "{}"))
    if proved.get(name) == uid:
        return str(name)
    try:
        await _prove(kube, watching, settings, name, await snapshot_class(kube, storage))
    finally:
        await _clean(kube, watching, settings)
    noted = json.dumps({**proved, name: uid}, sort_keys=True)
    change = {"metadata": {"annotations": {PROVED: noted}}}
    await kube.patch(NAMESPACES, settings.templates_namespace, change)
    return str(name)


async def storage_class(kube: Kube, settings: Settings) -> Object:
    """The storage class of the pool's disks: the one in the settings, else the cluster's default.

    Raises InvalidInput when there is none.
    """
    found = await kube.list(STORAGE_CLASSES)
    for one in found:
        default = settings.storage_class is None and _annotations(one).get(DEFAULT_CLASS) == "true"
        if default or one["metadata"]["name"] == settings.storage_class:
            return one
    raise InvalidInput(
        "storage class",
        expected=settings.storage_class or "a default one",
        actual=_names(found),
        cure="name one with CKS_POOL_STORAGE_CLASS",
    )


async def snapshot_class(kube: Kube, storage: Object) -> str:
    """The VolumeSnapshotClass that KubeVirt takes for a storage class: the one that CDI's StorageProfile names, else
    the only one of its driver, else the default.

    KubeVirt: without one, disks are left out of snapshots in silence. Raises SnapshotFailed.
    """
    found = await kube.list(VOLUME_SNAPSHOT_CLASSES)
    profile = await kube.find(STORAGE_PROFILES, storage["metadata"]["name"]) or {}
    named = (profile.get("status") or {}).get("snapshotClass")
    if named:
        return _named(storage, str(named), found)
    found = [one for one in found if one["driver"] == storage["provisioner"]]
    chosen = found if len(found) == 1 else [one for one in found if DEFAULT_SNAPSHOT_CLASS in _annotations(one)]
    if len(chosen) != 1:
        raise SnapshotFailed(
            f"snapshots of storage class {storage['metadata']['name']}",
            expected=f"one VolumeSnapshotClass of driver {storage['provisioner']}, or one marked as default",
            actual=_names(found),
            cure=f"make one, or mark one with {DEFAULT_SNAPSHOT_CLASS}",
        )
    return str(chosen[0]["metadata"]["name"])


def _named(storage: Object, named: str, found: list[Object]) -> str:
    """KubeVirt: a name that leads nowhere is as good as no class."""
    if not any(one["metadata"]["name"] == named for one in found):
        raise SnapshotFailed(
            f"snapshots of storage class {storage['metadata']['name']}",
            expected=f"the VolumeSnapshotClass {named}, which its StorageProfile names",
            actual=_names(found),
            cure="make it, or name another in spec.snapshotClass of the StorageProfile",
        )
    return named


def _names(found: list[Object]) -> str:
    return ", ".join(one["metadata"]["name"] for one in found) or "none"


async def _prove(kube: Kube, watching: Watching, settings: Settings, storage: str, snapshot_class: str) -> None:
    namespace = settings.templates_namespace
    await _clean(kube, watching, settings)
    await _volume(kube, watching, settings, "preflight-source", storage, {"blank": {}})
    spec = {"source": {"persistentVolumeClaimName": "preflight-source"}, "volumeSnapshotClassName": snapshot_class}
    await _create(kube, VOLUME_SNAPSHOTS, VOLUME_SNAPSHOTS.manifest("preflight", namespace, spec=spec))
    await _until(watching, VOLUME_SNAPSHOTS, "preflight", _ready, "be ready to use", settings)
    await _remove(kube, watching, DATA_VOLUMES, "preflight-source", settings)
    await _remove(kube, watching, PVCS, "preflight-source", settings)
    source = {"snapshot": {"namespace": namespace, "name": "preflight"}}
    try:
        await _volume(kube, watching, settings, "preflight-restored", storage, source)
    except WaitTimeout as error:
        raise _dies(storage, f"a restore that does not end: {error.last_seen}") from error
    snapshot = await kube.find(VOLUME_SNAPSHOTS, "preflight", namespace)
    if not _ready(snapshot):
        raise _dies(storage, described(snapshot))


async def _volume(kube: Kube, watching: Watching, settings: Settings, name: str, storage: str, source: Object) -> None:
    """A DataVolume, Succeeded, also of a class that binds at first use."""
    wanted = {"storageClassName": storage, "resources": {"requests": {"storage": SIZE}}}
    made = DATA_VOLUMES.manifest(name, settings.templates_namespace, spec={"source": source, "storage": wanted})
    made["metadata"]["annotations"] = {"cdi.kubevirt.io/storage.bind.immediate.requested": "true"}
    await _create(kube, DATA_VOLUMES, made)

    def succeeded(seen: Object | None) -> bool | None:
        return True if ((seen or {}).get("status") or {}).get("phase") == "Succeeded" else None

    await _until(watching, DATA_VOLUMES, name, succeeded, "be filled", settings)


async def _clean(kube: Kube, watching: Watching, settings: Settings) -> None:
    for resource, name in (
        (DATA_VOLUMES, "preflight-source"),
        (DATA_VOLUMES, "preflight-restored"),
        (PVCS, "preflight-source"),
        (PVCS, "preflight-restored"),
        (VOLUME_SNAPSHOTS, "preflight"),
    ):
        await _remove(kube, watching, resource, name, settings)


async def _create(kube: Kube, resource: Resource, wanted: Object) -> None:
    try:
        with suppress(AlreadyExists):
            await kube.create(resource, wanted)
    except NotFound as error:
        raise SnapshotFailed(
            f"{resource.kind}s cannot be made",
            expected="CDI and a CSI snapshotter on the host cluster",
            actual=error.message,
            cure="install them",
        ) from error


async def _remove(kube: Kube, watching: Watching, resource: Resource, name: str, settings: Settings) -> None:
    if await kube.find(resource, name, settings.templates_namespace) is None:
        return
    await kube.delete(resource, name, settings.templates_namespace)
    await _until(watching, resource, name, lambda seen: True if seen is None else None, "go", settings)


async def _until(
    watching: Watching,
    resource: Resource,
    name: str,
    check: Callable[[Object | None], T | None],
    what: str,
    settings: Settings,
) -> T:
    namespace = settings.templates_namespace
    text = f"{resource.kind} {namespace}/{name} to {what}"
    return await watching.until(resource, name, namespace, check, timeout=settings.snapshot_timeout, what=text)


def _ready(snapshot: Object | None) -> bool | None:
    status = (snapshot or {}).get("status") or {}
    return True if status.get("readyToUse") and not status.get("error") else None


def _annotations(obj: Object) -> dict[str, str]:
    return obj["metadata"].get("annotations") or {}


def _dies(storage: str, actual: str) -> SnapshotFailed:
    return SnapshotFailed(
        f"snapshots of storage class {storage}",
        expected="snapshots that outlive their volume",
        actual=actual,
        cure="choose another class or snapshot type (Longhorn: type bak) with CKS_POOL_STORAGE_CLASS",
    )
