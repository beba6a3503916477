"""The clusters as a watch shows them: for finding a free one without reading them all.

A mirror may lag. That costs a lost race at most, never a wrong handover, since every write names the version it was
decided on. What a mirror does not show is not concluded from it: before "none is free" the pool is read.
"""

from __future__ import annotations

import asyncio
import logging
import random
from bisect import bisect_left, insort
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime

from pool.core.clusters import PooledCluster
from pool.core.errors import ApiError, ApiUnavailable
from pool.core.queue import free, is_free, rested
from pool.kube.resources import POOLED_CLUSTERS
from pool.state.store import Store

logger = logging.getLogger(__name__)

RETRY = 0.5
"""Seconds between two tries to follow the clusters during an outage."""

Changed = Callable[[PooledCluster | None], None]


class Mirror:
    """Follows the clusters while `following` is entered; any number of users share one watch."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._clusters: dict[str, PooledCluster] = {}
        self._free: list[tuple[datetime, str]] = []
        self._current = False
        self._listeners: list[Changed] = []
        self._task: asyncio.Task[None] | None = None

    @property
    def current(self) -> bool:
        """Whether there is a watch, and it is not interrupted."""
        return self._current

    def free(self) -> Iterator[PooledCluster]:
        """The free clusters, the longest-rested first, as the watch shows them; none while it is interrupted."""
        return (self._clusters[name] for _, name in self._free) if self._current else iter(())

    def find(self, name: str) -> PooledCluster | None:
        """The cluster as the watch shows it; None if it does not, or is interrupted."""
        return self._clusters.get(name) if self._current else None

    @asynccontextmanager
    async def following(self, changed: Changed) -> AsyncIterator[asyncio.Task[None]]:
        """Follow the clusters. `changed` is told each new state, None for a fresh list (much may have changed).

        Yields the task that follows; it ends only by failing.
        """
        self._listeners.append(changed)
        if self._current:
            changed(None)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._follow(), name="mirror of clusters")
        try:
            yield self._task
        finally:
            self._listeners.remove(changed)
            if not self._listeners:
                task, self._task = self._task, None
                self._current = False
                task.cancel()
                await asyncio.wait([task])

    async def _follow(self) -> None:
        version = ""
        while True:
            try:
                version = version or await self._list()
                async for kind, obj in self._store.kube.watch(
                    POOLED_CLUSTERS, self._store.namespace, resource_version=version
                ):
                    version = obj["metadata"]["resourceVersion"]
                    if kind != "BOOKMARK":
                        self._note(kind, PooledCluster.from_object(obj))
            except ApiUnavailable as error:
                logger.debug("following clusters: %s", error)
                version, self._current = "", False
            except ApiError as error:
                if error.status != 410:
                    raise
                version = ""
            await asyncio.sleep(RETRY * random.uniform(0.5, 1.0))

    async def _list(self) -> str:
        items, version = await self._store.kube.list_at(POOLED_CLUSTERS, self._store.namespace)
        self._clusters = {item["metadata"]["name"]: PooledCluster.from_object(item) for item in items}
        self._free = [rested(cluster) for cluster in free(self._clusters.values())]
        self._current = True
        self._tell(None)
        return version

    def _note(self, kind: str, cluster: PooledCluster) -> None:
        before = self._clusters.pop(cluster.name, None)
        if before is not None and is_free(before):
            del self._free[bisect_left(self._free, rested(before))]
        if kind == "DELETED":
            return
        self._clusters[cluster.name] = cluster
        if is_free(cluster):
            insort(self._free, rested(cluster))
        self._tell(cluster)

    def _tell(self, cluster: PooledCluster | None) -> None:
        for changed in self._listeners:
            changed(cluster)
