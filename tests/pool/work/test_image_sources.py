"""Images that come from elsewhere than a registry that anybody may read, and what is said when they do not come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from pool.core.errors import InvalidInput, VMFailed
from pool.core.pools import Pool
from pool.kube.client import Kube, Object
from pool.kube.gather import gather
from pool.kube.resources import (
    CONFIG_MAPS,
    DATA_SOURCES,
    DATA_VOLUMES,
    NAMESPACES,
    PVCS,
    SECRETS,
    VMS,
    VOLUME_SNAPSHOTS,
)
from pool.kube.watching import Watching
from pool.kubevirt.manifests import image_disk, wanted_image
from pool.work.images import ensure_image, import_failure
from pool.work.namespaces import ensure_templates_namespace
from simulator.app import Simulator
from simulator.faults.troubles import Trouble, TroubleKind
from tests.pool.bench import SETTINGS, Bench
from tests.pool.builders import pool

CHECKSUM = "sha256:" + "0a" * 32
THERE = {"namespace": "golden", "name": "node"}
PRIVATE = pool(
    image={"url": "docker://registry.example/node:v1.34.1", "pullSecret": "hub", "certificates": "registry-ca"}
)
FILE = pool(image={"url": "https://images.example/noble.img", "checksum": CHECKSUM})
CLAIM = pool(image={"url": "pvc://golden/node"})
DISK = {"resources": {"requests": {"storage": "20Gi"}}}


@pytest.fixture
async def templates(bench: Bench) -> Bench:
    await ensure_templates_namespace(bench.kube, bench.settings)
    return bench


async def there(kube: Kube) -> None:
    """An image in a namespace of its owners, as a claim, under a name, and as a snapshot."""
    await kube.create(NAMESPACES, NAMESPACES.manifest("golden"))
    disk = {"source": {"registry": {"url": "docker://registry.example/node:v1.34.1"}}, "storage": DISK}
    await kube.create(DATA_VOLUMES, DATA_VOLUMES.manifest("node", "golden", spec=disk))
    await kube.create(DATA_SOURCES, DATA_SOURCES.manifest("latest", "golden", spec={"source": {"pvc": THERE}}))
    taken = {"source": {"persistentVolumeClaimName": "node"}, "volumeSnapshotClassName": "standard"}
    await kube.create(VOLUME_SNAPSHOTS, VOLUME_SNAPSHOTS.manifest("node", "golden", spec=taken))


async def imported(bench: Bench, of: Pool, *, patience: float = 0.2) -> Object:
    """The image's DataVolume, once it is filled."""
    image = await ensure_image(bench.kube, bench.watching, of, bench.settings, patience=patience)
    return await bench.kube.get(DATA_VOLUMES, image.disk, "vm-templates")


async def test_an_image_is_a_copy_of_what_is_on_the_host(templates: Bench) -> None:
    await there(templates.kube)
    copies = (
        "pvc://golden/node",
        "datavolume://golden/node",
        "datasource://golden/latest",
        "volumesnapshot://golden/node",
    )
    for made in await gather(imported(templates, pool(image={"url": url}), patience=10) for url in copies):
        assert made["status"]["phase"] == "Succeeded"
        assert made["metadata"]["annotations"]["cks.io/image-url"] in copies
        assert (await templates.kube.get(PVCS, made["metadata"]["name"], "vm-templates"))["status"]["phase"] == "Bound"


async def test_a_cluster_is_made_of_a_copy_with_the_machines_that_its_pool_wants(bench: Bench) -> None:
    await bench.prepare()
    await there(bench.kube)
    machines = {
        "worker": {"cpu": 4},
        "cpuRequest": "500m",
        "tolerations": [{"key": "labs", "operator": "Exists"}],
        "priorityClassName": "labs",
    }
    await bench.want(image={"url": "datasource://golden/latest"}, machines=machines)
    await bench.bootstrap()
    made = (await bench.pooled()).status.image
    assert made == wanted_image(bench.pool)
    worker = await bench.kube.get(VMS, "wk-cluster1", "cluster1")
    assert worker["spec"]["template"]["spec"]["domain"]["cpu"]["cores"] == 4


async def test_a_source_that_is_not_there_makes_nothing_and_is_said(templates: Bench) -> None:
    with pytest.raises(VMFailed, match="PersistentVolumeClaim golden/node, got none") as raised:
        await imported(templates, CLAIM)
    assert raised.value.reason == "ImportFailed"
    assert await templates.kube.list(DATA_VOLUMES, "vm-templates") == []
    await there(templates.kube)
    await imported(templates, CLAIM, patience=10)


async def test_a_disk_smaller_than_its_source_is_said_before_the_import_times_out(templates: Bench) -> None:
    await there(templates.kube)
    small = pool(image={"url": "pvc://golden/node"}, machines={"disk": "10Gi"})
    with pytest.raises(VMFailed, match="smaller than the source") as raised:
        await imported(templates, small)
    assert "not within" not in str(raised.value)
    assert "spec.machines.disk" in raised.value.cure


async def test_a_pull_secret_that_is_missing_is_named_and_counts_once_it_is_there(templates: Bench) -> None:
    await templates.kube.create(CONFIG_MAPS, CONFIG_MAPS.manifest("registry-ca", "vm-templates", data={"ca.crt": ""}))
    with pytest.raises(VMFailed, match='secret "hub" not found') as raised:
        await imported(templates, PRIVATE)
    assert "spec.image.pullSecret" in raised.value.cure
    await templates.kube.create(SECRETS, SECRETS.manifest("hub", "vm-templates", stringData={"accessKeyId": "joe"}))
    await imported(templates, PRIVATE, patience=10)


async def test_an_import_is_begun_anew_with_the_secret_that_the_pool_names_by_now(templates: Bench) -> None:
    """It is the same disk, so it has to be seen that what is under way is made otherwise."""
    await templates.kube.create(CONFIG_MAPS, CONFIG_MAPS.manifest("registry-ca", "vm-templates", data={"ca.crt": ""}))
    with pytest.raises(VMFailed, match='secret "hub" not found'):
        await imported(templates, PRIVATE)
    await templates.kube.create(SECRETS, SECRETS.manifest("another", "vm-templates", stringData={"accessKeyId": "joe"}))
    mended = pool(image=PRIVATE.spec.image.changed(pull_secret="another"))
    made = await imported(templates, mended, patience=10)
    assert made["metadata"]["name"] == wanted_image(PRIVATE).disk
    assert made["spec"]["source"]["registry"]["secretRef"] == "another"


async def test_a_file_with_another_checksum_fails_at_once(templates: Bench) -> None:
    text = f"Unable to process data: checksum mismatch: expected {CHECKSUM}, calculated sha256:00"
    templates.simulator.troubles.add(Trouble(TroubleKind.FAIL_IMPORT, message=text))
    with pytest.raises(VMFailed, match="checksum mismatch") as raised:
        await imported(templates, FILE, patience=10)
    assert "spec.image.checksum" in raised.value.cure
    assert "checksum mismatch" in await import_failure(templates.kube, FILE, templates.settings)


async def test_an_image_that_cannot_be_is_the_pools_failure(templates: Bench) -> None:
    before = pool(image={"url": "docker://registry.example/node"})
    with pytest.raises(InvalidInput, match="docker://REGISTRY/IMAGE:TAG"):
        await imported(templates, before)
    assert "docker://REGISTRY/IMAGE:TAG" in await import_failure(templates.kube, before, templates.settings)


@pytest.fixture
async def older(api_server: Simulator) -> AsyncIterator[tuple[Kube, Watching]]:
    """A host where nobody fills disks, and a DataVolume's spec can be changed: what a CDI makes of it is for a test."""
    async with Kube.connect(api_server.kubeconfig_path) as kube, Watching(kube) as watching:
        await ensure_templates_namespace(kube, SETTINGS)
        yield kube, watching


async def drop_checksum(kube: Kube, watching: Watching) -> None:
    """As the API server does with a field that the definition of an older CDI does not have."""
    disk = wanted_image(FILE).disk
    made = await watching.until(
        DATA_VOLUMES, disk, "vm-templates", lambda seen: seen, timeout=10, what="the image to be asked for"
    )
    del made["spec"]["source"]["http"]["checksum"]
    await kube.replace(DATA_VOLUMES, made)


async def test_an_older_cdi_that_compares_no_checksums_is_not_trusted(older: tuple[Kube, Watching]) -> None:
    kube, watching = older
    asking = asyncio.create_task(ensure_image(kube, watching, FILE, SETTINGS))
    await drop_checksum(kube, watching)
    with pytest.raises(VMFailed, match=r"version 1\.65") as raised:
        await asking
    assert "update CDI" in raised.value.cure
    assert await kube.list(DATA_VOLUMES, "vm-templates") == [], "its disk would be taken for one that was compared"


async def test_a_disk_whose_checksum_nobody_compared_is_made_anew(older: tuple[Kube, Watching]) -> None:
    kube, watching = older
    unchecked = image_disk(FILE, SETTINGS)
    del unchecked["spec"]["source"]["http"]["checksum"]
    made = await kube.create(DATA_VOLUMES, unchecked)
    made = await kube.replace(DATA_VOLUMES, made | {"status": {"phase": "Succeeded"}}, subresource="status")
    impatient = SETTINGS.model_copy(update={"import_timeout": 0.2})
    with pytest.raises(VMFailed, match=r"not within 0\.2 s"):
        await ensure_image(kube, watching, FILE, impatient)
    again = await kube.get(DATA_VOLUMES, wanted_image(FILE).disk, "vm-templates")
    assert again["metadata"]["uid"] != made["metadata"]["uid"]
    assert again["spec"]["source"]["http"]["checksum"] == CHECKSUM
