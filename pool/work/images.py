"""Golden images: disks in the templates' namespace that clusters are cloned from, imported once, removed when unused.

An image is known by what it is (pool.kubevirt.manifests.wanted_image): another URL is another disk, beside the old one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

from pool.core.clusters import POOL_UID_LABEL, ClonedImage, PooledCluster
from pool.core.errors import AlreadyExists, NotOurs, VMFailed, WaitTimeout
from pool.core.pools import Pool
from pool.core.settings import Settings
from pool.kube.client import Kube, Object
from pool.kube.gather import gather
from pool.kube.resources import DATA_VOLUMES, PVCS, VMS, Resource
from pool.kube.watching import Watching
from pool.kubevirt.cluster import Cluster
from pool.kubevirt.machines import image_of
from pool.kubevirt.manifests import IMAGE_LABEL, image_disk, wanted_image
from pool.kubevirt.ownership import Owner, labels_of, named, owner, remove_exactly, whose
from pool.state import PoolState

RESTARTS = 3
"""How often CDI's importer fails before it is believed: its restarts take over a minute, as short outages do not."""


async def ensure_image(kube: Kube, watching: Watching, pool: Pool, settings: Settings) -> ClonedImage:
    """The image that the pool's clusters are to be cloned from, imported. A failed import is begun anew.

    Raises VMFailed (reason ImportFailed) when it fails or does not end in time, NotOurs.
    """
    image, namespace = wanted_image(pool), settings.templates_namespace
    found, claim = await gather(kube.find(kind, image.disk, namespace) for kind in (DATA_VOLUMES, PVCS))
    there = found or claim
    if there is not None and not _of_pool(there, pool):
        raise _not_ours(there, pool)
    # A disk without its DataVolume is imported: some versions of CDI remove those that are done.
    if found is None and claim is not None and not _goes(claim):
        return image
    if found is None or _failure(found) or _goes(found):
        if found is not None:
            await remove_exactly(kube, DATA_VOLUMES, found)
        await _gone(watching, DATA_VOLUMES, found, settings)
        await _gone(watching, PVCS, claim, settings)
        with suppress(AlreadyExists):
            await kube.create(DATA_VOLUMES, image_disk(pool, settings))

    def imported(volume: Object | None) -> bool | None:
        failure = _failure(volume)
        if failure:
            raise _import_failed(image, pool, failure)
        return True if _phase(volume) == "Succeeded" else None

    try:
        what = f"golden image {namespace}/{image.disk} to be imported"
        await watching.until(DATA_VOLUMES, image.disk, namespace, imported, timeout=settings.import_timeout, what=what)
    except WaitTimeout as late:
        raise _import_failed(image, pool, f"not within {late.timeout:g} s: {late.last_seen}") from late
    return image


async def ensure_cluster_image(
    kube: Kube, watching: Watching, cluster: Cluster, pool: Pool, settings: Settings
) -> ClonedImage:
    """The image to clone the cluster's VMs from: what its first VM was made of, else what the pool wants by now.

    So both halves stem from one image, also when the Pool was changed between them. Raises what `ensure_image` does.
    """
    noted = await cloned_image(kube, cluster)
    if noted is not None and noted != wanted_image(pool):
        return noted
    # Also for what is cloned already: should the disk have gone in the moment before, the clone waits for it.
    return await ensure_image(kube, watching, pool, settings)


async def cloned_image(kube: Kube, cluster: Cluster) -> ClonedImage | None:
    """What the cluster's disks were cloned from, as its VMs have it noted; None if it has none of its own."""
    found = await gather(kube.find(VMS, machine.name, machine.namespace) for machine in cluster.machines)
    own = [image_of(vm) for vm in found if vm is not None and owner(vm, cluster) is Owner.CLUSTER]
    return next((image for image in own if image is not None), None)


def unused_images(disks: Iterable[Object], clusters: Sequence[PooledCluster], pool: Pool) -> list[Object]:
    """Those of the disks (DataVolumes or PVCs of the templates' namespace) that can go. Pure.

    One of the pool's stays while it is the wanted one of a Pool that stays, or while a cluster stems from it, whatever
    pool that is of; none goes while a cluster cannot be read. Read the disks first, then the Pool and the clusters.
    """
    if any(cluster.unreadable for cluster in clusters):
        return []
    kept = {cluster.status.image.disk for cluster in clusters if cluster.status.image is not None}
    if pool.metadata.deletion_timestamp is None:
        kept.add(wanted_image(pool).disk)
    images = [disk for disk in disks if _of_pool(disk, pool) and IMAGE_LABEL in labels_of(disk)]
    return [disk for disk in images if disk["metadata"]["name"] not in kept]


async def remove_unused_images(kube: Kube, state: PoolState, pool: Pool) -> list[str]:
    """Remove the pool's images that nothing stems from and nobody wants; returns the names of their disks.

    The disks are read before the Pool and the clusters, and a cluster records its image before it clones it: so one
    that is wanted anew is seen. What is wanted anew in the moment that it goes is imported again by the next attempt.
    """
    disks = {}
    for kind in (DATA_VOLUMES, PVCS):
        labels = f"{POOL_UID_LABEL}={pool.metadata.uid}"
        disks[kind] = await kube.list(kind, state.settings.templates_namespace, labels=labels)
    wanted, clusters = await state.pool(pool.name), await state.clusters()
    if wanted.metadata.uid != pool.metadata.uid:
        return []
    removed = set()
    for kind, found in disks.items():
        for disk in unused_images(found, clusters, wanted):
            removed.add(str(disk["metadata"]["name"]))
            # A claim goes with its DataVolume, if that is still there.
            await remove_exactly(kube, kind, disk)
    return sorted(removed)


async def import_failure(kube: Kube, pool: Pool, settings: Settings) -> str:
    """Why the image that the pool wants cannot be imported; empty if nothing is known against it."""
    image = wanted_image(pool)
    found = await kube.find(DATA_VOLUMES, image.disk, settings.templates_namespace)
    failure = _failure(found) if found is not None and _of_pool(found, pool) else ""
    return str(_import_failed(image, pool, failure)) if failure else ""


def _goes(disk: Object) -> bool:
    """Whether the disk is on its way out; a claim that still has a DataVolume for its owner follows that one."""
    owners = disk["metadata"].get("ownerReferences") or []
    return "deletionTimestamp" in disk["metadata"] or any(one["kind"] == DATA_VOLUMES.kind for one in owners)


async def _gone(watching: Watching, resource: Resource, disk: Object | None, settings: Settings) -> None:
    """Wait until the disk, if there is one, is gone: what is left of an import would be taken for the next one's."""
    if disk is None:
        return
    what = f"{named(disk)} of an earlier import to be deleted"
    await watching.gone(resource, disk, timeout=settings.delete_timeout, what=what)


def _failure(volume: Object | None) -> str:
    """Why the import will not succeed by waiting, else empty. CDI: an importer that fails is started again for ever."""
    status = (volume or {}).get("status") or {}
    running = [one for one in status.get("conditions") or [] if one["type"] == "Running" and one["status"] == "False"]
    said = " ".join(str(one.get("message", "")) for one in running if one.get("reason") == "Error")
    if status.get("phase") == "Failed":
        return said or "phase Failed"
    return said if int(status.get("restartCount") or 0) >= RESTARTS else ""


def _import_failed(image: ClonedImage, pool: Pool, actual: str) -> VMFailed:
    return VMFailed(
        f"golden image {image.url}",
        reason="ImportFailed",
        expected=f"its import into disk {image.disk}",
        actual=actual,
        cure=f"mend spec.image.url (kubectl edit pool {pool.name}) or its registry; existing clusters stay as they are",
    )


def _not_ours(disk: Object, pool: Pool) -> NotOurs:
    return NotOurs(
        f"{named(disk)} is not of pool {pool.name}",
        expected=f"label {POOL_UID_LABEL}={pool.metadata.uid}",
        actual=whose(disk),
        cure="it is left alone; remove it, or set CKS_POOL_TEMPLATES_NAMESPACE to another namespace",
    )


def _of_pool(disk: Object, pool: Pool) -> bool:
    return labels_of(disk).get(POOL_UID_LABEL) == pool.metadata.uid


def _phase(volume: Object | None) -> str:
    return str(((volume or {}).get("status") or {}).get("phase", ""))
