"""What the page follows: a pool as it is, and again when something about it changed.

However many follow a pool, it is worked out and serialized once for a change, and watched once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta

from gateway.gateway import Gateway
from gateway.snapshot import PoolSnapshot
from gateway.streaming import Events, formatted
from pool.core.clusters import PooledCluster
from pool.core.errors import ApiError, ApiUnavailable, UnknownPool
from pool.core.fields import rfc3339
from pool.core.queue import queue
from pool.kube.client import Object
from pool.kube.resources import EVENTS
from pool.kube.views import Key, key_of
from pool.kube.watching import Scope
from pool.work.steps import Host

logger = logging.getLogger(__name__)

SPACING = 1.0
"""Seconds between two looks: what happens meanwhile is told together."""
FIRST = 0.5
"""Seconds that the first look waits for what happened before."""
ABOUT_CLUSTERS = f"involvedObject.kind={PooledCluster.KIND}"


class Feed:
    """One pool, for all who follow it: `latest` is the event to send, `version` counts them. It runs while used."""

    def __init__(self, gateway: Gateway, host: Host, pool: str) -> None:
        self.latest = b""
        self.version = 0
        self.ended = False
        self._gateway, self._host, self._pool = gateway, host, pool
        self._users = 0
        self._task: asyncio.Task[None] | None = None
        self._told = asyncio.Event()
        self._happened: dict[Key, Object] = {}
        self._outage_since: datetime | None = None

    def serves(self, host: Host) -> bool:
        """Whether it tells of this host, still."""
        return self._host is host and not self.ended

    @contextmanager
    def used(self) -> Iterator[None]:
        """While entered by anybody, it runs."""
        self._users += 1
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"feed of {self._pool}")
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._task.cancel()
                self.ended = True

    async def newer(self, version: int) -> None:
        """Wait until there is another version than this one, or it ended."""
        while self.version == version and not self.ended:
            await self._told.wait()

    async def _run(self) -> None:
        view = self._host.state.view
        try:
            with view.news() as news:
                events = asyncio.create_task(self._follow_events(news), name="events of clusters")
                with suppress(TimeoutError):
                    async with asyncio.timeout(FIRST):
                        await news.wait()
                try:
                    await self._tell_all(news)
                finally:
                    events.cancel()
        except Exception:
            logger.exception("the feed of %s ended", self._pool)
        finally:
            self.ended = True
            self._wake()

    async def _tell_all(self, news: asyncio.Event) -> None:
        outage: datetime | None = None
        news.set()
        # A pool that is gone, or no longer seen, is not an empty one: who follows it is to ask anew.
        while self._gateway.host is self._host and self._pool in self._host.state.view.pools:
            if news.is_set() or outage != self._outage_since:
                news.clear()
                outage = self._outage_since
                self._tell()
            await asyncio.sleep(SPACING)
            await self._look()

    async def _look(self) -> None:
        """Whether the host's API answers: a watch that was interrupted may be silent for a minute though it does."""
        if self._gateway.current:
            self._outage_since = None
            return
        try:
            await self._host.state.pool(self._pool)
            self._outage_since = None
        except UnknownPool:
            self._outage_since = None
        except ApiUnavailable:
            self._outage_since = self._outage_since or self._host.now()

    def _tell(self) -> None:
        view, settings = self._host.state.view, self._host.settings
        waiting = queue(view.sessions.values(), self._host.now(), timedelta(seconds=settings.queue_grace))
        happened = self._happened.values()
        clusters = view.clusters.values()
        snapshot = PoolSnapshot.of(self._pool, view.pools, clusters, waiting, happened, self._outage_since)
        latest = formatted("pool", snapshot)
        if latest != self.latest:
            self.latest = latest
            self.version += 1
            self._wake()

    def _wake(self) -> None:
        self._told.set()
        self._told = asyncio.Event()

    async def _follow_events(self, news: asyncio.Event) -> None:
        def changed(event: Object, there: bool) -> None:
            if there:
                self._happened[key_of(event)] = event
            else:
                self._happened.pop(key_of(event), None)
            news.set()

        scope = Scope(EVENTS, self._host.settings.namespace, fields=ABOUT_CLUSTERS)
        try:
            async with self._host.watching.follow(scope, changed) as view:
                news.set()
                await view.failure
        except ApiError as error:
            logger.warning("the page of %s shows no events: %s", self._pool, error)


class Feeds:
    """The feeds of a gateway's pools, one each as long as somebody follows it."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._feeds: dict[str, Feed] = {}

    async def follow(self, pool: str) -> Events:
        """The events of a pool's stream; it ends when the pool or the host is gone."""
        host = self._gateway.the_host()
        feed = self._feeds.get(pool)
        if feed is None or not feed.serves(host):
            feed = self._feeds[pool] = Feed(self._gateway, host, pool)
        with feed.used():
            yield "clock", {"now": rfc3339(host.now())}
            version = 0
            while True:
                await feed.newer(version)
                if feed.ended:
                    return
                version = feed.version
                yield feed.latest
