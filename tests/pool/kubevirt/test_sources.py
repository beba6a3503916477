"""What an image is imported from: the DataVolume of each kind of source, and what is said when it does not come."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from pool.core.clusters import ClonedImage
from pool.core.errors import InvalidInput, VMFailed
from pool.core.image_sources import outdated
from pool.core.pools import Image
from pool.core.settings import Settings
from pool.kube.client import Kube, Object
from pool.kube.resources import CONFIG_MAPS, DATA_SOURCES, NAMESPACES, PVCS
from pool.kubevirt.import_failures import failure_of, import_failed, trouble_of
from pool.kubevirt.manifests import image_disk, image_of, virtual_machine, wanted_image
from pool.kubevirt.sources import check_source, is_compared, is_from, source_of
from simulator.app import Simulator
from tests.pool.builders import member, pool

CHECKSUM = "sha256:" + "0a" * 32
WEB: dict[str, dict[str, str]] = {
    "registry": {
        "url": "docker://registry.example/node:v1.34.1",
        "pullSecret": "hub",
        "certificates": "registry-ca",
    },
    "http": {
        "url": "https://images.example/noble.img",
        "checksum": CHECKSUM,
        "pullSecret": "basic",
        "certificates": "images-ca",
    },
}
OBJECTS = {
    "pvc": "pvc://golden/node",
    "data-volume": "datavolume://golden/node",
    "data-source": "datasource://golden/node",
    "snapshot": "volumesnapshot://golden/node",
}
SOURCES = {
    "default": pool(),
    **{name: pool(image=fields) for name, fields in WEB.items()},
    **{name: pool(image={"url": url}) for name, url in OBJECTS.items()},
}
"""A Pool of each kind of image; their DataVolumes are put before CDI's schema in `test_vm_manifest`."""
THERE = {"namespace": "golden", "name": "node"}
TOLD = {
    "default": {"source": {"registry": {"url": "docker://quay.io/capk/ubuntu-2404-container-disk:v1.34.1"}}},
    "registry": {
        "source": {
            "registry": {
                "url": "docker://registry.example/node:v1.34.1",
                "secretRef": "hub",
                "certConfigMap": "registry-ca",
            }
        }
    },
    "http": {
        "source": {
            "http": {
                "url": "https://images.example/noble.img",
                "secretRef": "basic",
                "certConfigMap": "images-ca",
                "checksum": CHECKSUM,
            }
        }
    },
    "pvc": {"source": {"pvc": THERE}},
    "data-volume": {"source": {"pvc": THERE}},
    "data-source": {"sourceRef": {"kind": "DataSource", **THERE}},
    "snapshot": {"source": {"snapshot": THERE}},
}


@pytest.mark.parametrize("kind", SOURCES)
def test_each_kind_of_source_is_what_cdi_takes(kind: str) -> None:
    image = SOURCES[kind].spec.image
    assert source_of(image) == TOLD[kind]
    volume = image_disk(SOURCES[kind], Settings())
    assert is_from(volume, image)
    assert is_compared(volume, image)
    for other in SOURCES.keys() - {kind, "pvc", "data-volume"}:
        assert not is_from(volume, SOURCES[other].spec.image)


def test_an_image_that_cannot_be_makes_no_data_volume() -> None:
    with pytest.raises(InvalidInput, match="docker://REGISTRY"):
        image_disk(pool(image={"url": "oci-archive://node"}), Settings())


def test_a_data_volume_is_another_with_another_secret_and_not_for_what_a_server_adds() -> None:
    of = pool(image=WEB["registry"])
    volume = image_disk(of, Settings())
    volume["spec"]["source"]["registry"]["pullMethod"] = "pod"
    assert is_from(volume, of.spec.image)
    assert not is_from(volume, of.spec.image.changed(pull_secret="another"))


def test_a_checksum_that_cdi_dropped_is_seen() -> None:
    of = pool(image=WEB["http"])
    volume = image_disk(of, Settings())
    del volume["spec"]["source"]["http"]["checksum"]
    assert not is_compared(volume, of.spec.image)


@pytest.mark.parametrize(
    ("changed", "another"),
    [
        ({"checksum": "sha512:" + "0b" * 64}, True),
        ({"pullSecret": "another"}, False),
        ({"certificates": "another"}, False),
        ({"kubernetesVersion": "v1.35.0"}, False),
        ({"packages": {"proxy": "http://proxy.example:3128"}}, False),
    ],
)
def test_a_disk_is_another_by_what_is_on_it(changed: dict[str, Any], another: bool) -> None:
    one, two = (wanted_image(pool(image=fields)).disk for fields in (WEB["http"], WEB["http"] | changed))
    assert (one != two) is another


def test_a_disk_of_before_is_found_again() -> None:
    """Its name is of the four facts that there were, so an upgrade imports nothing anew."""
    before = pool(image={"url": "docker://registry.example/node:1"})
    assert wanted_image(before).disk == "golden-default-a5226756d4f9"


MADE = ClonedImage(
    url="https://images.example/noble.img", disk="golden", checksum=CHECKSUM, kubernetes_version="v1.34.1"
)


@pytest.mark.parametrize(
    ("made", "changed", "said"),
    [
        (MADE, {}, ""),
        (MADE, {"pullSecret": "another"}, ""),
        (MADE, {"url": "https://images.example/plucky.img"}, "it was made from https://images.example/noble.img"),
        (MADE, {"checksum": "sha512:" + "0b" * 64}, f"noble.img with {CHECKSUM}"),
        (MADE, {"kubernetesVersion": "v1.34.2"}, "it was made with Kubernetes v1.34.1"),
        (MADE.changed(kubernetes_version=None), {}, ""),
        (MADE.changed(checksum=None), {}, "noble.img with no checksum"),
    ],
)
def test_a_cluster_is_outdated_by_what_makes_another_one(made: ClonedImage, changed: dict[str, str], said: str) -> None:
    found = outdated(made, Image.model_validate(WEB["http"] | changed))
    assert found.endswith(said) if said else found == ""


def test_a_vm_says_what_its_disk_was_cloned_from() -> None:
    for of in SOURCES.values():
        assert image_of(virtual_machine(member().worker, of, wanted_image(of), Settings())) == wanted_image(of)


def volume(of: str, *, phase: str = "ImportScheduled", restarts: int | None = None, **conditions: Any) -> Object:
    """A DataVolume as CDI leaves it; a condition is its reason and message, and False."""
    made = image_disk(SOURCES[of], Settings())
    said = [
        {"type": kind, "status": "False", "reason": reason, "message": message}
        for kind, (reason, message) in conditions.items()
    ]
    made["status"] = {"phase": phase, "conditions": said} | ({"restartCount": restarts} if restarts is not None else {})
    return made


MISMATCH = f"Unable to process data: checksum validation failed: checksum mismatch: expected {CHECKSUM}, calculated x"
SECRET = 'secret "hub" not found'
SMALL = "The clone doesn't meet the validation requirements: target resources requests storage size is smaller than.."


@pytest.mark.parametrize(
    ("seen", "failure", "trouble"),
    [
        pytest.param(volume("registry"), "", "", id="scheduled"),
        pytest.param(volume("registry", restarts=1, Running=("Error", "no route")), "", "", id="failed once"),
        pytest.param(volume("registry", restarts=3, Running=("Error", "no route")), "no route", "", id="failed often"),
        pytest.param(volume("http", phase="Failed", Running=("ChecksumError", MISMATCH)), MISMATCH, "", id="checksum"),
        pytest.param(volume("registry", Running=("CreateContainerConfigError", SECRET)), "", SECRET, id="secret"),
        pytest.param(volume("pvc", Bound=("CloneWithoutSource", "The source..")), "", "The source..", id="no source"),
        pytest.param(volume("pvc", Bound=("CloneValidationFailed", SMALL)), "", SMALL, id="too small"),
        pytest.param(volume("snapshot", Running=("Error", "smaller")), "", "smaller", id="clone's error"),
        pytest.param(volume("data-source", Running=("Error", "smaller")), "", "smaller", id="by a DataSource"),
        pytest.param(volume("pvc", Running=("Pending", "Clone Pending")), "", "", id="clone pending"),
        pytest.param(None, "", "", id="none"),
    ],
)
def test_what_cdi_says_is_a_failure_or_a_trouble(seen: Object | None, failure: str, trouble: str) -> None:
    assert (failure_of(seen), trouble_of(seen)) == (failure, trouble)


@pytest.mark.parametrize(
    ("said", "cure"),
    [
        (MISMATCH, "spec.image.checksum"),
        (SECRET, "spec.image.pullSecret"),
        (SMALL.replace("than..", "than the source"), "spec.machines.disk"),
        ("DataVolume too small to contain image", "spec.machines.disk"),
        ("User x has insufficient permissions in clone source namespace golden", "docs/nodes.md"),
        ("tls: failed to verify certificate: x509: certificate signed by unknown authority", "spec.image.certificates"),
        ("unauthorized: access to the requested resource is not authorized", "spec.image.pullSecret"),
        ("lookup nowhere.invalid: no such host", "spec.image.url"),
    ],
)
def test_each_failure_has_its_cure(said: str, cure: str) -> None:
    failed = import_failed(pool(), said)
    assert failed.reason == "ImportFailed"
    assert cure in failed.cure
    assert "kubectl edit pool default" in failed.cure


@pytest.fixture
async def kube(api_server: Simulator) -> AsyncIterator[Kube]:
    async with Kube.connect(api_server.kubeconfig_path) as connected:
        for name in ("golden", "vm-templates"):
            await connected.create(NAMESPACES, NAMESPACES.manifest(name))
        yield connected


async def test_a_source_that_is_not_there_is_said_before_cdi_waits_for_it(kube: Kube) -> None:
    for kind in ("pvc", "data-volume", "data-source", "snapshot"):
        with pytest.raises(VMFailed, match=r"golden/node, got none; make it, or mend spec\.image\.url"):
            await check_source(kube, SOURCES[kind].spec.image, "vm-templates")
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    await kube.create(PVCS, PVCS.manifest("node", "golden", spec=claim))
    await check_source(kube, SOURCES["pvc"].spec.image, "vm-templates")
    source = await kube.create(DATA_SOURCES, DATA_SOURCES.manifest("node", "golden", spec={"source": {"pvc": THERE}}))
    ready = {"type": "Ready", "status": "False", "reason": "NotFound", "message": "PVC golden/node not found"}
    await kube.replace(DATA_SOURCES, source | {"status": {"conditions": [ready]}}, subresource="status")
    with pytest.raises(VMFailed, match="that is ready, got PVC golden/node not found"):
        await check_source(kube, SOURCES["data-source"].spec.image, "vm-templates")


async def test_certificates_that_are_not_there_are_said(kube: Kube) -> None:
    image = SOURCES["registry"].spec.image
    with pytest.raises(VMFailed, match=r"ConfigMap vm-templates/registry-ca, got none.*spec\.image\.certificates"):
        await check_source(kube, image, "vm-templates")
    await kube.create(CONFIG_MAPS, CONFIG_MAPS.manifest("registry-ca", "vm-templates", data={"ca.crt": "PEM"}))
    await check_source(kube, image, "vm-templates")
