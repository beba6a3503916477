"""What a Pool may say: the API server refuses what cannot be, in words, and the pool judges images alike.

The latter for Pools from before the server judged them.
"""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from pool.core.errors import Invalid, InvalidInput
from pool.core.image_sources import Scheme, checked, object_of
from pool.core.pools import Image, Machines, Network, PoolSpec
from pool.kube.client import Object
from pool.kube.resources import POOLS
from tests.pool.lab import Lab

SHA256, SHA512 = "sha256:" + "0a" * 32, "sha512:" + "0b" * 64
DIGEST = f"@{SHA256}"

GOOD: list[tuple[dict[str, str], Scheme]] = [
    ({}, Scheme.DOCKER),
    ({"url": "docker://registry.example:5000/team/node:v1.34.1"}, Scheme.DOCKER),
    ({"url": f"docker://registry.example/node{DIGEST}"}, Scheme.DOCKER),
    ({"url": "docker://ubuntu:24.04", "pullSecret": "hub", "certificates": "registry-ca"}, Scheme.DOCKER),
    ({"url": "https://images.example/noble-server-cloudimg-amd64.img"}, Scheme.HTTPS),
    ({"url": "https://images.example/a/b.qcow2?x=y", "checksum": SHA512, "certificates": "ca"}, Scheme.HTTPS),
    ({"url": "http://images.example/node.img", "checksum": SHA256, "pullSecret": "basic"}, Scheme.HTTP),
    ({"url": "pvc://golden/node"}, Scheme.PVC),
    ({"url": "datavolume://golden/node-1.34"}, Scheme.DATA_VOLUME),
    ({"url": "datasource://golden/node"}, Scheme.DATA_SOURCE),
    ({"url": "volumesnapshot://golden/node"}, Scheme.VOLUME_SNAPSHOT),
]
BAD_IMAGES: list[tuple[dict[str, str], str]] = [
    ({"url": "registry.example/node:1"}, "docker://REGISTRY"),
    ({"url": "docker://registry.example/node"}, "docker://REGISTRY"),
    ({"url": f"docker://registry.example/node:1{DIGEST}"}, "docker://REGISTRY"),
    ({"url": "https://user:password@images.example/node.img"}, "docker://REGISTRY"),
    ({"url": "pvc://node"}, "docker://REGISTRY"),
    ({"url": "pvc://golden/node/more"}, "docker://REGISTRY"),
    ({"url": "s3://bucket/node.img"}, "docker://REGISTRY"),
    ({"url": "http://images.example/node.img"}, "image.checksum is needed with http://"),
    ({"checksum": SHA256}, "image.checksum is for http"),
    ({"url": "pvc://golden/node", "pullSecret": "hub"}, "image.pullSecret is for docker"),
    ({"url": "http://images.example/node.img", "checksum": SHA256, "certificates": "ca"}, "image.certificates is for"),
]
BAD_FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"image": {"url": "https://images.example/x", "checksum": "md5:00"}}, "spec.image.checksum"),
    ({"image": {"packages": {"repository": "https://packages.example"}}}, "spec.image.packages.repository"),
    ({"image": {"packages": {"repository": "https://x.example/$(id)/"}}}, "spec.image.packages.repository"),
    ({"image": {"packages": {"keyFingerprint": "DE15B144"}}}, "spec.image.packages.keyFingerprint"),
    ({"image": {"packages": {"proxy": "http://user:word@proxy.example:3128"}}}, "spec.image.packages.proxy"),
    ({"network": "calico"}, "spec.network"),
    ({"addons": "Not A Name"}, "spec.addons"),
    ({"machines": {"controlPlane": {"cpu": 1}}}, "spec.machines.controlPlane.cpu"),
    ({"machines": {"cpuModel": "host model"}}, "spec.machines.cpuModel"),
    ({"machines": {"tolerations": [{"key": "lab", "effect": "Never"}]}}, "spec.machines.tolerations"),
]
TOGETHER: list[tuple[dict[str, Any], str]] = [
    ({"dedicatedCpus": True, "cpuRequest": "2"}, "cpuRequest and dedicatedCpus exclude each other"),
    ({"tolerations": [{}]}, "without key, operator is Exists"),
    ({"tolerations": [{"key": "labs", "operator": "Exists", "value": "yes"}]}, "operator Exists takes no value"),
]
"""Fields of `machines` that do not go together; a Pod with such tolerations is refused when it is made."""


@pytest.mark.parametrize(("fields", "scheme"), GOOD)
def test_an_images_source_is_known_by_its_scheme(fields: dict[str, str], scheme: Scheme) -> None:
    assert checked(Image.model_validate(fields)) is scheme


@pytest.mark.parametrize(("fields", "why"), BAD_IMAGES)
def test_an_image_that_cannot_be_is_said_with_what_is_expected(fields: dict[str, str], why: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        checked(Image.model_validate(fields))
    assert why in str(raised.value)


def test_an_object_on_the_host_has_a_namespace_and_a_name() -> None:
    assert object_of(Image(url="datavolume://golden/node-1.34")) == ("golden", "node-1.34")


@pytest.mark.parametrize(("spec", "field"), BAD_FIELDS)
def test_fields_that_cannot_be_are_refused(spec: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as raised:
        PoolSpec.model_validate(spec)
    assert any(".".join(map(str, ("spec", *error["loc"]))).startswith(field) for error in raised.value.errors())


def made(name: str, spec: dict[str, Any]) -> Object:
    return POOLS.manifest(name, "cks-pool", spec={"clusterPrefix": name} | spec)


async def test_the_api_server_judges_the_same(lab: Lab) -> None:
    for fields, _ in GOOD:
        await lab.kube.create(POOLS, made("good", {"image": fields}))
        await lab.kube.delete(POOLS, "good", "cks-pool")
    refused: list[tuple[dict[str, Any], str]] = [({"image": fields}, why) for fields, why in BAD_IMAGES]
    refused += [({"machines": machines}, why) for machines, why in TOGETHER]
    for spec, why in [*refused, *BAD_FIELDS]:
        with pytest.raises(Invalid) as raised:
            await lab.kube.create(POOLS, made("bad", spec))
        assert why in str(raised.value), spec


async def test_the_api_server_fills_in_the_defaults_that_the_models_have(lab: Lab) -> None:
    stored = await lab.kube.create(POOLS, made("plain", {"image": {}, "machines": {"worker": {"memory": "8Gi"}}}))
    filled, ours = stored["spec"], PoolSpec()
    assert filled["image"] == ours.image.model_dump(by_alias=True, exclude_none=True)
    assert filled["network"] == Network.BUILTIN
    assert Machines.model_validate(filled["machines"]) == Machines.model_validate({"worker": {"memory": "8Gi"}})
