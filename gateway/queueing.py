"""Who waits: told its place, and served by the gateway where nobody else came by.

Whoever makes a cluster available serves the queue. The gateway looks after it: it serves who is still waiting for a
cluster that is still free a moment later, and it finishes what a gateway that was killed had begun.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import datetime, timedelta

from pool.core.errors import PoolError
from pool.core.forecast import expected_at
from pool.core.lifecycle import SessionPhase
from pool.core.queue import Place, places, queue
from pool.core.sessions import Session
from pool.work.steps import Host

logger = logging.getLogger(__name__)

OTHERS_FIRST = 0.3
"""Seconds for whoever made a cluster available to serve the queue: his writes and ours would meet."""
LOOK_AGAIN = 5.0
"""Seconds after which the queue is looked at anyway while somebody waits: who died half way makes no news."""


class Queues:
    """The queues as the view shows them, worked out once for a change, however many ask."""

    def __init__(self, host: Host, news: asyncio.Event) -> None:
        self._host, self._news = host, news
        self._waiting: list[Session] = []
        self._places: dict[str, Place] = {}
        self._expected: dict[str, datetime | None] = {}
        self._worked_out: datetime | None = None
        news.set()

    def waiting(self) -> list[Session]:
        """Those who wait, in order, of all Pools."""
        self._work_out()
        return self._waiting

    def _work_out(self) -> None:
        now = self._host.now()
        # Places are lost by time, too.
        aged = self._worked_out is None or not timedelta() <= now - self._worked_out < timedelta(seconds=1)
        if self._news.is_set() or aged:
            self._news.clear()
            grace = timedelta(seconds=self._host.settings.queue_grace)
            view = self._host.state.view
            pending = [one for one in view.sessions.values() if one.phase is SessionPhase.PENDING]
            self._waiting, self._worked_out = queue(pending, now, grace), now
            self._places, self._expected = places(self._waiting), {}

    async def standing(self, session: Session) -> tuple[Place | None, datetime | None]:
        """A pending session's place, and when the next cluster is expected. Raises ApiError where it must be read."""
        view = self._host.state.view
        if not view.current:
            return await self._host.state.standing(session)
        self._work_out()
        pool = session.spec.pool
        if pool not in self._expected:
            clusters = [one for one in view.clusters.values() if one.spec.pool == pool]
            self._expected[pool] = expected_at(clusters, self._host.now())
        return self._places.get(session.name), self._expected[pool]

    def left_waiting(self) -> list[Session]:
        """Those whom somebody else has to serve: who does not wait is being served by its own call, or by nobody."""
        return [session for session in self.waiting() if session.spec.wait_seconds != 0]

    def due(self) -> bool:
        """Whether one of those waits for a Pool that has a free cluster."""
        view = self._host.state.view
        return any(view.has_free(session.spec.pool) for session in self.left_waiting())


async def serve_queues(host: Host, queues: Queues) -> None:
    """Serve who waits, for as long as this runs. An outage does not end it."""
    loop = asyncio.get_running_loop()
    looked = loop.time()
    with host.state.view.news() as news:
        while True:
            news.clear()
            if queues.due():
                await asyncio.sleep(OTHERS_FIRST)
            forgotten = bool(queues.left_waiting()) and loop.time() - looked >= LOOK_AGAIN
            if forgotten or queues.due():
                looked = loop.time()
                await _serve(host)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN if queues.left_waiting() else None):
                    await news.wait()


async def _serve(host: Host) -> None:
    try:
        if done := await host.state.serve_queue():
            logger.info("served the queue: %d", done)
    except PoolError as error:
        logger.warning("the queue is not served: %s", error)
