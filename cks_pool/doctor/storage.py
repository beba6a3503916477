"""Of each Pool: a storage class that snapshots, and its golden image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cks_pool.doctor.checking import Check
from cks_pool.doctor.findings import Verdict, error, ok, skipped, warning, without_cure, worst_of
from pool.core.errors import InvalidInput, PoolError, SnapshotFailed
from pool.core.pools import Pool
from pool.kube.gather import gather
from pool.kube.resources import CONFIG_MAPS, DATA_VOLUMES, PVCS
from pool.kubevirt.import_failures import trouble_of
from pool.kubevirt.manifests import wanted_image
from pool.kubevirt.preflight import PROVED
from pool.kubevirt.storage import snapshot_class, storage_class
from pool.work.images import import_failure
from pool.work.steps import Host

NO_POOLS = "there is no Pool yet"


async def pools_of(host: Host) -> list[Pool]:
    """All Pools of the namespace."""
    return await gather(host.state.pool(name) for name in await host.state.pool_names())


@dataclass(frozen=True)
class Storage:
    """The storage of one Pool. `trouble`: why there is none; `proved`: its snapshots outlived their volumes once."""

    pool: str
    storage_class: str = ""
    snapshot_class: str = ""
    proved: bool = False
    trouble: PoolError | None = None


async def look_storage(host: Host) -> list[Storage]:
    """Which classes the Pools' disks take."""
    noted = await host.kube.find(CONFIG_MAPS, PROVED, host.settings.templates_namespace)
    proved: dict[str, str] = (noted or {}).get("data") or {}

    async def one(pool: Pool) -> Storage:
        try:
            storage = await storage_class(host.kube, pool)
            name, uid = storage["metadata"]["name"], storage["metadata"]["uid"]
            return Storage(pool.name, name, await snapshot_class(host.kube, storage), proved.get(name) == uid)
        except (InvalidInput, SnapshotFailed) as trouble:
            return Storage(pool.name, trouble=trouble)

    return await gather(one(pool) for pool in await pools_of(host))


def judge_storage(found: Sequence[Storage]) -> Verdict:
    """Each Pool has a class whose disks can be snapshotted."""
    return worst_of([_judge_storage(one) for one in found]) if found else skipped(NO_POOLS)


def _judge_storage(found: Storage) -> Verdict:
    if found.trouble is not None:
        return error(f"pool {found.pool}: {without_cure(found.trouble)}", found.trouble.cure)
    proof = "proved" if found.proved else "not proved yet, the first golden snapshots do that"
    classes = f"{found.storage_class}, snapshots by {found.snapshot_class}"
    return ok(f"pool {found.pool}: {classes}; that they outlive their disk is {proof}")


@dataclass(frozen=True)
class Image:
    """The golden image of one Pool. `phase`: of its DataVolume, empty if there is none; `disk`: its claim is there."""

    pool: str
    url: str
    phase: str = ""
    progress: str = ""
    disk: bool = False
    failure: str = ""
    trouble: str = ""


async def look_images(host: Host) -> list[Image]:
    """How far the Pools' images are."""

    async def one(pool: Pool) -> Image:
        name, namespace = wanted_image(pool).disk, host.settings.templates_namespace
        volume, claim = await gather(host.kube.find(kind, name, namespace) for kind in (DATA_VOLUMES, PVCS))
        status = (volume or {}).get("status") or {}
        return Image(
            pool.name,
            pool.spec.image.url,
            str(status.get("phase", "")),
            str(status.get("progress", "")),
            claim is not None,
            await import_failure(host.kube, pool, host.settings),
            trouble_of(volume),
        )

    return await gather(one(pool) for pool in await pools_of(host))


def judge_images(found: Sequence[Image]) -> Verdict:
    """Each is imported, or on its way."""
    return worst_of([_judge_image(one) for one in found]) if found else skipped(NO_POOLS)


def _judge_image(found: Image) -> Verdict:
    of = f"pool {found.pool}: {found.url}"
    if found.failure:
        return error(f"pool {found.pool}: {found.failure}", f"kubectl edit pool {found.pool}")
    if found.phase == "Succeeded" or (found.disk and not found.phase):
        return ok(f"{of} is imported")
    if found.trouble:
        return warning(f"{of} does not come: {found.trouble}", "if that lasts, see the importer's pod in vm-templates")
    if found.phase:
        return ok(f"{of} is being imported: {found.phase} {found.progress}".rstrip())
    return warning(f"{of} is not imported yet", "cks-pool run create-namespaces, or bootstrap-pool, does it")


CHECKS = (
    Check("storage", look_storage, judge_storage),
    Check("golden-image", look_images, judge_images),
)
