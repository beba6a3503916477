"""The wait for a cluster: one usher a process watches for free clusters and serves the whole queue.

The queue itself is the pending sessions, so it survives any process. While somebody of this process waits, its usher
follows the clusters; when one may have become free it serves the queue's head, whoever's session that is. Ushers of
several processes see the same queue: the one whose own session is at the head acts at once, the others hold back for
a moment and then find nothing left to do, or help out.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from pool.core.clusters import PooledCluster
from pool.core.errors import ApiUnavailable
from pool.core.queue import is_free
from pool.state.mirror import RETRY, Mirror

logger = logging.getLogger(__name__)

LOOK_AGAIN = 5.0
"""Seconds after which the queue is looked at even without news: a helper that died mid-way makes none."""
HESITATE = 0.1
"""Seconds, at most, before acting on news: whoever made the cluster available hands it on himself."""
HOLD_BACK = 0.3
"""Seconds, at most, to leave the queue's head to the process that waits for it; some handovers fit in."""

Serve = Callable[[frozenset[str]], Awaitable[bool]]


class Usher:
    """Serves the queue while somebody waits. `serve(mine)` returns False to be called again after holding back."""

    def __init__(self, mirror: Mirror, serve: Serve) -> None:
        self._mirror = mirror
        self._serve = serve
        self._mine: dict[str, int] = {}
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def waiting(self, session_id: str) -> AsyncIterator[asyncio.Task[None]]:
        """While entered, the queue is served. Yields the task that does it; it ends only by failing."""
        self._mine[session_id] = self._mine.get(session_id, 0) + 1
        self._news.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work(), name="usher")
        try:
            yield self._task
        finally:
            self._mine[session_id] -= 1
            if not self._mine[session_id]:
                del self._mine[session_id]
            if not self._mine:
                task, self._task = self._task, None
                task.cancel()
                await asyncio.wait([task])

    async def _work(self) -> None:
        async with self._mirror.following(self._changed) as following:
            while not following.done():
                self._news.clear()
                await self._serve_once()
                try:
                    async with asyncio.timeout(LOOK_AGAIN):
                        await self._news.wait()
                    await asyncio.sleep(random.uniform(0.3, 1.0) * HESITATE)
                except TimeoutError:
                    logger.debug("no news of clusters for %g s, looking again", LOOK_AGAIN)
            await following

    async def _serve_once(self) -> None:
        try:
            if not await self._serve(frozenset(self._mine)):
                # The head waits elsewhere: its own usher should need but a moment.
                await asyncio.sleep(random.uniform(0.3, 1.0) * HOLD_BACK)
                await self._serve(frozenset())
        except ApiUnavailable as error:
            logger.warning("queue not served: %s", error)
            await asyncio.sleep(RETRY)
            self._news.set()

    def _changed(self, cluster: PooledCluster | None) -> None:
        if cluster is None or is_free(cluster):
            self._news.set()
