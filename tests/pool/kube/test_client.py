"""Requests to a Kubernetes API: errors told apart, what can pass tried again, nothing missing taken for nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import yaml

from pool.core.errors import (
    AlreadyExists,
    ApiError,
    ApiUnavailable,
    Conflict,
    Forbidden,
    Invalid,
    KubeconfigError,
    NotFound,
    PoolError,
)
from pool.kube import client
from pool.kube.client import Kube
from pool.kube.resources import CONFIG_MAPS, NAMESPACES, PODS, VMS, Resource
from simulator.api.errors import ApiError as Refusal
from simulator.app import Simulator
from tests.pool.wire import EXPIRED, UNAVAILABLE, Wire


def config_map(name: str = "one", **data: str) -> dict[str, object]:
    return CONFIG_MAPS.manifest(name, "default", labels={"app": "test"}, data=data)


async def test_objects_are_created_read_changed_and_deleted(kube: Kube) -> None:
    made = await kube.create(CONFIG_MAPS, config_map(key="1"))
    assert await kube.get(CONFIG_MAPS, "one", "default") == made

    replaced = await kube.replace(CONFIG_MAPS, made | {"data": {"key": "2"}})
    assert replaced["data"] == {"key": "2"}
    merged = await kube.patch(CONFIG_MAPS, "one", {"data": {"more": "3"}}, "default")
    assert merged["data"] == {"key": "2", "more": "3"}
    removed = await kube.patch(CONFIG_MAPS, "one", [{"op": "remove", "path": "/data/more"}], "default")
    assert removed["data"] == {"key": "2"}
    applied = await kube.apply(CONFIG_MAPS, config_map(key="4"), force=True)
    assert applied["data"] == {"key": "4"}

    assert await kube.delete(CONFIG_MAPS, "one", "default")
    assert not await kube.delete(CONFIG_MAPS, "one", "default")
    assert await kube.find(CONFIG_MAPS, "one", "default") is None


async def test_lists_are_whole_however_many_pages_they_have(kube: Kube, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAGE", 3)
    for number in range(10):
        await kube.create(CONFIG_MAPS, config_map(f"map{number}"))

    found = await kube.list(CONFIG_MAPS, "default", labels="app=test")

    assert [one["metadata"]["name"] for one in found] == [f"map{number}" for number in range(10)]
    assert {one["kind"] for one in found} == {"ConfigMap"}


async def test_a_list_whose_pages_expired_begins_anew(kube: Kube, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAGE", 3)
    for number in range(5):
        await kube.create(CONFIG_MAPS, config_map(f"map{number}"))
    fault = wire.refuse(EXPIRED, verb="list")
    fault.match = lambda request, target: target.verb == "list" and "continue" in request.query

    assert len(await kube.list(CONFIG_MAPS, "default", labels="app=test")) == 5
    assert fault.times == 0


async def test_every_refusal_is_its_own_error(kube: Kube) -> None:
    made = await kube.create(CONFIG_MAPS, config_map())
    with pytest.raises(AlreadyExists):
        await kube.create(CONFIG_MAPS, config_map())
    await kube.patch(CONFIG_MAPS, "one", {"data": {"a": "b"}}, "default")
    with pytest.raises(Conflict):
        await kube.replace(CONFIG_MAPS, made)
    with pytest.raises(NotFound):
        await kube.get(CONFIG_MAPS, "none", "default")
    with pytest.raises(NotFound):
        await kube.delete(CONFIG_MAPS, "none", "default", missing_ok=False)
    with pytest.raises(Invalid):
        await kube.create(CONFIG_MAPS, config_map("Not A Name"))
    with pytest.raises(Conflict):
        await kube.delete(CONFIG_MAPS, "one", "default", uid="another")


async def test_a_kind_that_is_not_installed_is_not_an_empty_one(kube: Kube) -> None:
    unknown = Resource("nobody.io", "v1", "things", "Thing")
    with pytest.raises(NotFound):
        await kube.find(unknown, "x", "default")
    with pytest.raises(NotFound):
        await kube.list(unknown)
    with pytest.raises(NotFound):
        await kube.delete(unknown, "x", "default")


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(UNAVAILABLE, id="503"),
        pytest.param(Refusal(500, "InternalError", "etcdserver: request timed out"), id="500"),
        pytest.param(Refusal(429, "TooManyRequests", "slow down", retry_after=0), id="429"),
    ],
)
async def test_what_can_pass_is_tried_again(kube: Kube, wire: Wire, error: Refusal) -> None:
    wire.refuse(error, verb="list", times=2)
    assert await kube.list(NAMESPACES)
    assert wire.calls["list", "namespaces"] == 3


async def test_what_cannot_pass_is_not(kube: Kube, wire: Wire) -> None:
    wire.refuse(Refusal(403, "Forbidden", "no"), verb="list")
    with pytest.raises(Forbidden):
        await kube.list(NAMESPACES)
    assert wire.calls["list", "namespaces"] == 1


async def test_a_webhooks_denial_through_a_subresource_is_a_refusal(kube: Kube, wire: Wire) -> None:
    text = 'Internal error occurred: admission webhook "virtualmachine-validator.kubevirt.io" denied the request: no'
    wire.refuse(Refusal(500, "InternalError", text), verb="list")
    with pytest.raises(Invalid, match="denied the request"):
        await kube.list(NAMESPACES)


async def test_a_failed_listing_is_an_error_and_never_empty(api_server: Simulator, wire: Wire) -> None:
    wire.refuse(UNAVAILABLE, verb="list", times=1000)
    async with Kube.connect(api_server.kubeconfig_path, patience=0.2) as kube:
        with pytest.raises(ApiUnavailable, match="shutting down"):
            await kube.list(PODS)


async def test_a_create_whose_answer_was_lost_says_that_it_exists(kube: Kube, wire: Wire) -> None:
    wire.refuse(UNAVAILABLE, verb="create", after=True)
    with pytest.raises(AlreadyExists):
        await kube.create(CONFIG_MAPS, config_map())
    assert await kube.get(CONFIG_MAPS, "one", "default")


async def test_a_json_patch_whose_answer_was_lost_is_not_repeated(kube: Kube, wire: Wire) -> None:
    await kube.create(CONFIG_MAPS, config_map())
    wire.refuse(UNAVAILABLE, verb="patch", after=True)
    with pytest.raises(ApiUnavailable):
        await kube.patch(CONFIG_MAPS, "one", [{"op": "add", "path": "/data", "value": {}}], "default")
    assert wire.calls["patch", "configmaps"] == 1


async def test_watch_tells_what_happens_after_a_version(kube: Kube) -> None:
    _, version = await kube.list_at(CONFIG_MAPS, "default")
    made = await kube.create(CONFIG_MAPS, config_map())
    await kube.delete(CONFIG_MAPS, "one", "default")

    seen = []
    async for kind, obj in kube.watch(CONFIG_MAPS, "default", resource_version=version):
        if kind != "BOOKMARK":
            seen.append((kind, obj["metadata"]["uid"]))
        if len(seen) == 2:
            break
    assert seen == [("ADDED", made["metadata"]["uid"]), ("DELETED", made["metadata"]["uid"])]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(None, "no such file", id="missing"),
        pytest.param("{", "", id="no YAML"),
        pytest.param("just text", "", id="no mapping"),
        pytest.param("{apiVersion: v1, kind: Config}", "", id="empty"),
        pytest.param("token: secret-stuff\nclusters: 5\n", "", id="nonsense"),
    ],
)
async def test_unusable_kubeconfigs_are_one_line_with_the_cure(tmp_path: Path, content: str | None, why: str) -> None:
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_text(content)
    with pytest.raises(KubeconfigError) as raised:
        async with Kube.connect(path):
            pass
    text = str(raised.value)
    assert str(path) in text
    assert why in text
    assert "CKS_POOL_KUBECONFIG" in text
    assert "\n" not in text
    assert "secret-stuff" not in text


async def test_refused_credentials_are_said(api_server: Simulator, tmp_path: Path) -> None:
    assert api_server.kubeconfig_path is not None
    config = yaml.safe_load(api_server.kubeconfig_path.read_text())
    config["users"][0]["user"] = {"token": "not-the-token"}
    path = tmp_path / "other"
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(KubeconfigError, match="credentials refused") as raised:
        async with Kube.connect(path):
            pass
    assert "not-the-token" not in str(raised.value)


async def test_a_server_that_does_not_answer_is_said(
    api_server: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CONNECT_PATIENCE", 0.2)
    assert api_server.kubeconfig_path is not None
    config = yaml.safe_load(api_server.kubeconfig_path.read_text())
    server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port}"
    path = tmp_path / "other"
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(ApiUnavailable) as raised:
        async with Kube.connect(path):
            pass
    assert f"127.0.0.1:{port}" in str(raised.value)
    assert "\n" not in str(raised.value)


async def test_every_error_is_the_pools(kube: Kube) -> None:
    with pytest.raises(PoolError):
        await kube.get(VMS, "x", "default")
    assert issubclass(ApiError, PoolError)


def test_paths() -> None:
    assert NAMESPACES.path() == "/api/v1/namespaces"
    assert VMS.path("ns", "vm", "status") == "/apis/kubevirt.io/v1/namespaces/ns/virtualmachines/vm/status"
    assert VMS.path() == "/apis/kubevirt.io/v1/virtualmachines"
    with pytest.raises(ValueError, match="cluster-wide"):
        NAMESPACES.path("ns")
    with pytest.raises(ValueError, match="needs a namespace"):
        VMS.path(None, "vm")
