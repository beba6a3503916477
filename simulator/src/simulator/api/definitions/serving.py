"""Keeps the registry in step with the CustomResourceDefinitions in the store."""

from __future__ import annotations

import asyncio

from simulator.api.definitions.crds import CRDS, accepted, kind_of
from simulator.api.discovery.registry import Registry
from simulator.api.store import Change, Conflict, Store, Stored


class Definitions:
    """Serves a definition's kind a moment after it was written, then says Established, as the real server does."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry

    def begin(self) -> None:
        """Serve what the store has, and follow it."""
        for stored in self._store.list(CRDS):
            self._serve(stored)
        self._store.follow(CRDS, "", self._changed)

    def _changed(self, change: Change) -> None:
        if change.type == "DELETED":
            spec = change.stored.obj["spec"]
            self._registry.remove((spec["group"], spec["names"]["plural"]))
            return
        before = change.before
        if before is not None and before.obj["spec"] == change.stored.obj["spec"]:
            return
        asyncio.get_running_loop().call_soon(self._establish, change.key[1])

    def _establish(self, name: str) -> None:
        stored = self._store.get(CRDS, ("", name))
        if stored is None:
            return
        self._serve(stored)
        status = accepted(stored.obj)
        if stored.obj.get("status") == status:
            return
        try:
            self._store.put(
                CRDS,
                ("", name),
                {**stored.obj, "metadata": {**stored.obj["metadata"]}, "status": status},
                expected=stored.version,
            )
        except Conflict:
            raise RuntimeError("the store changed within one step of the loop") from None

    def _serve(self, stored: Stored) -> None:
        kind = kind_of(stored.obj)
        self._store.order(kind.collection)
        self._registry.add(kind)
