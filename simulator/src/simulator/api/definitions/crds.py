"""CustomResourceDefinitions: from their objects to kinds that are served."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import orjson

from simulator.api import schema
from simulator.api.definitions import schemafaults, versionfaults
from simulator.api.errors import Cause
from simulator.api.kinds import Column, Kind, Scale, Version
from simulator.api.objects import now
from simulator.api.schemas import structure
from simulator.api.values import shown

Obj = dict[str, Any]
CRDS = ("apiextensions.k8s.io", "customresourcedefinitions")
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
_META = schema.Schema(
    type="object",
    properties={"name": schema.Schema(type="string"), "generateName": schema.Schema(type="string")},
)
_TEXT = schema.Schema(type="string")
AGE = Column("Age", "date", ".metadata.creationTimestamp")


def prepare(crd: Obj, old: Obj | None) -> None:
    """Fill in names, conversion and the finalizer, in place."""
    spec = crd.setdefault("spec", {})
    names = spec.setdefault("names", {})
    if names.get("kind"):
        names.setdefault("singular", names["kind"].lower())
        names.setdefault("listKind", f"{names['kind']}List")
    spec.setdefault("conversion", {"strategy": "None"})
    if old is None:
        crd["metadata"]["finalizers"] = [*(crd["metadata"].get("finalizers") or []), CLEANUP]
        stored = [version.get("name", "") for version in spec.get("versions") or [] if version.get("storage")]
        crd["status"] = {"acceptedNames": {"plural": "", "kind": ""}, "conditions": [], "storedVersions": stored}


def faults(crd: Obj, old: Obj | None) -> list[Cause]:
    """What is wrong with a definition, schemas and rules included."""
    spec = crd["spec"]
    names = spec.get("names") or {}
    causes = [
        Cause(path, "Required value", "FieldValueRequired")
        for path, value in (
            ("spec.group", spec.get("group")),
            ("spec.names.plural", names.get("plural")),
            ("spec.names.kind", names.get("kind")),
            ("spec.scope", spec.get("scope")),
            ("spec.versions", spec.get("versions")),
        )
        if not value
    ]
    if causes:
        return causes
    wanted = f"{names['plural']}.{spec['group']}"
    if crd["metadata"]["name"] != wanted:
        said = f'Invalid value: {shown(crd["metadata"]["name"])}: must be spec.names.plural+"."+spec.group'
        causes.append(Cause("metadata.name", said))
    if spec["scope"] not in ("Namespaced", "Cluster"):
        said = f'Unsupported value: {shown(spec["scope"])}: supported values: "Cluster", "Namespaced"'
        causes.append(Cause("spec.scope", said, "FieldValueNotSupported"))
    if sum(bool(version.get("storage")) for version in spec["versions"]) != 1:
        said = "must have exactly one version marked as storage version"
        causes.append(Cause("spec.versions", f"Invalid value: {shown(spec['versions'])}: {said}"))
    if old is None:
        causes += versionfaults.approval(crd)
    causes += _schema_faults(spec["versions"])
    return [*causes, *versionfaults.faults(spec["versions"]), *_moved(spec, old)]


def _schema_faults(versions: list[Obj]) -> Iterator[Cause]:
    """A schema that all versions share is the definition's as a whole, as the server has it inside."""
    sources = [(version.get("schema") or {}).get("openAPIV3Schema") for version in versions]
    shared = all(source == sources[0] for source in sources)
    for index, source in enumerate(sources):
        path = f"spec.versions[{index}].schema.openAPIV3Schema"
        if not source:
            yield Cause(path, "Required value: schemas are required", "FieldValueRequired")
        elif not shared:
            yield from _faults(orjson.dumps(source), path)
        elif index == 0:
            yield from _faults(orjson.dumps(source), "spec.validation.openAPIV3Schema")


@lru_cache(maxsize=64)
def _faults(source: bytes, path: str) -> tuple[Cause, ...]:
    """What is wrong with a schema, found once for all servers of a process, as its tree is read."""
    return tuple(schemafaults.faults(orjson.loads(source), path))


def _moved(spec: Obj, old: Obj | None) -> Iterator[Cause]:
    """What a definition never changes once it is served."""
    if old is None:
        return
    for path, now_, before in (
        ("spec.group", spec["group"], old["spec"]["group"]),
        ("spec.names.plural", spec["names"]["plural"], old["spec"]["names"]["plural"]),
        ("spec.scope", spec["scope"], old["spec"]["scope"]),
        ("spec.names.kind", spec["names"]["kind"], old["spec"]["names"]["kind"]),
    ):
        if now_ != before:
            yield Cause(path, f"Invalid value: {shown(now_)}: field is immutable")


def accepted(crd: Obj) -> Obj:
    """The status of a definition whose names are free."""
    stamp = now()
    said = {
        "NamesAccepted": ("NoConflicts", "no conflicts found"),
        "Established": ("InitialNamesAccepted", "the initial names have been accepted"),
    }
    before = {one["type"]: one for one in (crd.get("status") or {}).get("conditions") or []}
    conditions = [
        before[type_]
        if before.get(type_, {}).get("status") == "True"
        else {"type": type_, "status": "True", "lastTransitionTime": stamp, "reason": reason, "message": message}
        for type_, (reason, message) in said.items()
    ]
    stored = list((crd.get("status") or {}).get("storedVersions") or [])
    stored += [v["name"] for v in crd["spec"]["versions"] if v.get("storage") and v["name"] not in stored]
    return {"conditions": conditions, "acceptedNames": crd["spec"]["names"], "storedVersions": stored}


def terminating(crd: Obj) -> Obj:
    """The status of a definition whose objects are being removed."""
    status = crd.get("status") or {}
    kept = [one for one in status.get("conditions") or [] if one["type"] != "Terminating"]
    said = {"reason": "InstanceDeletionInProgress", "message": "CustomResource deletion is in progress"}
    condition = {"type": "Terminating", "status": "True", "lastTransitionTime": now(), **said}
    return {**status, "conditions": [*kept, condition]}


def is_terminating(crd: Obj) -> bool:
    conditions = (crd.get("status") or {}).get("conditions") or []
    return any(one["type"] == "Terminating" and one["status"] == "True" for one in conditions)


def kind_of(crd: Obj) -> Kind:
    """The kind that a definition describes."""
    spec = crd["spec"]
    names = spec["names"]
    served = [version for version in spec["versions"] if version.get("served", True)]
    storage = next(version["name"] for version in spec["versions"] if version.get("storage"))
    return Kind(
        spec["group"],
        names["plural"],
        names["kind"],
        spec["scope"] == "Namespaced",
        {version["name"]: _version(spec, names, version) for version in served},
        storage,
        names.get("singular", ""),
        names.get("listKind", ""),
        tuple(names.get("shortNames") or ()),
        tuple(names.get("categories") or ()),
    )


@lru_cache(maxsize=64)
def _tree(source: bytes) -> schema.Schema:
    """The tree of a schema, read once for all versions, and for all servers of a process, that have it."""
    tree = schema.read(orjson.loads(source))
    tree.properties |= {"metadata": _META, "apiVersion": _TEXT, "kind": _TEXT}
    return tree


def _version(spec: Obj, names: Obj, version: Obj) -> Version:
    source = version["schema"]["openAPIV3Schema"]
    tree = _tree(orjson.dumps(source))
    subresources = version.get("subresources") or {}
    warning = ""
    if version.get("deprecated"):
        plain = f"{spec['group']}/{version['name']} {names['kind']} is deprecated"
        warning = version.get("deprecationWarning") or plain
    return Version(
        version["name"],
        _columns(version.get("additionalPrinterColumns")),
        tree,
        "status" in subresources,
        _scale(subresources.get("scale")),
        tuple(one["jsonPath"].lstrip(".") for one in version.get("selectableFields") or ()),
        warning,
        source,
        replace(tree, properties={**tree.properties, "metadata": structure("V1ObjectMeta") or _META}),
    )


def _columns(columns: list[Obj] | None) -> tuple[Column, ...]:
    if not columns:
        return (AGE,)
    return tuple(
        Column(
            column["name"],
            column["type"],
            column["jsonPath"],
            column.get("description", ""),
            column.get("format", ""),
            column.get("priority", 0),
        )
        for column in columns
    )


def _scale(source: Obj | None) -> Scale | None:
    if source is None:
        return None

    def keys(path: str) -> tuple[str, ...]:
        return tuple(part for part in path.split(".") if part)

    selector = source.get("labelSelectorPath")
    return Scale(
        keys(source["specReplicasPath"]), keys(source["statusReplicasPath"]), keys(selector) if selector else None
    )
