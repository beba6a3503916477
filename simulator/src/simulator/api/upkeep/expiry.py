"""Events go after their time, as keys of etcd with a lease do: each write of one begins its time anew."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta

from simulator.api.store import Change, Key, Store
from simulator.timing.clock import Clock

log = logging.getLogger("simulator.api.housekeeping")
EVENTS = ("", "events")
EVENT_TTL = timedelta(hours=1)
"""kube-apiserver's default of --event-ttl; 0 keeps them for ever there, as a key without a lease."""


class Expiry:
    """Removes the Events of a store that nobody wrote for `ttl`, by `clock`.

    What a restarted server finds gets the whole time again, as leases do when etcd has a new leader.
    """

    def __init__(self, store: Store, clock: Clock, ttl: timedelta = EVENT_TTL) -> None:
        self._store = store
        self._clock = clock
        self._ttl = ttl
        self._ends: dict[Key, datetime] = {}
        """In the order of the ends."""
        self._news = asyncio.Event()
        for stored in store.list(EVENTS):
            self._begin((stored.obj["metadata"]["namespace"], stored.obj["metadata"]["name"]))
        self.stop = store.follow(EVENTS, "", self._changed)

    def _begin(self, key: Key) -> None:
        if not self._ttl:
            return
        self._ends.pop(key, None)
        self._ends[key] = self._clock.now() + self._ttl
        self._news.set()

    def _changed(self, change: Change) -> None:
        if change.type == "DELETED":
            self._ends.pop(change.key, None)
        else:
            self._begin(change.key)

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            while not self._ends:
                self._news.clear()
                await self._news.wait()
            await self._clock.until(next(iter(self._ends.values())))
            self._remove()

    def _remove(self) -> None:
        """What is due goes at once, whatever finalizers it has: a lease asks nobody."""
        now = self._clock.now()
        for key, end in list(self._ends.items()):
            if end > now:
                break
            del self._ends[key]
            stored = self._store.get(EVENTS, key)
            if stored is not None:
                try:
                    self._store.remove(EVENTS, key, stored.obj, expected=stored.version)
                except Exception:
                    log.exception("removing the event %s/%s failed", *key)
