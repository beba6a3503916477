"""The API server's own controllers: garbage, namespaces, definitions that go away, Events past their time."""

from __future__ import annotations

import asyncio
import logging

from simulator.api.definitions.crds import CLEANUP, CRDS, is_terminating, terminating
from simulator.api.discovery.registry import Registry
from simulator.api.store import Change, Store
from simulator.api.upkeep.deletion import Options, delete
from simulator.api.upkeep.expiry import Expiry
from simulator.api.upkeep.garbage import Garbage, Item, finish
from simulator.api.upkeep.namespaces import NAMESPACES, Namespaces
from simulator.api.upkeep.quotas import QUOTAS, Quotas

log = logging.getLogger("simulator.api.housekeeping")


class Housekeeping:
    """Looks at what was written, soon after, in a task of its own."""

    def __init__(self, store: Store, registry: Registry, quotas: Quotas, expiry: Expiry, root_ca: str = "") -> None:
        self._store = store
        self._registry = registry
        self._dirty: dict[Item, None] = {}
        self._news = asyncio.Event()
        self._garbage = Garbage(store, registry, self._queue)
        self._quotas = quotas
        self._expiry = expiry
        self._namespaces = Namespaces(store, registry, root_ca)
        for stored in store.list(NAMESPACES):
            self._queue((NAMESPACES, ("", stored.obj["metadata"]["name"])))
        self._stop = store.listen(self._changed)

    def stop(self) -> None:
        """Look at no more writes."""
        self._stop()
        self._expiry.stop()

    def _queue(self, item: Item) -> None:
        self._dirty[item] = None
        self._news.set()

    def _changed(self, change: Change) -> None:
        self._garbage.saw(change)
        namespace = change.key[0]
        if self._quotas.concerns(change):
            self._queue((QUOTAS, (namespace, "")))
        if change.collection in (NAMESPACES, CRDS) and change.type != "DELETED":
            self._queue((change.collection, change.key))
        elif change.type == "DELETED":
            if namespace:
                self._queue((NAMESPACES, ("", namespace)))
            definition = (CRDS, ("", f"{change.collection[1]}.{change.collection[0]}"))
            if change.collection[0]:
                self._queue(definition)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._expiry.run())
            tasks.create_task(self._look_after())

    async def _look_after(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            items, self._dirty = self._dirty, {}
            for item in items:
                try:
                    self._look(item)
                except Exception:
                    log.exception("looking after %s failed", item)
            # Others get their turn between two rounds, however much there is to do.
            await asyncio.sleep(0)

    def _look(self, item: Item) -> None:
        if item[0] == QUOTAS and not item[1][1]:
            self._quotas.look(item[1][0])
            return
        self._garbage.look(item)
        if item[0] == NAMESPACES:
            self._namespaces.look(item[1][1])
        elif item[0] == CRDS:
            self._definition(item)

    def _definition(self, item: Item) -> None:
        """A definition goes when all objects of its kind are gone."""
        stored = self._store.get(*item)
        if stored is None or not stored.obj["metadata"].get("deletionTimestamp"):
            return
        if not is_terminating(stored.obj):
            finish(self._store, item, {**stored.obj, "status": terminating(stored.obj)}, stored)
        spec = stored.obj["spec"]
        kind = self._registry.get((spec["group"], spec["names"]["plural"]))
        if kind is not None:
            for one in self._store.list(kind.collection):
                if not one.obj["metadata"].get("deletionTimestamp"):
                    delete(self._store, kind, one, Options("Background"))
            if self._store.count(kind.collection):
                return
        current = self._store.get(*item)
        if current is not None:
            meta = dict(current.obj["metadata"])
            meta["finalizers"] = [one for one in meta.get("finalizers") or [] if one != CLEANUP]
            finish(self._store, item, {**current.obj, "metadata": meta}, current)
