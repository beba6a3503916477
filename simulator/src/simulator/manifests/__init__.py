"""The custom resource definitions and the first objects of the simulated cluster."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any

import yaml

from simulator.manifests.fields import fields, merged

Obj = dict[str, Any]
DRIVER = "sim.csi.cks.io"
"""Name of the simulated CSI driver: provisioner of storage classes and driver of snapshot classes."""
_ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
"""What spec and status are of kinds whose fields are not written down."""


@cache
def definitions() -> list[Obj]:
    """CustomResourceDefinitions of KubeVirt, CDI and the CSI snapshotter. Shared by all callers, not to be changed."""
    return [_definition(kind) for kind in _read("kinds.yaml")]


@cache
def objects() -> list[Obj]:
    """Node, storage class, snapshot class and storage profile that exist from the start. Shared as well."""
    return _read("objects.yaml")


def _read(name: str) -> list[Obj]:
    loaded: list[Obj] = yaml.safe_load(resources.files(__name__).joinpath(name).read_text())
    return loaded


def _definition(kind: Obj) -> Obj:
    names = {
        "kind": kind["kind"],
        "listKind": f"{kind['kind']}List",
        "plural": kind["plural"],
        "singular": kind["kind"].lower(),
        "shortNames": kind["shortNames"],
        "categories": kind.get("categories", ["all"]),
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind['plural']}.{kind['group']}", "annotations": kind.get("annotations") or {}},
        "spec": {
            "group": kind["group"],
            "names": names,
            "scope": kind.get("scope", "Namespaced"),
            "versions": list(_versions(kind)),
            "conversion": {"strategy": "None"},
        },
    }


def _versions(kind: Obj) -> Iterator[Obj]:
    for index, name in enumerate(kind["versions"]):
        version: Obj = {
            "name": name,
            "served": True,
            "storage": index == 0,
            "schema": {"openAPIV3Schema": _schema(kind)},
            "additionalPrinterColumns": [_column(*column) for column in kind["columns"]],
        }
        if kind["status"]:
            version["subresources"] = {"status": {}}
        warning = kind.get("deprecated", {}).get(name)
        if warning:
            version |= {"deprecated": True, "deprecationWarning": warning}
        yield version


def _column(name: str, type_: str, path: str, priority: int = 0) -> Obj:
    column: Obj = {"name": name, "type": type_, "jsonPath": path}
    return {**column, "priority": priority} if priority else column


def _schema(kind: Obj) -> Obj:
    schema: Obj = {
        "type": "object",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            **kind.get("fields", {}),
        },
    }
    if "fields" in kind:
        return {**schema, "required": kind["requiredFields"]}
    for part, own in (("spec", kind["spec"]), ("status", {"properties": kind["statusFields"]})):
        schema["properties"][part] = merged(fields(f"{kind['group']}/{kind['kind']}").get(part, _ANYTHING), own)
    schema["required"] = ["spec"]
    return schema
