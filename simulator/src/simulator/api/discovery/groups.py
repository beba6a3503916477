"""Which groups, versions and resources there are: the plain documents and the aggregated ones."""

from __future__ import annotations

from typing import Any

from simulator.api.discovery.registry import Registry
from simulator.api.kinds import Kind, Version

Obj = dict[str, Any]
_AGGREGATED = "APIGroupDiscoveryList"
Extra = dict[tuple[str, str], list[Obj]]
"""APIResources of groups that are not stored, by group and version."""


def api_versions(server: str) -> Obj:
    """`/api`."""
    address = [{"clientCIDR": "0.0.0.0/0", "serverAddress": server}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": address}


def groups(registry: Registry, extra: Extra) -> dict[str, list[str]]:
    """Versions of all groups, the preferred one first."""
    found = registry.groups()
    for group, version in extra:
        versions = found.setdefault(group, [])
        if version not in versions:
            versions.append(version)
    return found


def group_list(registry: Registry, extra: Extra) -> Obj:
    """`/apis`."""
    named = [group(name, versions) for name, versions in groups(registry, extra).items() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": named}


def group(name: str, versions: list[str]) -> Obj:
    """One entry of `/apis`."""
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def one_group(registry: Registry, extra: Extra, name: str) -> Obj | None:
    """`/apis/GROUP`."""
    versions = groups(registry, extra).get(name)
    return {"kind": "APIGroup", "apiVersion": "v1", **group(name, versions)} if versions else None


def resource_list(registry: Registry, extra: Extra, name: str, version: str) -> Obj | None:
    """`/apis/GROUP/VERSION`, `/api/v1`."""
    if version not in groups(registry, extra).get(name, []):
        return None
    resources: list[Obj] = []
    for kind in registry:
        if kind.group == name and version in kind.versions:
            resources += _resources(kind, kind.versions[version])
    resources += extra.get((name, version), [])
    group_version = f"{name}/{version}" if name else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}


def _resources(kind: Kind, version: Version) -> list[Obj]:
    base: Obj = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": sorted(kind.verbs),
    }
    if kind.short_names:
        base["shortNames"] = list(kind.short_names)
    if kind.categories:
        base["categories"] = list(kind.categories)
    return [base, *(_subresource(kind, *one) for one in subresources(kind, version))]


def subresources(kind: Kind, version: Version) -> list[tuple[str, str, str, list[str]]]:
    """Name, group/version and kind of what it takes, verbs."""
    own = kind.api_version(version.name)
    found = []
    if version.status:
        found.append(("status", own, kind.kind, ["get", "patch", "update"]))
    if version.scale:
        found.append(("scale", "autoscaling/v1", "Scale", ["get", "patch", "update"]))
    special = {
        "token": ("authentication.k8s.io/v1", "TokenRequest", ["create"]),
        "binding": (own, "Binding", ["create"]),
        "finalize": (own, kind.kind, ["update"]),
        "log": (own, kind.kind, ["get"]),
    }
    return [*found, *((name, *special[name]) for name in kind.subresources)]


def _subresource(kind: Kind, name: str, group_version: str, of_kind: str, verbs: list[str]) -> Obj:
    entry: Obj = {
        "name": f"{kind.plural}/{name}",
        "singularName": "",
        "namespaced": kind.namespaced,
        "kind": of_kind,
        "verbs": verbs,
    }
    if group_version != kind.api_version(kind.storage):
        entry["group"], _, entry["version"] = group_version.rpartition("/")
    return entry


def aggregated(registry: Registry, extra: Extra, *, core: bool, version: str) -> Obj:
    """All groups with all resources in one document (`as=APIGroupDiscoveryList`)."""
    items = [
        _aggregated_group(registry, extra, name, versions)
        for name, versions in groups(registry, extra).items()
        if (name == "") is core
    ]
    return {"kind": _AGGREGATED, "apiVersion": f"apidiscovery.k8s.io/{version}", "metadata": {}, "items": items}


def _aggregated_group(registry: Registry, extra: Extra, name: str, versions: list[str]) -> Obj:
    listed = []
    for version in versions:
        resources = [
            _aggregated_resource(kind, kind.versions[version])
            for kind in registry
            if kind.group == name and version in kind.versions
        ]
        resources += [_aggregated_extra(name, version, one) for one in extra.get((name, version), [])]
        listed.append({"version": version, "freshness": "Current", "resources": resources})
    return {"metadata": {"name": name, "creationTimestamp": None}, "versions": listed}


def _aggregated_resource(kind: Kind, version: Version) -> Obj:
    entry: Obj = {
        "resource": kind.plural,
        "responseKind": {"group": kind.group, "version": version.name, "kind": kind.kind},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": sorted(kind.verbs),
    }
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    listed = []
    for name, group_version, of_kind, verbs in subresources(kind, version):
        group_name, _, version_name = group_version.rpartition("/")
        of = {"group": group_name, "version": version_name, "kind": of_kind}
        listed.append({"subresource": name, "responseKind": of, "verbs": verbs})
    if listed:
        entry["subresources"] = listed
    return entry


def _aggregated_extra(name: str, version: str, one: Obj) -> Obj:
    return {
        "resource": one["name"],
        "responseKind": {"group": one.get("group", name), "version": one.get("version", version), "kind": one["kind"]},
        "scope": "Namespaced" if one["namespaced"] else "Cluster",
        "singularResource": one.get("singularName", ""),
        "verbs": one["verbs"],
    }
