"""ResourceQuotas: refuse what goes over them, and say in their status how much is used."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from simulator.api.admission import AdmissionRequest
from simulator.api.errors import ApiError, forbidden
from simulator.api.quantities import quantity, written
from simulator.api.store import Change, Collection, Store

Obj = dict[str, Any]
QUOTAS: Collection = ("", "resourcequotas")
_COUNTED = {
    ("", "pods"),
    ("", "services"),
    ("", "secrets"),
    ("", "configmaps"),
    ("", "persistentvolumeclaims"),
    ("", "resourcequotas"),
}
_CLASS = ".storageclass.storage.k8s.io/"


def usage(collection: Collection, obj: Obj) -> dict[str, Decimal]:
    """What one object takes of every resource that a quota can limit."""
    group, plural = collection
    used = {f"count/{plural}.{group}" if group else f"count/{plural}": Decimal(1)}
    if collection == ("", "pods"):
        return used | _pod(obj)
    if collection in _COUNTED:
        used[plural] = Decimal(1)
    if collection == ("", "persistentvolumeclaims"):
        spec = obj.get("spec") or {}
        size = quantity(((spec.get("resources") or {}).get("requests") or {}).get("storage", "0"))
        used["requests.storage"] = size
        name = spec.get("storageClassName")
        if name:
            used |= {f"{name}{_CLASS}requests.storage": size, f"{name}{_CLASS}persistentvolumeclaims": Decimal(1)}
    return used


def _pod(obj: Obj) -> dict[str, Decimal]:
    if (obj.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return {"count/pods": Decimal(1)}
    used = {"count/pods": Decimal(1), "pods": Decimal(1)}
    for kind in ("requests", "limits"):
        for container in (obj.get("spec") or {}).get("containers") or []:
            for name, amount in ((container.get("resources") or {}).get(kind) or {}).items():
                names = (f"{kind}.{name}", name) if kind == "requests" else (f"{kind}.{name}",)
                for one in names:
                    used[one] = used.get(one, Decimal(0)) + quantity(amount)
    return used


class Quotas:
    """The admission hook, and the controller that keeps `status.used`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._used: dict[str, dict[str, Decimal]] = {}
        """What each namespace uses that was asked about, kept with every write: some have thousands of Events."""
        store.listen(self._count)

    def __call__(self, request: AdmissionRequest) -> None:
        """Raises ApiError 403 when the write takes more of something than its quota has left."""
        if request.operation not in ("CREATE", "UPDATE") or request.subresource or not request.namespace:
            return
        quotas = self._store.list(QUOTAS, request.namespace)
        if not quotas:
            return
        collection = (request.gvr.group, request.gvr.plural)
        wanted = usage(collection, request.object)
        before = usage(collection, request.old_object) if request.old_object else {}
        more = {name: amount - before.get(name, Decimal(0)) for name, amount in wanted.items()}
        more = {name: amount for name, amount in more.items() if amount > 0}
        if not more:
            return
        used = self.used(request.namespace)
        for stored in quotas:
            fault = _exceeded(stored.obj, more, used)
            if fault:
                raise _refused(request, fault)

    def used(self, namespace: str) -> dict[str, Decimal]:
        """What the namespace uses at the moment."""
        if namespace not in self._used:
            total = self._used[namespace] = {}
            for collection in self._store.collections():
                for stored in self._store.list(collection, namespace):
                    _add(total, usage(collection, stored.obj))
        return self._used[namespace]

    def _count(self, change: Change) -> None:
        total = self._used.get(change.key[0])
        if total is None:
            return
        if change.before is not None:
            _add(total, {name: -amount for name, amount in usage(change.collection, change.before.obj).items()})
        if change.type != "DELETED":
            _add(total, usage(change.collection, change.stored.obj))

    def concerns(self, change: Change) -> bool:
        """Whether the change may alter what a quota says."""
        namespace = change.key[0]
        return bool(namespace) and self._store.count(QUOTAS, namespace) > 0

    def look(self, namespace: str) -> None:
        """Bring the statuses of the namespace's quotas up to date."""
        used = self.used(namespace)
        for stored in self._store.list(QUOTAS, namespace):
            hard = stored.obj["spec"].get("hard") or {}
            amounts = {name: written(used.get(name, Decimal(0)), str(limit)) for name, limit in sorted(hard.items())}
            status = {"hard": hard, "used": amounts}
            if stored.obj.get("status") != status and not stored.obj["metadata"].get("deletionTimestamp"):
                obj = {**stored.obj, "metadata": {**stored.obj["metadata"]}, "status": status}
                self._store.put(QUOTAS, (namespace, obj["metadata"]["name"]), obj, expected=stored.version)


def _add(total: dict[str, Decimal], amounts: dict[str, Decimal]) -> None:
    for name, amount in amounts.items():
        total[name] = total.get(name, Decimal(0)) + amount


def _exceeded(quota: Obj, more: dict[str, Decimal], used: dict[str, Decimal]) -> str:
    hard = quota["spec"].get("hard") or {}
    over = [
        name for name in sorted(hard) if name in more and used.get(name, Decimal(0)) + more[name] > quantity(hard[name])
    ]
    if not over:
        return ""
    requested = ",".join(_said(over, more, hard))
    using = ",".join(_said(over, used, hard))
    limited = ",".join(f"{name}={hard[name]}" for name in over)
    name = quota["metadata"]["name"]
    return f"exceeded quota: {name}, requested: {requested}, used: {using}, limited: {limited}"


def _said(names: list[str], amounts: dict[str, Decimal], hard: Obj) -> Iterator[str]:
    for name in names:
        yield f"{name}={written(amounts.get(name, Decimal(0)), str(hard[name]))}"


def _refused(request: AdmissionRequest, fault: str) -> ApiError:
    return forbidden(request.gvr.group, request.gvr.plural, request.name, fault)
