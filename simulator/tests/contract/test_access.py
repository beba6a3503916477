"""Who may hand out which rights. Any Kubernetes with RBAC does this; its administrator has to call."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contract.api import Api
from tests.contract.lab import CORE, unique
from tests.http_api import Obj

RBAC = "/apis/rbac.authorization.k8s.io/v1"
GROUP = "rbac.authorization.k8s.io"
MERGE = "application/merge-patch+json"


class Joe:
    """A service account of the namespace, called through impersonation."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api = api
        self.namespace = namespace
        self.name = f"system:serviceaccount:{namespace}:joe"
        self.inside = f"{RBAC}/namespaces/{namespace}"
        self.subject = {"kind": "ServiceAccount", "name": "joe", "namespace": namespace}

    async def granted(self, name: str, *rules: Obj) -> None:
        """A role of the administrator's, bound to joe."""
        await self.api.create(f"{self.inside}/roles", role(name, *rules))
        await self.api.create(f"{self.inside}/rolebindings", binding(name, "Role", name, self.subject))

    async def call(self, method: str, path: str, body: Any, content_type: str = "application/json") -> tuple[int, Any]:
        client = self.api.impersonating(self.name)
        return await client.call(method, path, body, content_type=content_type)

    @property
    def groups(self) -> str:
        names = ("system:serviceaccounts", f"system:serviceaccounts:{self.namespace}", "system:authenticated")
        return " ".join(json.dumps(one) for one in names)


def rule(resources: str, verbs: str, group: str = "", **more: Any) -> Obj:
    return {"apiGroups": [group], "resources": resources.split(), "verbs": verbs.split(), **more}


def role(name: str, *rules: Obj) -> Obj:
    return {"metadata": {"name": name}, "rules": list(rules)}


def binding(name: str, kind: str, of: str, subject: Obj) -> Obj:
    reference = {"apiGroup": GROUP, "kind": kind, "name": of}
    return {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}


@pytest.fixture
async def joe(api: Api, namespace: str) -> Joe:
    """May write roles and bindings, and read pods."""
    await api.create(f"{CORE}/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "joe"}})
    joe = Joe(api, namespace)
    await joe.granted("base", rule("pods", "get list"), rule("roles rolebindings", "create get patch", GROUP))
    return joe


async def test_a_role_of_rights_that_its_writer_holds_is_allowed(joe: Joe) -> None:
    code, _ = await joe.call("POST", f"{joe.inside}/roles", role("r", rule("pods", "get")))
    assert code == 201
    # A name narrows the right that is held.
    code, _ = await joe.call("POST", f"{joe.inside}/roles", role("n", rule("pods", "get", resourceNames=["x"])))
    assert code == 201


async def test_a_role_of_more_rights_than_its_writers_is_refused_with_what_is_missing(joe: Joe) -> None:
    wanted = role("r", rule("pods", "get delete watch"), rule("secrets", "get"))
    code, answer = await joe.call("POST", f"{joe.inside}/roles", wanted)
    assert (code, answer["reason"]) == (403, "Forbidden")
    assert answer["message"] == (
        f'roles.rbac.authorization.k8s.io "r" is forbidden: user "{joe.name}" (groups=[{joe.groups}]) is attempting to'
        " grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["pods"], Verbs:["delete" "watch"]}\n'
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}'
    )


async def test_a_role_beyond_its_writers_rights_is_not_even_labelled_but_freed_for_its_removal(joe: Joe) -> None:
    strong = role("r", rule("secrets", "get"))
    strong["metadata"]["finalizers"] = ["contract.invalid/held"]
    await joe.api.create(f"{joe.inside}/roles", strong)
    path = f"{joe.inside}/roles/r"
    code, _ = await joe.call("PATCH", path, {"metadata": {"labels": {"a": "b"}}}, MERGE)
    assert code == 403
    code, _ = await joe.call("PATCH", path, {"metadata": {"finalizers": None}}, MERGE)
    assert code == 200
    code, _ = await joe.call("PATCH", path, {"rules": [rule("secrets", "get list")]}, MERGE)
    assert code == 403


async def test_who_may_escalate_writes_any_role(joe: Joe) -> None:
    await joe.granted("more", rule("roles", "escalate", GROUP))
    code, _ = await joe.call("POST", f"{joe.inside}/roles", role("r", rule("secrets", "*")))
    assert code == 201


async def test_a_binding_needs_the_roles_rights_or_the_right_to_bind_it(joe: Joe) -> None:
    await joe.api.create(f"{joe.inside}/roles", role("weak", rule("pods", "list")))
    await joe.api.create(f"{joe.inside}/roles", role("strong", rule("secrets", "list")))
    bindings = f"{joe.inside}/rolebindings"
    code, _ = await joe.call("POST", bindings, binding("b1", "Role", "weak", joe.subject))
    assert code == 201
    code, answer = await joe.call("POST", bindings, binding("b2", "Role", "strong", joe.subject))
    assert code == 403
    assert answer["message"].startswith('rolebindings.rbac.authorization.k8s.io "b2" is forbidden: user ')
    assert answer["message"].endswith('{APIGroups:[""], Resources:["secrets"], Verbs:["list"]}')
    await joe.granted("more", rule("roles", "bind", GROUP, resourceNames=["strong"]))
    code, _ = await joe.call("POST", bindings, binding("b2", "Role", "strong", joe.subject))
    assert code == 201


async def test_a_binding_to_a_role_that_is_not_there_needs_the_right_to_bind(joe: Joe) -> None:
    code, answer = await joe.call("POST", f"{joe.inside}/rolebindings", binding("b", "Role", "none", joe.subject))
    assert (code, answer["reason"]) == (404, "NotFound")
    assert answer["message"] == 'rolebindings.rbac.authorization.k8s.io "none" not found'


async def test_rights_in_a_namespace_are_none_in_the_cluster(joe: Joe) -> None:
    name = unique("contract")
    path = f"{RBAC}/clusterroles"
    try:
        await joe.api.create(path, role(name, rule("clusterroles", "create", GROUP)))
        await joe.api.create(f"{RBAC}/clusterrolebindings", binding(name, "ClusterRole", name, joe.subject))
        code, answer = await joe.call("POST", path, role(f"{name}-r", rule("pods", "get")))
        assert code == 403
        assert 'clusterroles.rbac.authorization.k8s.io "' in answer["message"]
    finally:
        await joe.api.discard(f"{RBAC}/clusterrolebindings/{name}")
        await joe.api.discard(f"{path}/{name}")
        await joe.api.discard(f"{path}/{name}-r")


async def test_a_token_is_good_for_ten_minutes_at_least_and_for_what_is_there(joe: Joe) -> None:
    path = f"{CORE}/namespaces/{joe.namespace}/serviceaccounts/joe/token"
    code, answer = await joe.api.call("POST", path, {"spec": {"expirationSeconds": 60}})
    assert (code, answer["reason"]) == (422, "Invalid")
    assert answer["message"] == (
        'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 60: may not specify a'
        " duration less than 10 minutes"
    )
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "nope"}
    code, answer = await joe.api.call("POST", path, {"spec": {"boundObjectRef": reference}})
    assert (code, answer["message"]) == (404, 'pods "nope" not found')
