"""Free clusters that a newcomer may try, each by one caller of this process at a time.

Callers of one process never race each other: a cluster that one of them is about to lock is not offered to the next,
nor is one as it was before a write of this process. So a burst larger than the pool costs no lost writes and no
sessions created in vain. Against other processes, whose tries cannot be seen, lost races widen the choice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice

from pool.core.clusters import PooledCluster
from pool.core.lifecycle import ClusterPhase
from pool.core.queue import Binding, bindings, choose, is_free, rested
from pool.core.sessions import Session
from pool.state.mirror import Mirror
from pool.state.store import Store

GLANCE = timedelta(seconds=10)
"""Rest after which a free cluster was evidently passed over by the queue; more than any event needs to arrive."""

MOST_LOSSES = 4
"""Lost races that still widen the choice: 64 clusters are more than any burst of writers asks for."""

AT_ONCE = 16
"""Newcomers that a process serves at a time: the next one chooses by what the watch has shown of other processes'
writes by then. At some ten milliseconds a call that is still hundreds of handovers a second."""


class Candidates:
    """The free clusters, less those that this process is trying or has just written."""

    def __init__(self, store: Store, mirror: Mirror) -> None:
        self._store = store
        self._mirror = mirror
        self._trying: dict[str, str] = {}
        """Cluster -> the session it is being tried for."""
        self._spent: dict[str, str] = {}
        """Cluster -> the resourceVersion that a write of ours found or made outdated: who still shows it is behind."""
        self._losses = 0
        """Races lost lately, less those won: how far newcomers spread over the free clusters."""
        self._ended = asyncio.Event()
        self.turn = asyncio.Semaphore(AT_ONCE)
        """Held while a cluster is chosen and tried; turns are taken in the order of arrival."""

    async def reserve(self, session_id: str) -> PooledCluster | None:
        """A free cluster for this session alone to try, within `trying`; None if there is none.

        A watch, where there is one, is enough to find one; that there is none is only believed when read.
        """
        return self._choose(self._mirror.free(), session_id) or self._choose(await self._read(), session_id)

    async def _read(self) -> Iterator[PooledCluster]:
        """The available clusters, the longest-rested first; what is not looked at is not validated either."""
        found = await self._store.available()
        return (cluster for obj in found if is_free(cluster := PooledCluster.from_object(obj)))

    def _choose(self, offered: Iterable[PooledCluster], session_id: str) -> PooledCluster | None:
        untried = (cluster for cluster in offered if self._is_untried(cluster))
        choice = list(islice(untried, 4 << self._losses if self._losses else 1))
        if not choice:
            return None
        cluster = choose(choice, session_id, self._losses)
        self._trying[cluster.name] = session_id
        return cluster

    def _is_untried(self, cluster: PooledCluster) -> bool:
        spent = self._spent.get(cluster.name)
        return cluster.name not in self._trying and spent != cluster.metadata.resource_version

    @property
    def busy(self) -> bool:
        """Whether any are being tried: one of them may turn out to be free after all."""
        return bool(self._trying)

    async def until_tried(self) -> None:
        """Wait until the tries under way have ended."""
        under_way = set(self._trying.items())
        while under_way & self._trying.items():
            self._ended.clear()
            await self._ended.wait()

    def let_go(self, cluster: PooledCluster, session_id: str) -> None:
        """Offer it to others again, if it is that session's to try."""
        if self._trying.get(cluster.name) == session_id:
            del self._trying[cluster.name]
            self._ended.set()

    @contextmanager
    def trying(self, pair: Binding) -> Iterator[bool]:
        """While entered, nobody else of this process tries the cluster. Yields False if somebody does already."""
        name, session = pair.cluster.name, pair.session.name
        if self._trying.setdefault(name, session) != session:
            yield False
            return
        try:
            yield True
        finally:
            self.let_go(pair.cluster, session)

    def tell(self, cluster: PooledCluster, *, won: bool) -> None:
        """How the race for the cluster ended: either way it is no longer as it was."""
        self._spent[cluster.name] = cluster.metadata.resource_version
        self._losses = max(0, self._losses - 1) if won else min(MOST_LOSSES, self._losses + 1)

    def is_outdated(self, cluster: PooledCluster) -> bool:
        """Whether the watch has shown another state of it meanwhile, so that a try would be lost."""
        seen = self._mirror.find(cluster.name)
        return seen is not None and seen.metadata.resource_version != cluster.metadata.resource_version

    def has_rested(self, cluster: PooledCluster) -> bool:
        """Whether everybody who waits has had the time to take it, so that a newcomer may without asking them."""
        since, _ = rested(cluster)
        return self._store.now() - since > GLANCE

    def pairs(self, sessions: Sequence[Session], clusters: Sequence[PooledCluster], own: str = "") -> list[Binding]:
        """Who gets which cluster, of those that nobody of this process is handing over; `own` is the asker's."""
        others = {session for session in self._trying.values() if session != own}
        mine = {cluster for cluster, session in self._trying.items() if session == own}
        waiting = [session for session in sessions if session.name not in others]
        untried = [c for c in clusters if c.name in mine or c.phase is ClusterPhase.LOCKED or self._is_untried(c)]
        return bindings(waiting, untried, self._store.now(), self._store.queue_grace)
