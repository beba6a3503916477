"""The pool as watches show it: its Pools, clusters and live sessions, with the process's own writes at once.

A view may lag. That costs a lost race at most, never a wrong handover, since every write names the version it was
decided on. What it does not show is not concluded from it: before "none is free" is said, the pool is read.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any

from pool.core.clusters import PooledCluster
from pool.core.errors import InvalidInput
from pool.core.lifecycle import SessionPhase
from pool.core.pools import Pool
from pool.core.queue import is_free, rested
from pool.core.sessions import Session
from pool.kube.client import Kube, Object
from pool.kube.resources import POOLED_CLUSTERS, POOLS, SESSIONS
from pool.kube.views import View
from pool.kube.watching import Scope, Watching
from pool.state.silence import Silence

logger = logging.getLogger(__name__)

Seen = Callable[[Pool | PooledCluster | Session | None, Pool | PooledCluster | Session | None], None]
"""Is told an object before a change and after it; None where there is none."""
LIVE = f"status.phase!={SessionPhase.RELEASED},status.phase!={SessionPhase.EXPIRED}"
"""Field selector of the sessions that are not over: the thousands that are cost nothing."""
WAITING = f"{LIVE},status.phase!={SessionPhase.ACTIVE}"
"""Of those that wait. A fresh Session has no status yet, so `status.phase=Pending` would miss it."""
LAG = 1.0
"""Seconds to wait for the watch to show an own write; after that the pool is read instead."""


class PoolView:
    """The pool as seen while `following` is entered; any number of users share its watches."""

    def __init__(self, kube: Kube, namespace: str, watching: Watching | None, silence: Silence) -> None:
        self._kube, self._namespace, self._watching, self._silence = kube, namespace, watching, silence
        self._users = 0
        self._opening = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._listeners: list[asyncio.Event] = []
        self._observers: list[Seen] = []
        self._forget()

    def _forget(self) -> None:
        self.pools: dict[str, Pool] = {}
        self.clusters: dict[str, PooledCluster] = {}
        self.sessions: dict[str, Session] = {}
        self._free: dict[str, list[tuple[datetime, str]]] = defaultdict(list)
        """The free clusters of each Pool, the longest-rested first."""
        self._views: dict[str, View] = {}

    @property
    def current(self) -> bool:
        """Whether the pool is followed, and no watch is interrupted."""
        return bool(self._views) and all(view.current for view in self._views.values())

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """While entered, the pool is followed; it has been seen by then. Raises ApiError, but waits out an outage."""
        async with self._opening:
            if not self._users:
                self._stack, self._views = await self._open()
            self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._forget()
                await self._stack.aclose()

    async def _open(self) -> tuple[AsyncExitStack, dict[str, View]]:
        # What was seen of it when it was given up half open may be gone since.
        self._forget()
        kinds = (
            (POOLS, Pool, self.pools),
            (POOLED_CLUSTERS, PooledCluster, self.clusters),
            (SESSIONS, Session, self.sessions),
        )
        async with AsyncExitStack() as stack:
            watching = self._watching if self._watching is not None else Watching(self._kube)
            if self._watching is None:
                await stack.enter_async_context(watching)
            views = {}
            for resource, model, kept in kinds:
                scope = Scope(resource, self._namespace, fields=LIVE if resource is SESSIONS else "")
                changed = partial(self._changed, model, kept)
                views[resource.kind] = await stack.enter_async_context(watching.follow(scope, changed))
            return stack.pop_all(), views

    async def failure(self) -> None:
        """Wait until the pool cannot be followed any more, and raise why (ApiError)."""
        failures = [view.failure for view in self._views.values()]
        done, _ = await asyncio.wait(failures, return_when=asyncio.FIRST_COMPLETED)
        await done.pop()

    @contextmanager
    def news(self) -> Iterator[asyncio.Event]:
        """An event that is set by each change seen, for its user to clear."""
        event = asyncio.Event()
        self._listeners.append(event)
        try:
            yield event
        finally:
            self._listeners.remove(event)

    @contextmanager
    def told(self, seen: Seen) -> Iterator[None]:
        """While entered, `seen` is told each change, in order; it must not raise. Versions missed in an interruption
        of a watch are one change."""
        self._observers.append(seen)
        try:
            yield
        finally:
            self._observers.remove(seen)

    def note(self, obj: Object) -> None:
        """Take the answer to an own write."""
        if view := self._views.get(obj["kind"]):
            view.note(obj)

    async def shows(self, session: Session) -> bool:
        """Whether everything up to the session's version is seen, within LAG: whoever was there before it, too."""
        if not self.current:
            return False
        try:
            async with asyncio.timeout(LAG):
                await self._views[Session.KIND].reached(session.metadata.resource_version)
        except TimeoutError:
            return False
        return self.current

    def has_free(self, pool: str) -> bool:
        """Whether it shows a free cluster of the Pool."""
        return bool(self._free[pool])

    def of_interest(self, pool: str) -> tuple[list[Session], list[PooledCluster]]:
        """The pending sessions of a Pool, the clusters held for them, and the first of the free ones, as many."""
        waiting = [s for s in self.sessions.values() if s.phase is SessionPhase.PENDING and s.spec.pool == pool]
        names = {session.name for session in waiting}
        held = [cluster for cluster in self.clusters.values() if cluster.status.assigned_session in names]
        return waiting, held + [self.clusters[name] for _, name in islice(self._free[pool], len(waiting))]

    def _changed(self, model: Any, kept: dict[str, Any], obj: Object, there: bool) -> None:
        name = obj["metadata"]["name"]
        before = kept.pop(name, None)
        if isinstance(before, PooledCluster) and is_free(before):
            rest = self._free[before.spec.pool]
            del rest[bisect_left(rest, rested(before))]
        try:
            if there:
                kept[name] = found = model.from_object(obj) if model is Pool else model.seen(obj)
                if found.unreadable:
                    logger.warning("left as it is: %s", found.unreadable)
                if isinstance(found, PooledCluster):
                    self._silence.see(found)
                    if is_free(found):
                        insort(self._free[found.spec.pool], rested(found))
        except InvalidInput as error:
            logger.warning("left out: %s", error)
        for seen in self._observers:
            seen(before, kept.get(name))
        for event in self._listeners:
            event.set()
