"""The objects of an API server and their history, in memory: one counter of versions, as etcd has one revision.

A stored object is never changed in place: a write puts a new one in. So reading needs no copy of the whole, a dump of
the store is a shallow copy, and its JSON is made at most once a version.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

Obj = dict[str, Any]
Key = tuple[str, str]
"""Namespace (empty for cluster-scoped objects) and name."""
Collection = tuple[str, str]
"""Group and plural: all versions of a kind share one collection."""

HISTORY = 2000
"""Changes kept a collection; a watch from before the oldest gets 410 Gone, as after etcd's compaction."""


class Stored:
    """One version of one object, with its JSON made on first use; `ordered`: with the keys of all maps in order."""

    __slots__ = ("_json", "obj", "ordered", "version")

    def __init__(self, obj: Obj, version: int, *, ordered: bool = False) -> None:
        self.obj = obj
        self.version = version
        self.ordered = ordered
        self._json: bytes | None = None

    @property
    def json(self) -> bytes:
        if self._json is None:
            self._json = orjson.dumps(self.obj, option=orjson.OPT_SORT_KEYS if self.ordered else 0)
        return self._json

    def order(self) -> None:
        """Have the keys in order from now on."""
        if not self.ordered:
            self.ordered, self._json = True, None


class Change:
    """One write: ADDED, MODIFIED or DELETED; `before` is the version it replaced; `line`: as most watches tell it."""

    __slots__ = ("before", "collection", "key", "line", "stored", "type", "version")

    def __init__(self, type_: str, collection: Collection, key: Key, stored: Stored, before: Stored | None) -> None:
        self.type = type_
        self.collection = collection
        self.key = key
        self.stored = stored
        self.before = before
        self.version = stored.version
        self.line = b""


Listener = Callable[[Change], None]
Changes = list[Change]
History = list[tuple[Key, Stored]]


@dataclass
class _Log:
    objects: dict[Key, Stored] = field(default_factory=dict)
    by_namespace: dict[str, dict[Key, Stored]] = field(default_factory=dict)
    changes: deque[Change] = field(default_factory=deque)
    compacted: int = 0
    listeners: dict[str, dict[int, Listener]] = field(default_factory=dict)


class Conflict(Exception):
    """The object is not at the version that the writer saw."""


class Store:
    """All collections of one API server. Listeners are called within the write, in the order of versions."""

    def __init__(self, history: int = HISTORY) -> None:
        self.version = 1
        self._history = history
        self._logs: dict[Collection, _Log] = {}
        self._listeners: dict[int, Listener] = {}
        self._tickets = 0
        self._ordered: set[Collection] = set()

    def order(self, collection: Collection) -> None:
        """Have the keys in the JSON of these in order: a server that has no type for them writes maps, as Go does."""
        self._ordered.add(collection)
        for stored in self._log(collection).objects.values():
            stored.order()

    def get(self, collection: Collection, key: Key) -> Stored | None:
        log = self._logs.get(collection)
        return log.objects.get(key) if log else None

    def list(self, collection: Collection, namespace: str = "") -> list[Stored]:
        """Objects in the order of their keys; `namespace` empty: all of them."""
        objects = self._objects(collection, namespace)
        return [objects[key] for key in sorted(objects)]

    def count(self, collection: Collection, namespace: str = "") -> int:
        return len(self._objects(collection, namespace))

    def list_at(self, collection: Collection, namespace: str, version: int) -> History | None:
        """The list as it was at `version`; None when the history does not reach back that far."""
        objects = dict(self._objects(collection, namespace))
        later = self.since(collection, version)
        if later is None:
            return None
        for change in reversed(later):
            if namespace and change.key[0] != namespace:
                continue
            if change.before is None:
                objects.pop(change.key, None)
            else:
                objects[change.key] = change.before
        return sorted(objects.items(), key=lambda item: item[0])

    def put(self, collection: Collection, key: Key, obj: Obj, *, expected: int | None) -> Stored:
        """Write `obj`, whose metadata gets the new resourceVersion.

        `expected` is the version it replaces, None when it must not exist. Raises Conflict otherwise.
        """
        log = self._log(collection)
        before = log.objects.get(key)
        if (before.version if before else None) != expected:
            raise Conflict
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)
        stored = Stored(obj, self.version, ordered=collection in self._ordered)
        log.objects[key] = stored
        log.by_namespace.setdefault(key[0], {})[key] = stored
        self._record(log, Change("MODIFIED" if before else "ADDED", collection, key, stored, before))
        return stored

    def remove(self, collection: Collection, key: Key, obj: Obj, *, expected: int) -> Stored:
        """Remove the object at version `expected`, seen last as `obj`, with the version of its deletion."""
        log = self._log(collection)
        before = log.objects.get(key)
        if before is None or before.version != expected:
            raise Conflict
        del log.objects[key]
        del log.by_namespace[key[0]][key]
        self.version += 1
        last = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.version)}}
        stored = Stored(last, self.version, ordered=before.ordered)
        self._record(log, Change("DELETED", collection, key, stored, before))
        return stored

    def since(self, collection: Collection, version: int) -> Changes | None:
        """Changes after `version`, oldest first; None when some of them are no longer kept."""
        log = self._log(collection)
        if version < log.compacted:
            return None
        found: list[Change] = []
        for change in reversed(log.changes):
            if change.version <= version:
                break
            found.append(change)
        found.reverse()
        return found

    def oldest(self, collection: Collection) -> int:
        """The version before which nothing is known any more."""
        return self._log(collection).compacted

    def compact(self) -> None:
        """Forget all history, as etcd's compaction does every few minutes."""
        for log in self._logs.values():
            log.changes.clear()
            log.compacted = self.version

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every change of every collection. Returns the call that ends it."""
        return self._register(self._listeners, listener)

    def follow(self, collection: Collection, namespace: str, listener: Listener) -> Callable[[], None]:
        """Call `listener` with the changes of a collection, of one namespace unless that is empty."""
        return self._register(self._log(collection).listeners.setdefault(namespace, {}), listener)

    def followers(self, collection: Collection, namespace: str) -> int:
        """How many follow the very same changes."""
        return len(self._log(collection).listeners.get(namespace, ()))

    def collections(self) -> Iterator[Collection]:
        """Collections that hold an object."""
        yield from [collection for collection, log in self._logs.items() if log.objects]

    def dump(self) -> dict[Collection, dict[Key, Stored]]:
        """The content as of now; cheap, since what is stored never changes."""
        return {collection: dict(log.objects) for collection, log in self._logs.items() if log.objects}

    @classmethod
    def load(cls, content: dict[Collection, dict[Key, Stored]], version: int = 1) -> Store:
        """A store with that content, its versions going on after the newest one (and after `version`)."""
        store = cls()
        store.version = version
        for collection, objects in content.items():
            log = store._log(collection)
            log.objects.update(objects)
            for key, stored in objects.items():
                log.by_namespace.setdefault(key[0], {})[key] = stored
                store.version = max(store.version, stored.version)
        for log in store._logs.values():
            log.compacted = store.version
        return store

    def _objects(self, collection: Collection, namespace: str) -> dict[Key, Stored]:
        log = self._logs.get(collection)
        if log is None:
            return {}
        return log.by_namespace.get(namespace, {}) if namespace else log.objects

    def _log(self, collection: Collection) -> _Log:
        log = self._logs.get(collection)
        if log is None:
            log = self._logs[collection] = _Log()
        return log

    def _register(self, listeners: dict[int, Listener], listener: Listener) -> Callable[[], None]:
        self._tickets += 1
        ticket = self._tickets
        listeners[ticket] = listener
        return lambda: listeners.pop(ticket, None) and None

    def _record(self, log: _Log, change: Change) -> None:
        if len(log.changes) >= self._history:
            log.compacted = log.changes.popleft().version
        log.changes.append(change)
        for listener in list(self._listeners.values()):
            listener(change)
        for listener in list(log.listeners.get("", {}).values()):
            listener(change)
        if change.key[0]:
            for listener in list(log.listeners.get(change.key[0], {}).values()):
                listener(change)
