"""Removes what nobody owns any more, and carries out foreground and orphaning deletions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from simulator.api.discovery.registry import Registry
from simulator.api.store import Change, Collection, Key, Store, Stored
from simulator.api.upkeep import deletion
from simulator.api.upkeep.deletion import FOREGROUND, ORPHAN

Obj = dict[str, Any]
Item = tuple[Collection, Key]


class Garbage:
    """The graph of owners and dependents; `queue` is called with every object that needs a look."""

    def __init__(self, store: Store, registry: Registry, queue: Callable[[Item], None]) -> None:
        self._store = store
        self._registry = registry
        self._queue = queue
        self._live: dict[str, Item] = {}
        self._dependents: dict[str, set[Item]] = {}
        for collection in store.collections():
            for stored in store.list(collection):
                meta = stored.obj["metadata"]
                self._added((collection, (meta.get("namespace", ""), meta["name"])), stored.obj)

    def saw(self, change: Change) -> None:
        """Keep the graph in step with a write."""
        item = (change.collection, change.key)
        if change.type == "DELETED":
            self._removed(item, change.stored.obj)
            return
        if change.before is not None:
            before, after = change.before.obj["metadata"], change.stored.obj["metadata"]
            if before.get("ownerReferences") != after.get("ownerReferences"):
                self._unlink(item, change.before.obj)
            elif before.get("deletionTimestamp") == after.get("deletionTimestamp"):
                if after.get("deletionTimestamp") and before.get("finalizers") != after.get("finalizers"):
                    self._queue(item)
                return
        self._added(item, change.stored.obj)

    def _added(self, item: Item, obj: Obj) -> None:
        meta = obj["metadata"]
        self._live[meta["uid"]] = item
        for owner in meta.get("ownerReferences") or ():
            self._dependents.setdefault(owner["uid"], set()).add(item)
        if meta.get("ownerReferences") or meta.get("deletionTimestamp"):
            self._queue(item)

    def _removed(self, item: Item, obj: Obj) -> None:
        meta = obj["metadata"]
        if self._live.get(meta["uid"]) == item:
            del self._live[meta["uid"]]
        self._unlink(item, obj)
        for dependent in self._dependents.pop(meta["uid"], ()):
            self._queue(dependent)
        for owner in meta.get("ownerReferences") or ():
            if owner["uid"] in self._live:
                self._queue(self._live[owner["uid"]])

    def _unlink(self, item: Item, obj: Obj) -> None:
        for owner in obj["metadata"].get("ownerReferences") or ():
            self._dependents.get(owner["uid"], set()).discard(item)

    def look(self, item: Item) -> None:
        """Bring one object a step on."""
        stored = self._store.get(*item)
        if stored is None:
            return
        meta = stored.obj["metadata"]
        if meta.get("deletionTimestamp"):
            finalizers = meta.get("finalizers") or []
            if ORPHAN in finalizers:
                self._orphan(item, stored)
            elif FOREGROUND in finalizers:
                self._foreground(item, stored)
        elif meta.get("ownerReferences"):
            self._owned(item, stored)

    def _orphan(self, item: Item, stored: Stored) -> None:
        uid = stored.obj["metadata"]["uid"]
        for dependent, obj in self._of(uid):
            kept = [owner for owner in obj.obj["metadata"]["ownerReferences"] if owner["uid"] != uid]
            self._write(dependent, obj, ownerReferences=kept)
        self._drop_finalizer(item, stored, ORPHAN)

    def _foreground(self, item: Item, stored: Stored) -> None:
        uid = stored.obj["metadata"]["uid"]
        blocking = False
        for dependent, obj in self._of(uid):
            reference = next(one for one in obj.obj["metadata"]["ownerReferences"] if one["uid"] == uid)
            blocking = blocking or bool(reference.get("blockOwnerDeletion"))
            if not obj.obj["metadata"].get("deletionTimestamp"):
                self._delete(dependent, obj, "Foreground")
        left = [one for one, _ in self._of(uid)]
        if not blocking or not left:
            self._drop_finalizer(item, stored, FOREGROUND)

    def _owned(self, item: Item, stored: Stored) -> None:
        owners = stored.obj["metadata"]["ownerReferences"]
        absent = [owner for owner in owners if self._absent(owner, item)]
        if not absent:
            return
        if len(absent) == len(owners):
            self._delete(item, stored, None)
        else:
            gone = {owner["uid"] for owner in absent}
            self._write(item, stored, ownerReferences=[owner for owner in owners if owner["uid"] not in gone])

    def _absent(self, owner: Obj, item: Item) -> bool:
        kind = self._registry.of_object(owner["apiVersion"], owner["kind"])
        if kind is None:
            # An owner of a kind that is not served may exist for all that is known.
            return False
        live = self._live.get(owner["uid"])
        return live is None or live[0] != kind.collection or (kind.namespaced and live[1][0] != item[1][0])

    def _of(self, uid: str) -> Iterator[tuple[Item, Stored]]:
        for item in list(self._dependents.get(uid, ())):
            stored = self._store.get(*item)
            if stored is not None:
                yield item, stored

    def _delete(self, item: Item, stored: Stored, propagation: str | None) -> None:
        kind = self._registry.get(item[0])
        if kind is not None:
            deletion.delete(self._store, kind, stored, deletion.Options(propagation))

    def _drop_finalizer(self, item: Item, stored: Stored, finalizer: str) -> None:
        current = self._store.get(*item)
        if current is not None:
            kept = [one for one in current.obj["metadata"].get("finalizers") or [] if one != finalizer]
            self._write(item, current, finalizers=kept)

    def _write(self, item: Item, stored: Stored, **fields: list[Any]) -> None:
        meta = {**stored.obj["metadata"], **fields}
        for name, value in fields.items():
            if not value:
                del meta[name]
        finish(self._store, item, {**stored.obj, "metadata": meta}, stored)


def finish(store: Store, item: Item, obj: Obj, stored: Stored) -> Stored:
    """Store `obj`, or remove it when it was only held by what it has no longer. Raises store.Conflict."""
    meta = obj["metadata"]
    held = meta.get("finalizers") or (item[0] == ("", "namespaces") and obj["spec"].get("finalizers"))
    if meta.get("deletionTimestamp") and not held and not meta.get("deletionGracePeriodSeconds"):
        return store.remove(item[0], item[1], obj, expected=stored.version)
    return store.put(item[0], item[1], obj, expected=stored.version)
