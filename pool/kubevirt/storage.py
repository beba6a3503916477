"""Which storage and snapshot classes KubeVirt takes for a pool's disks."""

from __future__ import annotations

from pool.core.errors import InvalidInput, SnapshotFailed
from pool.core.pools import Pool
from pool.kube.client import Kube, Object
from pool.kube.resources import STORAGE_CLASSES, STORAGE_PROFILES, VOLUME_SNAPSHOT_CLASSES

DEFAULTS = ("storageclass.kubevirt.io/is-default-virt-class", "storageclass.kubernetes.io/is-default-class")
"""What marks the default class of VM disks; CDI asks for the first one first."""
DEFAULT_SNAPSHOT_CLASS = "snapshot.storage.kubernetes.io/is-default-class"


async def storage_class(kube: Kube, pool: Pool) -> Object:
    """The storage class of the pool's disks: the one it names, else the one that CDI takes by default.

    Raises InvalidInput when there is none.
    """
    wanted = pool.spec.machines.storage_class
    found = await kube.list(STORAGE_CLASSES)
    chosen = [one for one in found if one["metadata"]["name"] == wanted] if wanted else default_classes(found)
    if chosen:
        return chosen[0]
    raise InvalidInput(
        "storage class",
        expected=wanted or "a default one",
        actual=_names(found),
        cure=f"name one in spec.machines.storageClass of Pool {pool.name}",
    )


def default_classes(found: list[Object]) -> list[Object]:
    """The default classes of VM disks, the one that is taken first. Pure.

    CDI and Kubernetes: of several with one mark the newest, of those the first by name.
    """
    chosen: list[Object] = []
    for mark in DEFAULTS:
        marked = sorted((one for one in found if _annotations(one).get(mark) == "true"), key=_name)
        chosen += sorted(marked, key=lambda one: str(one["metadata"].get("creationTimestamp", "")), reverse=True)
    return chosen


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


def _name(obj: Object) -> str:
    return str(obj["metadata"]["name"])


def _names(found: list[Object]) -> str:
    return ", ".join(one["metadata"]["name"] for one in found) or "none"


def _annotations(obj: Object) -> dict[str, str]:
    return obj["metadata"].get("annotations") or {}
