"""What follows from namespaces: a default service account in each, and their end, which empties them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from simulator.api.discovery.registry import Registry
from simulator.api.objects import now
from simulator.api.store import Store, Stored
from simulator.api.upkeep import deletion
from simulator.api.upkeep.garbage import finish

Obj = dict[str, Any]
NAMESPACES = ("", "namespaces")
ROOT_CA = "kube-root-ca.crt"


class Namespaces:
    """Furnishes new namespaces and empties those that are being deleted."""

    def __init__(self, store: Store, registry: Registry, root_ca: str = "") -> None:
        self._store = store
        self._registry = registry
        self._root_ca = root_ca

    def look(self, name: str) -> None:
        """Bring one namespace a step on."""
        stored = self._store.get(NAMESPACES, ("", name))
        if stored is None:
            return
        if stored.obj["metadata"].get("deletionTimestamp"):
            self._empty(stored, name)
        else:
            self._furnish(name)

    def _furnish(self, name: str) -> None:
        self._ensure(("", "serviceaccounts"), "ServiceAccount", name, "default", {})
        if self._root_ca:
            self._ensure(("", "configmaps"), "ConfigMap", name, ROOT_CA, {"data": {"ca.crt": self._root_ca}})

    def _ensure(self, collection: tuple[str, str], kind: str, namespace: str, name: str, body: Obj) -> None:
        if self._registry.get(collection) is None or self._store.get(collection, (namespace, name)) is not None:
            return
        meta = {"name": name, "namespace": namespace, "uid": str(uuid.uuid4()), "creationTimestamp": now()}
        obj = {"apiVersion": "v1", "kind": kind, "metadata": meta, **body}
        self._store.put(collection, (namespace, name), obj, expected=None)

    def _empty(self, stored: Stored, name: str) -> None:
        for kind in self._registry:
            if kind.namespaced:
                for one in self._store.list(kind.collection, name):
                    if not one.obj["metadata"].get("deletionTimestamp"):
                        deletion.delete(self._store, kind, one, deletion.Options("Background"))
        left = list(self._left(name))
        conditions = _conditions(left)
        current = self._store.get(NAMESPACES, ("", name))
        if current is None:
            return
        obj = {**current.obj, "metadata": {**current.obj["metadata"]}}
        if not left:
            obj["spec"] = {**obj["spec"], "finalizers": [f for f in obj["spec"]["finalizers"] if f != "kubernetes"]}
        elif _said(obj) == [(one["type"], one["message"]) for one in conditions]:
            return
        obj["status"] = {"phase": "Terminating", "conditions": conditions}
        finish(self._store, (NAMESPACES, ("", name)), obj, current)

    def _left(self, name: str) -> Iterator[tuple[str, list[Stored]]]:
        for kind in self._registry:
            found = self._store.list(kind.collection, name) if kind.namespaced else []
            if found:
                yield (f"{kind.plural}.{kind.group}" if kind.group else f"{kind.plural}."), found


def _said(obj: Obj) -> list[tuple[str, str]]:
    conditions = (obj.get("status") or {}).get("conditions") or []
    return [(one["type"], one["message"]) for one in conditions]


def _conditions(left: list[tuple[str, list[Stored]]]) -> list[Obj]:
    """In the words of the real namespace controller."""
    finalizers: dict[str, int] = {}
    for _, found in left:
        for stored in found:
            for finalizer in stored.obj["metadata"].get("finalizers") or []:
                finalizers[finalizer] = finalizers.get(finalizer, 0) + 1
    resources = ", ".join(f"{name} has {len(found)} resource instances" for name, found in left)
    held = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(finalizers.items()))
    said = [
        ("NamespaceDeletionDiscoveryFailure", False, "ResourcesDiscovered", "All resources successfully discovered"),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            False,
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        (
            "NamespaceDeletionContentFailure",
            False,
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
        (
            "NamespaceContentRemaining",
            bool(left),
            "SomeResourcesRemain" if left else "ContentRemoved",
            f"Some resources are remaining: {resources}" if left else "All content successfully removed",
        ),
        (
            "NamespaceFinalizersRemaining",
            bool(held),
            "SomeFinalizersRemain" if held else "ContentHasNoFinalizers",
            f"Some content in the namespace has finalizers remaining: {held}"
            if held
            else "All content-preserving finalizers finished",
        ),
    ]
    stamp = now()
    return [
        {
            "type": type_,
            "status": "True" if status else "False",
            "lastTransitionTime": stamp,
            "reason": reason,
            "message": message,
        }
        for type_, status, reason, message in said
    ]
