"""Whatever is sent, the answer is the server's own: never an internal error. Every field gets every kind of junk."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from simulator.api.requests import ADMIN, Request
from simulator.app import Simulator

Obj = dict[str, Any]
Path = tuple[str | int, ...]
JUNK: list[Any] = [None, 1, "x", [None], {"a": None}, [[]], {}, -1.5, True]
CORE = "/api/v1/namespaces/default"
CONTAINER = {"name": "c", "image": "i", "ports": [{"containerPort": 80}], "resources": {"limits": {"cpu": "1"}}}
OWNER = {"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "u"}
SCHEMA = {
    "type": "object",
    "properties": {"l": {"type": "array", "items": {"type": "string"}}, "a": {"type": "integer", "default": 1}},
    "x-kubernetes-validations": [{"rule": "self.a > 0", "message": "m"}],
}
VERSION = {
    "name": "v1",
    "served": True,
    "storage": True,
    "additionalPrinterColumns": [{"name": "A", "type": "string", "jsonPath": ".a"}],
    "schema": {"openAPIV3Schema": SCHEMA},
}
OBJECTS: dict[str, Obj] = {
    f"{CORE}/pods": {
        "metadata": {"name": "p", "labels": {"a": "b"}, "finalizers": ["x.io/a"], "ownerReferences": [OWNER]},
        "spec": {"containers": [CONTAINER], "volumes": [{"name": "v", "emptyDir": {}}]},
    },
    f"{CORE}/services": {"metadata": {"name": "p"}, "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}}},
    f"{CORE}/configmaps": {"metadata": {"name": "p", "annotations": {"a": "b"}}, "data": {"a": "b"}},
    f"{CORE}/secrets": {"metadata": {"name": "p"}, "data": {"a": "YQ=="}, "stringData": {"b": "c"}},
    f"{CORE}/serviceaccounts/default/token": {"spec": {"audiences": ["x"], "expirationSeconds": 3600}},
    "/apis/apps/v1/namespaces/default/deployments": {
        "metadata": {"name": "p"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"spec": {"containers": [CONTAINER]}}},
    },
    "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles": {
        "metadata": {"name": "p"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
    },
    "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews": {"spec": {"resourceAttributes": {"verb": "get"}}},
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions": {
        "metadata": {"name": "zs.x.io"},
        "spec": {
            "group": "x.io",
            "names": {"plural": "zs", "kind": "Z", "shortNames": ["z"]},
            "scope": "Namespaced",
            "versions": [VERSION],
        },
    },
    "/apis/kubevirt.io/v1/namespaces/default/virtualmachines": {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": "p", "labels": {"a": "b"}},
        "spec": {"runStrategy": "Halted", "template": {"spec": {"domain": {"devices": {"disks": [{"name": "d"}]}}}}},
    },
}
PATCHES = ("application/merge-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml")


def paths(value: Any, at: Path = ()) -> Iterator[Path]:
    yield at
    for step in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from paths(value[step], (*at, step))


def spoilt(value: Any, at: Path, junk: Any) -> Any:
    """The value with junk at a path."""
    if not at:
        return junk
    value = copy.copy(value)
    value[at[0]] = spoilt(value[at[0]], at[1:], junk)
    return value


async def sent(simulator: Simulator, method: str, path: str, body: Any, content_type: str) -> None:
    """Raises AssertionError for an internal error."""
    query = {"fieldManager": "f", "force": "true"} if "apply" in content_type else {}
    request = Request(method, path, query, {"content-type": content_type}, orjson.dumps(body), ADMIN)
    response = await simulator.api.handle(request)
    assert b"Internal error occurred" not in response.body, f"{method} {path} {content_type}: {body}"


@pytest.mark.parametrize("path", OBJECTS)
async def test_junk_in_any_field_is_answered(api_server: Simulator, path: str) -> None:
    base = OBJECTS[path]
    name = f"{path}/{base['metadata']['name']}" if "metadata" in base else ""
    for at in paths(base):
        for junk in JUNK:
            await sent(api_server, "POST", path, spoilt(base, at, junk), "application/json")
            if name:
                await sent(api_server, "PATCH", name, {"metadata": {"finalizers": None}}, PATCHES[0])
                await sent(api_server, "DELETE", name, {}, "application/json")
    if not name:
        return
    await sent(api_server, "POST", path, base, "application/json")
    for at in paths(base):
        for junk in JUNK:
            for content_type in PATCHES:
                await sent(api_server, "PATCH", name, spoilt(base, at, junk), content_type)


@pytest.mark.parametrize("option", ["preconditions", "gracePeriodSeconds", "propagationPolicy", "dryRun"])
async def test_junk_in_options_of_a_deletion_is_answered(api_server: Simulator, option: str) -> None:
    for junk in JUNK:
        await sent(api_server, "DELETE", f"{CORE}/configmaps/p", {option: junk}, "application/json")
