"""A definition of the suite's own, for what holds of custom resources whatever they are: a spec with a default and a
status apart. It is made where it is missing, and stays."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.api import Api
from tests.http_api import Obj

GROUP, VERSION, KIND, PLURAL = "contract.cks.io", "v1", "Lab", "labs"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NEW = {"phase": "new", "epoch": 0}
"""A status."""
SCHEMA: Obj = {
    "type": "object",
    "required": ["spec"],
    "properties": {
        "spec": {
            "type": "object",
            "required": ["namespace"],
            "properties": {"namespace": {"type": "string"}, "cordoned": {"type": "boolean", "default": False}},
        },
        "status": {
            "type": "object",
            "properties": {"phase": {"type": "string"}, "epoch": {"type": "integer"}},
        },
    },
}
DEFINITION: Obj = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"{PLURAL}.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"kind": KIND, "plural": PLURAL},
        "versions": [
            {
                "name": VERSION,
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": SCHEMA},
            }
        ],
    },
}


def established(definition: Obj | None) -> bool:
    conditions = ((definition or {}).get("status") or {}).get("conditions") or []
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)


@pytest.fixture
async def served(api: Api, namespace: str) -> str:
    """A namespace where the kind is served."""
    await api.ensure(DEFINITIONS, DEFINITION)
    await api.until(f"{DEFINITIONS}/{PLURAL}.{GROUP}", established)
    return namespace


def labs(namespace: str, name: str = "", subresource: str = "") -> str:
    tail = "".join(f"/{part}" for part in (name, subresource) if part)
    return f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}{tail}"


def lab_of(name: str = "c", **spec: Any) -> Obj:
    body = {"namespace": "c", **spec}
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, "metadata": {"name": name}, "spec": body}


async def put_status(api: Api, path: str, status: Obj) -> Obj:
    """The whole status, at the object's present version. Raises Failed."""
    obj = await api.get(path)
    return await api.replace(f"{path}/status", {**obj, "status": status})
