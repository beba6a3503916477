"""A Pool's add-ons: what of its ConfigMap reaches which node, and what is refused before anything is made."""

from __future__ import annotations

import base64
import random
from collections.abc import AsyncIterator

import pytest

from pool.core.errors import AddonsUnusable
from pool.guest.addons import MAX_PACKED, addon_files, read_addons
from pool.guest.cloudinit import secret, user_data
from pool.guest.identity import Identity
from pool.kube.client import Kube
from pool.kube.resources import CONFIG_MAPS, NAMESPACES
from pool.kubevirt.cluster import Cluster
from simulator.app import Simulator
from tests.pool import builders
from tests.pool.guest.rendered import PEER

POOL = builders.pool(addons="labs")


@pytest.fixture
async def kube(api_server: Simulator) -> AsyncIterator[Kube]:
    async with Kube.connect(api_server.kubeconfig_path) as connected:
        await connected.create(NAMESPACES, NAMESPACES.manifest("cks-pool"))
        yield connected


def noise(size: int) -> str:
    """Text that as good as nothing makes smaller."""
    return base64.b64encode(random.Random(1).randbytes(size * 3 // 4)).decode()


async def given(kube: Kube, data: dict[str, str], **more: object) -> None:
    await kube.create(CONFIG_MAPS, CONFIG_MAPS.manifest("labs", "cks-pool", data=data, **more))


def test_manifests_are_the_control_planes_and_scripts_theirs_who_run_them(cluster: Cluster) -> None:
    addons = {
        "20-app.yaml": "",
        "10-crd.json": "",
        "x.yml": "",
        "prepare.sh": "",
        "prepare-control-plane.sh": "",
    }
    assert [file.path for file in addon_files(cluster.worker, addons)] == ["/etc/cks/prepare/10-prepare.sh"]
    assert [file.path for file in addon_files(cluster.control_plane, addons)] == [
        "/etc/cks/addons/01-10-crd.json",
        "/etc/cks/addons/02-20-app.yaml",
        "/etc/cks/addons/03-x.yml",
        "/etc/cks/prepare/10-prepare.sh",
        "/etc/cks/prepare/20-prepare-control-plane.sh",
    ]


def test_a_hundred_manifests_keep_their_order(cluster: Cluster) -> None:
    addons = {f"{number:03}.yaml": "" for number in range(120)}
    paths = [file.path for file in addon_files(cluster.control_plane, addons)]
    assert paths == sorted(paths)


async def test_a_pool_without_add_ons_asks_for_none(kube: Kube) -> None:
    assert await read_addons(kube, builders.pool()) == {}


async def test_a_missing_config_map_is_named(kube: Kube) -> None:
    with pytest.raises(AddonsUnusable, match="expected ConfigMap cks-pool/labs, got none of that name; create it"):
        await read_addons(kube, POOL)


async def test_keys_that_nothing_is_done_with_are_named(kube: Kube) -> None:
    await given(kube, {"app.yaml": "", "prepare-worker.sh": "", "notes": ""}, binaryData={"tool.yaml": "AAAA"})
    with pytest.raises(AddonsUnusable, match=r"got notes, prepare-worker\.sh, tool\.yaml; rename these keys"):
        await read_addons(kube, POOL)


async def test_a_large_manifest_is_compressed(kube: Kube, cluster: Cluster, identity: Identity) -> None:
    crd = "description: what is said again and again\n" * 9000
    await given(kube, {"crd.yaml": crd})
    addons = await read_addons(kube, POOL)
    assert len(user_data(cluster, cluster.control_plane, identity, PEER, POOL, addons)) < 100_000


async def test_what_does_not_fit_is_refused_with_its_size(kube: Kube) -> None:
    await given(kube, {"app.yaml": noise(900_000), "prepare.sh": noise(100_000)})
    with pytest.raises(AddonsUnusable, match=rf"at most {MAX_PACKED} bytes.*got 1[0-9]{{6}} bytes; make them smaller"):
        await read_addons(kube, POOL)


async def test_what_is_accepted_fits_into_a_secret(kube: Kube, cluster: Cluster, identity: Identity) -> None:
    await given(kube, {"app.yaml": noise(850_000)})
    addons = await read_addons(kube, POOL)
    (manifest,) = addon_files(cluster.control_plane, addons)
    assert len(manifest.packed) > MAX_PACKED - 100_000
    text = user_data(cluster, cluster.control_plane, identity, PEER, POOL, addons)
    assert len(text) < 1_048_576 - 50_000
    made = secret(cluster.control_plane, identity, text)
    # What a request to etcd may have (its --max-request-bytes).
    assert sum(len(value) for value in made["data"].values()) < 1_500_000
