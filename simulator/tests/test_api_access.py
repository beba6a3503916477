"""Who gets in, and what they may do: tokens, certificates, roles, reviews."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from kubernetes.aio import client, config

from simulator.app import Simulator
from simulator.identity import certificates
from tests.http_api import Api

Obj = dict[str, Any]
RBAC = "/apis/rbac.authorization.k8s.io/v1"
PODS = "/api/v1/namespaces/default/pods"


def trust(simulator: Simulator) -> ssl.SSLContext:
    ca, _ = certificates.shared()
    return ssl.create_default_context(cadata=ca.certificate_pem.decode())


async def status(
    simulator: Simulator, path: str, headers: dict[str, str] | None = None, *, context: ssl.SSLContext | None = None
) -> tuple[int, Obj]:
    connector = aiohttp.TCPConnector(ssl=context or trust(simulator))
    async with (
        aiohttp.ClientSession(connector=connector, headers=headers or {}) as session,
        session.get(simulator.url + path) as response,
    ):
        return response.status, await response.json(content_type=None) if response.status != 200 else {}


async def grant(api: Api, subject: Obj, verbs: list[str], resources: list[str], namespace: str = "default") -> None:
    inside = f"{RBAC}/namespaces/{namespace}"
    rules = [{"apiGroups": [""], "resources": resources, "verbs": verbs}]
    await api.create(f"{inside}/roles", {"metadata": {"name": "r"}, "rules": rules})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
    await api.create(f"{inside}/rolebindings", {"metadata": {"name": "b"}, "roleRef": reference, "subjects": [subject]})


async def test_nobody_sees_health_and_nothing_else(api_server: Simulator) -> None:
    assert (await status(api_server, "/readyz"))[0] == 200
    code, answer = await status(api_server, PODS)
    assert (code, answer["reason"]) == (403, "Forbidden")
    assert answer["message"] == (
        'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" in the namespace'
        ' "default"'
    )


async def test_wrong_token_is_unauthorized(api_server: Simulator) -> None:
    code, answer = await status(api_server, PODS, {"Authorization": "Bearer wrong"})
    assert (code, answer["reason"], answer["message"]) == (401, "Unauthorized", "Unauthorized")


@pytest.mark.parametrize(("groups", "code"), [(("system:masters",), 200), ((), 403)])
async def test_certificate_names_user_and_groups(
    api_server: Simulator, tmp_path: Path, groups: tuple[str, ...], code: int
) -> None:
    ca, _ = certificates.shared()
    pair = certificates.client(ca, "joe", groups)
    context = trust(api_server)
    (tmp_path / "joe.pem").write_bytes(pair.certificate_pem + pair.key_pem)
    context.load_cert_chain(tmp_path / "joe.pem")
    got, answer = await status(api_server, PODS, context=context)
    assert got == code
    if code == 403:
        assert 'User "joe" cannot list resource' in answer["message"]


async def test_role_allows_what_it_says_where_it_says(bare: Api, api_server: Simulator) -> None:
    await grant(bare, {"kind": "User", "name": "joe"}, ["list"], ["pods"])
    admin = {"Authorization": f"Bearer {api_server.token}"}
    joe = {**admin, "Impersonate-User": "joe"}
    assert (await status(api_server, PODS, joe))[0] == 200
    assert (await status(api_server, "/api/v1/namespaces/kube-system/pods", joe))[0] == 403
    assert (await status(api_server, "/api/v1/namespaces/default/secrets", joe))[0] == 403
    assert (await status(api_server, f"{PODS}/x", joe))[0] == 403


async def test_account_acts_with_a_requested_token_until_it_is_gone(bare: Api, api_server: Simulator) -> None:
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    await bare.create(accounts, {"metadata": {"name": "bot"}})
    await grant(bare, {"kind": "ServiceAccount", "name": "bot", "namespace": "default"}, ["list"], ["pods"])
    asked = await bare.create(f"{accounts}/bot/token", {"spec": {"expirationSeconds": 600}})
    bearer = {"Authorization": f"Bearer {asked['status']['token']}"}
    assert (await status(api_server, PODS, bearer))[0] == 200
    await bare.delete(f"{accounts}/bot")
    await bare.create(accounts, {"metadata": {"name": "bot"}})
    assert (await status(api_server, PODS, bearer))[0] == 401


async def test_a_token_is_good_for_its_audience_alone(bare: Api, api_server: Simulator) -> None:
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    await bare.create(accounts, {"metadata": {"name": "bot"}})
    await grant(bare, {"kind": "ServiceAccount", "name": "bot", "namespace": "default"}, ["list"], ["pods"])
    asked = await bare.create(f"{accounts}/bot/token", {"spec": {"expirationSeconds": 600, "audiences": ["door"]}})
    token = asked["status"]["token"]
    assert (await status(api_server, PODS, {"Authorization": f"Bearer {token}"}))[0] == 401
    for audiences, known in ((["other", "door"], ["door"]), (["other"], None), ([], None)):
        spec = {"token": token, "audiences": audiences}
        review = await bare.create("/apis/authentication.k8s.io/v1/tokenreviews", {"spec": spec})
        assert review["status"].get("audiences") == known
        assert review["status"]["authenticated"] is (known is not None)


@pytest.mark.parametrize(
    ("verb", "resource", "allowed"), [("list", "pods", True), ("delete", "pods", False), ("list", "secrets", False)]
)
async def test_review_says_what_a_request_would(bare: Api, verb: str, resource: str, allowed: bool) -> None:
    await grant(bare, {"kind": "Group", "name": "devs"}, ["list"], ["pods"])
    attributes = {"namespace": "default", "verb": verb, "resource": resource}
    spec = {"user": "joe", "groups": ["devs"], "resourceAttributes": attributes}
    review = await bare.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", {"spec": spec})
    assert review["status"]["allowed"] is allowed


async def test_cluster_role_binds_everywhere_or_in_one_namespace(bare: Api, api_server: Simulator) -> None:
    rules = [{"apiGroups": ["cdi.kubevirt.io"], "resources": ["datavolumes/source"], "verbs": ["create"]}]
    await bare.create(f"{RBAC}/clusterroles", {"metadata": {"name": "clone"}, "rules": rules})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "clone"}
    subject = {"kind": "ServiceAccount", "name": "default", "namespace": "cluster1"}
    binding = {"metadata": {"name": "b"}, "roleRef": reference, "subjects": [subject]}
    await bare.create(f"{RBAC}/namespaces/default/rolebindings", binding)

    async def allowed(namespace: str) -> bool:
        attributes = {
            "namespace": namespace,
            "verb": "create",
            "group": "cdi.kubevirt.io",
            "resource": "datavolumes",
            "subresource": "source",
        }
        spec = {"user": "system:serviceaccount:cluster1:default", "resourceAttributes": attributes}
        review = await bare.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", {"spec": spec})
        return bool(review["status"]["allowed"])

    assert await allowed("default")
    assert not await allowed("kube-system")


async def test_role_reference_cannot_change(bare: Api) -> None:
    await grant(bare, {"kind": "User", "name": "joe"}, ["list"], ["pods"])
    path = f"{RBAC}/namespaces/default/rolebindings/b"
    code, answer = await bare.call(
        "PATCH", path, {"roleRef": {"name": "other"}}, content_type="application/merge-patch+json"
    )
    assert code == 422
    assert "cannot change roleRef" in answer["message"]


async def test_official_client_works_unchanged(api_server: Simulator) -> None:
    configuration = client.Configuration()
    await config.load_kube_config(str(api_server.kubeconfig_path), client_configuration=configuration)
    async with client.ApiClient(configuration) as api:
        core = client.CoreV1Api(api)
        await core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name="n", labels={"a": "b"})))
        listed = await core.list_namespace(label_selector="a=b")
        assert [one.metadata.name for one in listed.items] == ["n"]
        await core.create_namespaced_secret(
            "n", client.V1Secret(metadata=client.V1ObjectMeta(name="s"), string_data={"k": "v"})
        )
        secret = await core.read_namespaced_secret("s", "n")
        assert base64.b64decode(secret.data["k"]) == b"v"
        await core.delete_namespace("n")


async def test_kubeconfig_is_for_its_owner_only(api_server: Simulator) -> None:
    path = api_server.kubeconfig_path
    assert path is not None
    assert path.stat().st_mode & 0o077 == 0
    assert yaml.safe_load(path.read_text())["current-context"] == "simulator"
