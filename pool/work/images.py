"""Golden images: disks in the templates' namespace that clusters are cloned from, imported once, removed when unused.

An image is known by what it is (pool.kubevirt.manifests.wanted_image): another URL is another disk, beside the old one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TypeVar

from pool.core.clusters import POOL_UID_LABEL, ClonedImage, PooledCluster
from pool.core.errors import AlreadyExists, Invalid, InvalidInput, NotOurs, WaitTimeout
from pool.core.image_sources import checked, outdated
from pool.core.pools import Pool
from pool.core.settings import Settings
from pool.kube.client import Kube, Object
from pool.kube.gather import gather
from pool.kube.resources import DATA_VOLUMES, PVCS, VMS, Resource
from pool.kube.watching import Watching
from pool.kubevirt.cluster import Cluster
from pool.kubevirt.import_failures import failure_of, import_failed, trouble_of
from pool.kubevirt.manifests import IMAGE_LABEL, image_disk, image_of, wanted_image
from pool.kubevirt.ownership import Owner, labels_of, named, owner, remove_exactly, whose
from pool.kubevirt.sources import check_source, is_compared, is_from
from pool.state import PoolState

T = TypeVar("T")

DROPPED = "checksum dropped: this CDI compares none, version 1.65 and newer do"

PATIENCE = 30.0
"""Seconds that what keeps an image from coming may last before it is believed: rights, sources, Secrets may be under
way."""


async def ensure_image(
    kube: Kube, watching: Watching, pool: Pool, settings: Settings, *, patience: float = PATIENCE
) -> ClonedImage:
    """The image that the pool's clusters are to be cloned from, imported. A failed import is begun anew.

    Raises VMFailed (reason ImportFailed) when it fails or does not end in time, InvalidInput for an image that cannot
    be, NotOurs.
    """
    image, namespace = wanted_image(pool), settings.templates_namespace
    found, claim = await gather(kube.find(kind, image.disk, namespace) for kind in (DATA_VOLUMES, PVCS))
    there = found or claim
    if there is not None and not _of_pool(there, pool):
        raise _not_ours(there, pool)
    # A disk without its DataVolume is imported: some versions of CDI remove those that are done.
    if found is None and claim is not None and not _goes(claim):
        return image
    if found is None or _is_void(found, pool):
        await check_source(kube, pool.spec.image, namespace)
        if found is not None:
            await remove_exactly(kube, DATA_VOLUMES, found)
        await _gone(watching, DATA_VOLUMES, found, settings)
        await _gone(watching, PVCS, claim, settings)
        await _create(kube, pool, settings)
    await _wait_imported(kube, watching, pool, settings, patience)
    return image


def _is_void(found: Object, pool: Pool) -> bool:
    """Whether the import is to be begun anew: it failed, goes, or is made otherwise than it is to be made now."""
    image = pool.spec.image
    if failure_of(found) or _goes(found) or not is_compared(found, image):
        return True
    return _phase(found) != "Succeeded" and not is_from(found, image)


async def _create(kube: Kube, pool: Pool, settings: Settings) -> None:
    try:
        with suppress(AlreadyExists):
            await kube.create(DATA_VOLUMES, image_disk(pool, settings))
    except Invalid as error:
        # CDI asks for the right to clone from another namespace, and looks the source up.
        raise import_failed(pool, error.message) from error


async def _wait_imported(kube: Kube, watching: Watching, pool: Pool, settings: Settings, patience: float) -> None:
    """Wait until the disk is filled. Raises VMFailed, at once for a failure, after `patience` seconds for a trouble."""
    image, namespace = wanted_image(pool), settings.templates_namespace
    deadline = asyncio.get_running_loop().time() + settings.import_timeout

    def seen(volume: Object | None) -> str | None:
        failure = failure_of(volume)
        if failure:
            raise import_failed(pool, failure)
        if volume is not None and not is_compared(volume, pool.spec.image):
            return DROPPED
        return "" if _phase(volume) == "Succeeded" else trouble_of(volume) or None

    def untroubled(volume: Object | None) -> bool | None:
        return None if seen(volume) else True

    async def until(check: Callable[[Object | None], T | None], timeout: float) -> T:
        what = f"golden image {namespace}/{image.disk} to be imported"
        left = max(0.0, min(timeout, deadline - asyncio.get_running_loop().time()))
        return await watching.until(DATA_VOLUMES, image.disk, namespace, check, timeout=left, what=what)

    try:
        while trouble := await until(seen, settings.import_timeout):
            if trouble == DROPPED:
                await _remove_unchecked(kube, pool, settings)
                raise import_failed(pool, trouble)
            try:
                await until(untroubled, patience)
            except WaitTimeout:
                raise import_failed(pool, trouble) from None
    except WaitTimeout as late:
        raise import_failed(pool, f"not within {settings.import_timeout:g} s: {late.last_seen}") from late


async def _remove_unchecked(kube: Kube, pool: Pool, settings: Settings) -> None:
    """Remove what nobody compares the checksum of: some CDIs remove DataVolumes that are done, and leave their disk."""
    found = await kube.find(DATA_VOLUMES, wanted_image(pool).disk, settings.templates_namespace)
    if found is not None and not is_compared(found, pool.spec.image):
        await remove_exactly(kube, DATA_VOLUMES, found)


async def ensure_cluster_image(
    kube: Kube, watching: Watching, cluster: Cluster, pool: Pool, settings: Settings
) -> ClonedImage:
    """The image to clone the cluster's VMs from: what its first VM was made of, else what the pool wants by now.

    So both halves stem from one image, also when the Pool was changed between them. Raises what `ensure_image` does.
    """
    noted, wanted = await cloned_image(kube, cluster), wanted_image(pool)
    if noted is not None and (noted.disk != wanted.disk or outdated(noted, pool.spec.image)):
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
    try:
        checked(pool.spec.image)
    except InvalidInput as error:
        return str(error)
    found = await kube.find(DATA_VOLUMES, wanted_image(pool).disk, settings.templates_namespace)
    failure = failure_of(found) if found is not None and _of_pool(found, pool) else ""
    return str(import_failed(pool, failure)) if failure else ""


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
