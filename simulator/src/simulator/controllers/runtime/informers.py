"""Shared caches of API objects, kept by one list and watch a resource."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator

from simulator.client import GVR, Client, Obj

REMEMBERED = 1024
"""Deleted objects that an informer still knows to be gone."""

Handler = Callable[[Obj], None]


class Informer:
    """The objects of one resource as last seen. What it gives out is shared: copy before changing.

    A controller's own writes are put in at once (`saw`), so it does not act on what it has just replaced; changes by
    others arrive when the watch brings them.
    """

    def __init__(self, client: Client, gvr: GVR) -> None:
        self._client = client
        self.gvr = gvr
        self.synced = asyncio.Event()
        self._objects: dict[str, dict[str, Obj]] = {}
        self._handlers: list[Handler] = []
        self._gone: OrderedDict[str, None] = OrderedDict()

    def subscribe(self, handler: Handler) -> None:
        """Call `handler` with each object that appeared, changed or went away."""
        self._handlers.append(handler)
        for obj in self:
            handler(obj)

    def get(self, namespace: str, name: str) -> Obj | None:
        return self._objects.get(namespace, {}).get(name)

    def inside(self, namespace: str) -> list[Obj]:
        """All objects of a namespace."""
        return list(self._objects.get(namespace, {}).values())

    def __iter__(self) -> Iterator[Obj]:
        for names in list(self._objects.values()):
            yield from list(names.values())

    async def run(self) -> None:
        """Follow the resource until cancelled."""
        listed = {obj["metadata"]["uid"]: obj for obj in await self._client.list(self.gvr)}
        for obj in self:
            if obj["metadata"]["uid"] not in listed:
                self.gone(obj)
        for obj in listed.values():
            self.saw(obj)
        self.synced.set()
        async for event in self._client.watch(self.gvr):
            if event.type == "BOOKMARK":
                # Now the watch has told all there is: what it did not tell went away since the list.
                for obj in listed.values():
                    self.gone(obj)
                listed.clear()
                continue
            listed.pop(event.object["metadata"]["uid"], None)
            if event.type == "DELETED":
                self.gone(event.object)
            else:
                self.saw(event.object)

    def saw(self, obj: Obj) -> None:
        """Keep `obj` if it is newer than what is kept."""
        meta = obj["metadata"]
        if meta["uid"] in self._gone:
            return
        names = self._objects.setdefault(meta.get("namespace", ""), {})
        known = names.get(meta["name"])
        if known is not None and version(known) >= version(obj):
            return
        names[meta["name"]] = obj
        self._tell(obj)

    def gone(self, obj: Obj) -> None:
        """Drop `obj` unless another one has taken its name."""
        meta = obj["metadata"]
        names = self._objects.get(meta.get("namespace", ""), {})
        known = names.get(meta["name"])
        self._bury(meta["uid"])
        if known is None or known["metadata"]["uid"] != meta["uid"]:
            return
        del names[meta["name"]]
        self._tell(obj)

    def _bury(self, uid: str) -> None:
        """A write's answer may be read after the watch told of the deletion: what is gone must not come back."""
        self._gone[uid] = None
        if len(self._gone) > REMEMBERED:
            self._gone.popitem(last=False)

    def _tell(self, obj: Obj) -> None:
        for handler in self._handlers:
            handler(obj)


class Informers:
    """One informer a resource, shared by all controllers of a process."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._informers: dict[GVR, Informer] = {}

    def of(self, gvr: GVR) -> Informer:
        return self._informers.setdefault(gvr, Informer(self._client, gvr))

    def __iter__(self) -> Iterator[Informer]:
        return iter(list(self._informers.values()))


def version(obj: Obj) -> int:
    """The resourceVersion as the number that etcd makes it."""
    return int(obj["metadata"]["resourceVersion"])
