"""What is in every cluster from the start."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from simulator.api.objects import now
from simulator.api.store import Store

Obj = dict[str, Any]
_RBAC = "rbac.authorization.k8s.io"


def seed(store: Store, namespaces: Iterable[str]) -> None:
    """Put the first objects in, unless the store has them."""
    for name in namespaces:
        body = {"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
        _put(store, ("", "namespaces"), "Namespace", "v1", name, body, {"kubernetes.io/metadata.name": name})
    for name, rules in _ROLES.items():
        _put(store, (_RBAC, "clusterroles"), "ClusterRole", f"{_RBAC}/v1", name, {"rules": rules}, _BOOTSTRAP)
    for name, groups in _BINDINGS.items():
        body = {
            "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": _RBAC, "kind": "Group", "name": group} for group in groups],
        }
        _put(store, (_RBAC, "clusterrolebindings"), "ClusterRoleBinding", f"{_RBAC}/v1", name, body, _BOOTSTRAP)


def _put(store: Store, collection: tuple[str, str], kind: str, version: str, name: str, body: Obj, labels: Obj) -> None:
    if store.get(collection, ("", name)) is not None:
        return
    meta = {"name": name, "uid": str(uuid.uuid4()), "creationTimestamp": now(), "labels": labels}
    store.put(collection, ("", name), {"apiVersion": version, "kind": kind, "metadata": meta, **body}, expected=None)


def _rule(verbs: str, **more: list[str]) -> Obj:
    return {"verbs": verbs.split(), **more}


_BOOTSTRAP = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_READ = "get list watch"
_WRITE = "create delete deletecollection patch update"
_COMMON = [
    _rule(
        f"{_READ}",
        apiGroups=[""],
        resources=[
            "pods",
            "pods/log",
            "services",
            "endpoints",
            "configmaps",
            "events",
            "persistentvolumeclaims",
            "serviceaccounts",
            "resourcequotas",
            "limitranges",
            "namespaces",
        ],
    ),
    _rule(f"{_READ}", apiGroups=["apps", "batch", "networking.k8s.io", "policy", "discovery.k8s.io"], resources=["*"]),
]
_EDIT = [
    *_COMMON,
    _rule(
        f"{_READ} {_WRITE}",
        apiGroups=[""],
        resources=[
            "pods",
            "services",
            "endpoints",
            "configmaps",
            "secrets",
            "persistentvolumeclaims",
            "serviceaccounts",
        ],
    ),
    _rule(
        f"{_READ} {_WRITE}",
        apiGroups=["apps", "batch", "networking.k8s.io", "policy", "coordination.k8s.io"],
        resources=["*"],
    ),
]
_ROLES: dict[str, list[Obj]] = {
    "cluster-admin": [_rule("*", apiGroups=["*"], resources=["*"]), _rule("*", nonResourceURLs=["*"])],
    "admin": [*_EDIT, _rule(f"{_READ} {_WRITE}", apiGroups=[_RBAC], resources=["roles", "rolebindings"])],
    "edit": _EDIT,
    "view": _COMMON,
    "system:basic-user": [
        _rule(
            "create",
            apiGroups=["authorization.k8s.io"],
            resources=["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
        ),
        _rule("create", apiGroups=["authentication.k8s.io"], resources=["selfsubjectreviews"]),
    ],
    "system:discovery": [
        _rule(
            "get",
            nonResourceURLs=[
                "/api",
                "/api/*",
                "/apis",
                "/apis/*",
                "/healthz",
                "/livez",
                "/openapi",
                "/openapi/*",
                "/readyz",
                "/version",
                "/version/",
            ],
        )
    ],
    "system:public-info-viewer": [
        _rule("get", nonResourceURLs=["/healthz", "/livez", "/readyz", "/version", "/version/"])
    ],
}
_BINDINGS: dict[str, list[str]] = {
    "cluster-admin": ["system:masters"],
    "system:basic-user": ["system:authenticated"],
    "system:discovery": ["system:authenticated"],
    "system:public-info-viewer": ["system:authenticated", "system:unauthenticated"],
}
