"""An image is known by what it is: two URLs are two disks, each kept while a cluster stems from it, then removed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from pool.core.clusters import ClonedImage, OperationKind, PooledCluster
from pool.core.errors import NotOurs, VMFailed
from pool.core.pools import Pool
from pool.kube.client import Kube, Object
from pool.kube.resources import DATA_VOLUMES, POOLED_CLUSTERS, POOLS, PVCS, VMS
from pool.kube.watching import Watching
from pool.kubevirt.machines import ensure_vm
from pool.kubevirt.manifests import image_disk, image_of, wanted_image
from pool.work.bootstrap import bootstrap, ensure_secrets
from pool.work.images import (
    cloned_image,
    ensure_cluster_image,
    ensure_image,
    import_failure,
    remove_unused_images,
    unused_images,
)
from pool.work.namespaces import ensure_templates_namespace
from pool.work.rebuild import rebuild
from simulator.app import Simulator
from simulator.faults.troubles import Trouble, TroubleKind
from tests.pool.bench import SETTINGS, Bench
from tests.pool.builders import cluster, pool
from tests.pool.lab import Lab

OLD, NEW = (
    pool(image={"url": "docker://registry.example/node:1"}),
    pool(image={"url": "docker://registry.example/node:2"}),
)
BAD = pool(image={"url": "docker://nowhere.invalid/node:1"})
OTHER = pool("other")

T = TypeVar("T")


@pytest.mark.parametrize(
    "changed",
    [
        {"image": {"url": "docker://registry.example/node:2"}},
        {"machines": {"disk": "30Gi"}},
        {"machines": {"storage_class": "fast"}},
    ],
)
def test_another_url_size_or_class_is_another_disk(changed: dict[str, Any]) -> None:
    assert wanted_image(pool()) == wanted_image(pool())
    assert wanted_image(pool(**changed)).disk != wanted_image(pool()).disk
    assert wanted_image(pool(size=7, machines={"cpu": 8})) == wanted_image(pool())
    assert wanted_image(OTHER).disk != wanted_image(pool()).disk


def stems_from(of: Pool, name: str = "cluster1") -> PooledCluster:
    return cluster(name, image=wanted_image(of))


@pytest.mark.parametrize(
    ("clusters", "wants", "gone"),
    [
        pytest.param([], NEW, [OLD], id="wanted ones stay"),
        pytest.param([stems_from(OLD)], NEW, [], id="and those that a cluster stems from"),
        pytest.param([stems_from(NEW), cluster("c2")], NEW, [OLD], id="all others go"),
        pytest.param([stems_from(NEW)], pool(removing=True, image=NEW.spec.image), [OLD], id="a deleted Pool's"),
        pytest.param([], pool(removing=True), [OLD, NEW], id="a deleted Pool wants none"),
    ],
)
def test_which_images_are_unused(clusters: list[PooledCluster], wants: Pool, gone: list[Pool]) -> None:
    foreign = DATA_VOLUMES.manifest("golden-by-hand", "vm-templates", labels={"team": "training"})
    proof = DATA_VOLUMES.manifest("preflight-source", "vm-templates", labels={"cks.io/pool-uid": OLD.metadata.uid})
    disks = [image_disk(one, SETTINGS) for one in (OLD, NEW, OTHER)] + [foreign, proof]
    found = unused_images(disks, clusters, wants)
    assert [disk["metadata"]["name"] for disk in found] == [wanted_image(one).disk for one in gone]


@pytest.fixture
async def templates(bench: Bench) -> Bench:
    await ensure_templates_namespace(bench.kube, bench.settings)
    return bench


async def disks(bench: Bench) -> dict[str, str]:
    """URLs of the images' disks by name, claims beside their DataVolumes."""
    volumes = await bench.kube.list(DATA_VOLUMES, "vm-templates")
    claims = {claim["metadata"]["name"] for claim in await bench.kube.list(PVCS, "vm-templates")}
    assert claims >= {volume["metadata"]["name"] for volume in volumes}
    return {one["metadata"]["name"]: one["spec"]["source"]["registry"]["url"] for one in volumes}


async def imported(bench: Bench, of: Pool) -> ClonedImage:
    return await ensure_image(bench.kube, bench.watching, of, bench.settings)


async def test_each_image_has_a_disk_that_says_what_it_is_and_whose(templates: Bench) -> None:
    old, new = await imported(templates, OLD), await imported(templates, NEW)
    assert await disks(templates) == {old.disk: old.url, new.disk: new.url}
    found = await templates.kube.get(DATA_VOLUMES, old.disk, "vm-templates")
    assert found["metadata"]["labels"]["cks.io/pool"] == "default"
    assert found["metadata"]["labels"]["cks.io/pool-uid"] == OLD.metadata.uid
    assert found["metadata"]["annotations"]["cks.io/image-url"] == old.url
    assert await imported(templates, OLD) == old
    assert templates.wire.calls["create", "datavolumes"] == 2


@pytest.fixture
async def lab(templates: Bench) -> AsyncIterator[Lab]:
    """The pool's resources on the same host."""
    assert templates.simulator.kubeconfig_path is not None
    async with Lab.open(templates.simulator.kubeconfig_path, templates.settings) as opened:
        yield opened


async def test_an_image_goes_with_the_last_cluster_that_stems_from_it(templates: Bench, lab: Lab) -> None:
    wants = await lab.state.pool()
    old, others = await imported(templates, wants), await imported(templates, OTHER)
    await lab.add("cluster1", image=old)
    change = {"spec": {"image": {"url": NEW.spec.image.url}}}
    new = await imported(templates, Pool.from_object(await lab.kube.patch(POOLS, wants.name, change, "cks-pool")))

    # The Pool as it was read before it was changed: what it wants by now stays as well.
    assert await remove_unused_images(lab.kube, lab.state, wants) == []
    made_anew = {"status": {"image": new.model_dump()}}
    await lab.kube.patch(POOLED_CLUSTERS, "cluster1", made_anew, "cks-pool", subresource="status")
    assert await remove_unused_images(lab.kube, lab.state, wants) == [old.disk]
    for kind in (DATA_VOLUMES, PVCS):
        await templates.watching.until(
            kind, old.disk, "vm-templates", lambda seen: True if seen is None else None, timeout=10, what="it to go"
        )
    assert await disks(templates) == {new.disk: new.url, others.disk: others.url}


async def test_an_import_that_fails_says_so_with_the_cure(templates: Bench) -> None:
    with pytest.raises(VMFailed) as raised:
        await imported(templates, BAD)
    assert raised.value.reason == "ImportFailed"
    assert "lookup nowhere.invalid: no such host" in str(raised.value)
    assert "mend spec.image.url" in raised.value.cure
    assert "kubectl edit pool default" in raised.value.cure
    assert "existing clusters stay as they are" in raised.value.cure


async def test_an_import_that_takes_too_long_says_so_alike(templates: Bench) -> None:
    impatient = templates.settings.model_copy(update={"import_timeout": 0.05})
    templates.simulator.troubles.add(Trouble(TroubleKind.PENDING_PVC))
    with pytest.raises(VMFailed, match=r"golden image docker.*not within 0.05 s.*spec\.image\.url"):
        await ensure_image(templates.kube, templates.watching, OLD, impatient)


async def test_an_import_whose_cause_is_mended_succeeds_with_the_next_run(templates: Bench) -> None:
    trouble = templates.simulator.troubles.add(Trouble(TroubleKind.FAIL_IMPORT, message="unauthorized"))
    with pytest.raises(VMFailed, match="unauthorized"):
        await imported(templates, OLD)
    assert "unauthorized" in await import_failure(templates.kube, OLD, templates.settings), "the Pool's status says it"
    templates.simulator.troubles.remove(trouble)
    assert await disks(templates) == {wanted_image(OLD).disk: OLD.spec.image.url}
    assert await imported(templates, OLD) == wanted_image(OLD)
    assert await import_failure(templates.kube, OLD, templates.settings) == ""


async def test_a_failed_import_is_begun_anew(api_server: Simulator) -> None:
    impatient = SETTINGS.model_copy(update={"import_timeout": 0.2})
    async with Kube.connect(api_server.kubeconfig_path) as kube, Watching(kube) as watching:
        await ensure_templates_namespace(kube, impatient)
        failed = await kube.create(DATA_VOLUMES, image_disk(OLD, impatient))
        failed["status"] = {"phase": "Failed"}
        await kube.replace(DATA_VOLUMES, failed, subresource="status")
        with pytest.raises(VMFailed, match=r"not within 0\.2 s"):
            await ensure_image(kube, watching, OLD, impatient)
        again = await kube.get(DATA_VOLUMES, wanted_image(OLD).disk, "vm-templates")
        assert again["metadata"]["uid"] != failed["metadata"]["uid"]


async def test_a_disk_that_is_wanted_anew_while_it_goes_is_imported_again(templates: Bench) -> None:
    kube, disk = templates.kube, (await imported(templates, OLD)).disk
    before = await kube.get(PVCS, disk, "vm-templates")
    await kube.patch(PVCS, disk, {"metadata": {"finalizers": ["example.com/is-cloned"]}}, "vm-templates")
    await kube.delete(DATA_VOLUMES, disk, "vm-templates")
    again = asyncio.create_task(imported(templates, OLD))
    await templates.watching.until(PVCS, disk, "vm-templates", goes, timeout=10, what="the disk to be deleted")
    assert not again.done()
    await kube.patch(PVCS, disk, {"metadata": {"finalizers": None}}, "vm-templates")
    await again
    assert (await kube.get(PVCS, disk, "vm-templates"))["metadata"]["uid"] != before["metadata"]["uid"]


def goes(disk: Object | None) -> bool | None:
    return True if disk is not None and "deletionTimestamp" in disk["metadata"] else None


async def test_a_cluster_whose_image_goes_before_it_was_cloned_is_made_by_the_next_attempt(bench: Bench) -> None:
    await bench.prepare()
    disk, removals = wanted_image(bench.pool).disk, 0

    async def run_step(name: str, _cluster_id: str, work: Callable[[], Awaitable[T]]) -> T:
        nonlocal removals
        done = await work()
        if name == "ensure-image" and not removals:
            removals += 1
            await bench.kube.delete(DATA_VOLUMES, disk, "vm-templates")
            await bench.watching.until(
                PVCS, disk, "vm-templates", lambda seen: True if seen is None else None, timeout=10, what="it to go"
            )
        return done

    host = replace(bench.host(provision_timeout=1.0), run_step=run_step)
    await bootstrap(host, "cluster1", run_id="run")
    assert {source(vm) for vm in await bench.kube.list(VMS, "cluster1")} == {disk}


async def test_a_disk_of_that_name_that_is_somebody_elses_is_not_taken(templates: Bench) -> None:
    theirs = image_disk(OLD, templates.settings)
    theirs["metadata"]["labels"] = {"team": "training"}
    await templates.kube.create(DATA_VOLUMES, theirs)
    with pytest.raises(NotOurs, match="is not of pool default"):
        await imported(templates, OLD)


def source(vm: Object) -> str:
    return str(vm["spec"]["dataVolumeTemplates"][0]["spec"]["source"]["pvc"]["name"])


async def test_a_new_image_is_what_a_rebuild_clones_and_the_record_says_so(bench: Bench) -> None:
    await bench.bootstrap()
    old = wanted_image(bench.pool)
    await bench.want(image={"url": NEW.spec.image.url})
    new = wanted_image(bench.pool)
    assert await cloned_image(bench.kube, bench.cluster) == old
    assert (await bench.pooled()).status.image == old

    await bench.demolish(bench.cluster)
    assert await cloned_image(bench.kube, bench.cluster) is None
    bench.grace_is_over()
    await rebuild(bench.host(), "cluster1", run_id="another")

    assert await cloned_image(bench.kube, bench.cluster) == new
    assert (await bench.pooled()).status.image == new
    for vm in await bench.kube.list(VMS, "cluster1"):
        assert source(vm) == new.disk
        disk = await bench.kube.get(DATA_VOLUMES, new.disk, "vm-templates")
        assert disk["spec"]["source"]["registry"]["url"] == NEW.spec.image.url


async def test_both_vms_stem_from_one_image_also_if_the_pool_changes_between_them(bench: Bench) -> None:
    await bench.prepare()
    old = wanted_image(bench.pool)
    async with bench.interrupted(OperationKind.BOOTSTRAP, "dead") as job:
        await ensure_secrets(job, bench.pool)
        await ensure_vm(job.fence, bench.cluster.control_plane, bench.pool, old, bench.settings)
    bench.grace_is_over()
    await bench.want(image={"url": NEW.spec.image.url})

    image = await ensure_cluster_image(bench.kube, bench.watching, bench.cluster, bench.pool, bench.settings)
    assert image == old
    await bench.bootstrap()

    assert {source(vm) for vm in await bench.kube.list(VMS, "cluster1")} == {old.disk}
    assert (await bench.pooled()).status.image == old


async def test_what_a_vm_was_cloned_from_is_known_after_its_resets(bench: Bench) -> None:
    await bench.bootstrap()
    await bench.take_golden()
    await bench.reset()
    for vm in await bench.kube.list(VMS, "cluster1"):
        assert image_of(vm) == wanted_image(bench.pool)
    assert image_of(VMS.manifest("by-hand", "cluster1")) is None
