"""What a scope of objects holds, as its watch and the answers to own writes show it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pool.kube.client import Object

Key = tuple[str | None, str]
Changed = Callable[[Object, bool], None]
"""Is told an object, and whether it is there (it came or changed) or went."""


class View:
    """The objects of a scope, and up to which resourceVersion everything that happened to them has been seen."""

    def __init__(self) -> None:
        self.version = 0
        self.current = False
        """Whether the watch goes on; while it is interrupted, nothing new is seen."""
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Ends only by failing: why the watch cannot go on."""
        self._objects: dict[Key, Object] = {}
        self._listeners: list[Changed] = []
        self._awaited: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    def note(self, obj: Object) -> None:
        """Take the answer to an own write, which the watch tells later."""
        if version_of(obj) > self.version:
            self._put(obj)

    async def reached(self, version: str) -> None:
        """Wait until everything up to that resourceVersion has been seen."""
        if self.failure.done():
            await self.failure
        if self.version < number(version):
            seen: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            heapq.heappush(self._awaited, (number(version), next(self._numbers), seen))
            await seen

    @contextmanager
    def told(self, changed: Changed) -> Iterator[None]:
        """While entered, `changed` is told what comes, changes and goes, and at first what is there."""
        self._listeners.append(changed)
        for obj in self._objects.values():
            changed(obj, True)
        try:
            yield
        finally:
            self._listeners.remove(changed)

    def take(self, kind: str, obj: Object) -> None:
        """An event of the watch."""
        if kind == "DELETED":
            self._drop(obj)
        elif kind != "BOOKMARK":
            self._put(obj)
        self._see(version_of(obj))

    def relist(self, items: list[Object], version: int) -> None:
        """What a list shows that is of this version."""
        there = {key_of(item) for item in items}
        for key in [key for key, obj in self._objects.items() if key not in there and version_of(obj) <= version]:
            self._drop(self._objects[key])
        for item in items:
            self._put(item)
        self._see(version)

    def fail(self, error: Exception) -> None:
        """The watch ended."""
        self.current = False
        if not self.failure.done():
            self.failure.set_exception(error)
            self.failure.exception()  # who follows may never ask
        for *_, seen in self._awaited:
            if not seen.done():
                seen.set_exception(error)
        self._awaited.clear()

    def _put(self, obj: Object) -> None:
        before = self._objects.get(key_of(obj))
        if before is None or version_of(before) < version_of(obj):
            self._objects[key_of(obj)] = obj
            self._tell(obj, there=True)

    def _drop(self, obj: Object) -> None:
        before = self._objects.get(key_of(obj))
        if before is not None and version_of(before) <= version_of(obj):
            del self._objects[key_of(obj)]
            self._tell(obj, there=False)

    def _see(self, version: int) -> None:
        self.version, self.current = version, True
        while self._awaited and self._awaited[0][0] <= version:
            seen = heapq.heappop(self._awaited)[2]
            if not seen.done():
                seen.set_result(None)

    def _tell(self, obj: Object, *, there: bool) -> None:
        for changed in tuple(self._listeners):
            changed(obj, there)


def key_of(obj: Object) -> Key:
    """Namespace and name of an object."""
    metadata = obj["metadata"]
    return metadata.get("namespace"), metadata["name"]


def version_of(obj: Object) -> int:
    """Its resourceVersion as a number."""
    return number(obj["metadata"]["resourceVersion"])


def number(version: str) -> int:
    """A resourceVersion as a number: Kubernetes compares them so since 1.35, and etcd always numbered them."""
    return int(version)
