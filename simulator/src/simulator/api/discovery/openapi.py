"""OpenAPI documents: as much as `kubectl apply`, `diff` and `explain` ask for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from simulator.api.discovery.registry import Registry
from simulator.api.kinds import Kind
from simulator.api.schemas import REFERENCE, components, name_of

Obj = dict[str, Any]
_META = f"{REFERENCE}V1ObjectMeta"
_VERBS = {
    "get": ("get", "get"),
    "list": ("get", "list"),
    "create": ("post", "post"),
    "update": ("put", "put"),
    "patch": ("patch", "patch"),
    "delete": ("delete", "delete"),
}


def index(registry: Registry) -> Obj:
    """`/openapi/v3`: where the documents of the groups are."""
    paths = {}
    for group, versions in registry.groups().items():
        for version in versions:
            path = f"apis/{group}/{version}" if group else f"api/{version}"
            # Clients may keep a document for ever under its hash.
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={registry.generation}"}
    return {"paths": paths}


def document(registry: Registry, group: str, version: str) -> Obj | None:
    """The OpenAPI v3 document of one group and version."""
    kinds = [kind for kind in registry if kind.group == group and version in kind.versions]
    if not kinds:
        return None
    paths: Obj = {}
    schemas: Obj = {}
    for kind in kinds:
        paths |= _paths(kind, version)
        schemas[component(kind, version)] = _marked(kind, version)
    _close(schemas)
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.32.4"},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def document_v2(registry: Registry) -> Obj:
    """`/openapi/v2`: all groups in one Swagger document."""
    paths: Obj = {}
    definitions: Obj = {}
    for kind in registry:
        for version in kind.versions:
            found = document(registry, kind.group, version) or {}
            paths |= found["paths"]
            definitions |= found["components"]["schemas"]
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "v1.32.4"},
        "paths": paths,
        "definitions": _v2(definitions),
    }


def component(kind: Kind, version: str) -> str:
    """The name of a kind's schema in the documents."""
    if kind.builtin:
        return name_of(kind.group, kind.kind)
    reverse = ".".join(reversed(kind.group.split(".")))
    return f"{reverse}.{version}.{kind.kind}"


def _marked(kind: Kind, version: str) -> Obj:
    identity = [{"group": kind.group, "version": version, "kind": kind.kind}]
    if kind.builtin:
        source = components().get(component(kind, version), {"type": "object"})
    else:
        source = dict(kind.versions[version].openapi or {"type": "object"})
        properties = dict(source.get("properties") or {})
        properties["metadata"] = {"allOf": [{"$ref": _META}], "description": "Standard object's metadata."}
        source["properties"] = properties
    return {**source, "x-kubernetes-group-version-kind": identity}


def _close(schemas: Obj) -> None:
    """Add what the schemas refer to, directly or not."""
    known = components()
    open_names = [name for schema in list(schemas.values()) for name in references(schema)]
    while open_names:
        name = open_names.pop()
        if name not in schemas and name in known:
            schemas[name] = known[name]
            open_names += references(known[name])


def references(schema: Any) -> Iterator[str]:
    """Names that a schema refers to."""
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                yield value.removeprefix(REFERENCE)
            else:
                yield from references(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from references(item)


def _paths(kind: Kind, version: str) -> Obj:
    root = f"/apis/{kind.group}/{version}" if kind.group else f"/api/{version}"
    scope = "/namespaces/{namespace}" if kind.namespaced else ""
    collection, item = f"{root}{scope}/{kind.plural}", f"{root}{scope}/{kind.plural}/{{name}}"
    paths = {
        collection: _operations(kind, version, ("list", "create")),
        item: _operations(kind, version, ("get", "update", "patch", "delete")),
    }
    if kind.namespaced:
        paths[f"{root}/{kind.plural}"] = _operations(kind, version, ("list",))
    return paths


def _operations(kind: Kind, version: str, verbs: tuple[str, ...]) -> Obj:
    identity = {"group": kind.group, "version": version, "kind": kind.kind}
    body = {"$ref": f"{REFERENCE}{component(kind, version)}"}
    found: Obj = {}
    for verb in verbs:
        if verb not in kind.verbs:
            continue
        method, action = _VERBS[verb]
        answers = {"200": {"description": "OK", "content": {"application/json": {"schema": body}}}}
        found[method] = {
            "operationId": f"{verb}{kind.kind}",
            "responses": answers,
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": identity,
            "parameters": _parameters(verb),
        }
    return found


def _parameters(verb: str) -> list[Obj]:
    if verb in ("get", "list"):
        return []
    names = ["dryRun", *(() if verb == "delete" else ("fieldManager", "fieldValidation"))]
    return [{"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}} for name in names]


def _v2(value: Any) -> Any:
    if isinstance(value, dict):
        only = value.get("allOf")
        if isinstance(only, list) and len(only) == 1 and "$ref" in only[0]:
            return {"$ref": only[0]["$ref"].replace(REFERENCE, "#/definitions/")}
        return {key: _v2(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_v2(item) for item in value]
    return (
        value.replace(REFERENCE, "#/definitions/") if isinstance(value, str) and value.startswith(REFERENCE) else value
    )
