"""The host behind the gateway: opened, followed, and opened again; and what routes get hold of."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from gateway.announcing import announcing
from gateway.metrics import Metrics
from gateway.pulse import Pulse
from gateway.queueing import Queues, serve_queues
from gateway.runs import Runs
from gateway.settings import GatewaySettings
from pool.core.errors import ApiUnavailable, PoolError
from pool.core.settings import settings_from_environment
from pool.kube.cancellation import told_to_end
from pool.state.events import Listener
from pool.work.opening import opened
from pool.work.steps import Host

logger = logging.getLogger(__name__)

PATIENCE = 3.0
"""Seconds for which a call to the host's API is tried again: the platform asks again by itself, and is to know."""
AGAIN = 2.0
"""Seconds after which a host that could not be opened is tried again."""

OpenHost = Callable[[Listener], AbstractAsyncContextManager[Host]]
"""Opens the host; the listener is told each change of a cluster's phase that is made through it."""


@dataclass
class Gateway:
    """What the app works with, for as long as it is served."""

    settings: GatewaySettings
    open_host: OpenHost
    host: Host | None = None
    """The host, followed by watches; None while it is not there."""
    queues: Queues | None = None
    """Who waits, there."""
    runs: Runs | None = None
    """Prefect's API while this runs; it may be away."""
    away: str = "the host is not opened yet"
    """Why there is no host."""
    following: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while there is a host."""
    metrics: Metrics = field(default_factory=Metrics)
    """What Prometheus is told."""
    streams: Counter[str] = field(default_factory=Counter)
    """How many streams each caller has open."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the gateway is to stop: streams say so and end."""

    pulse: Pulse = field(default_factory=Pulse)
    """Whether the host's API answers."""

    @property
    def current(self) -> bool:
        """Whether what is seen may be told: the pool is followed, no watch is interrupted, and the API answers."""
        return self.host is not None and self.host.state.view.current and self.pulse.answers

    def the_host(self) -> Host:
        """The host. Raises ApiUnavailable while it is away."""
        if self.host is None:
            raise ApiUnavailable(0, "HostAway", self.away, cure="ask again in a few seconds")
        return self.host

    def the_queues(self) -> Queues:
        """Who waits. Raises ApiUnavailable while the host is away."""
        if self.queues is None:
            self.the_host()
        assert self.queues is not None
        return self.queues

    def the_runs(self) -> Runs:
        """What starts flow runs."""
        assert self.runs is not None
        return self.runs

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While entered, the host is opened and followed, and that again whenever it cannot be."""
        opened_runs = Runs.opened(self.settings.prefect_ui_url or None)
        async with opened_runs as self.runs, announcing(self.runs) as announce:
            task = asyncio.create_task(self._follow(announce), name="following the host")
            try:
                yield
            finally:
                self.stopping.set()
                task.cancel()
                await asyncio.wait([task])

    async def _follow(self, announce: Listener) -> None:
        while True:
            try:
                async with self.open_host(announce) as host, host.state.following() as failing:
                    await self._work(host, failing)
            except PoolError as error:
                if self.away != str(error):
                    logger.warning("the host is away: %s", error)
                self.away = str(error)
            except (Exception, asyncio.CancelledError) as error:
                if told_to_end():
                    raise
                self.away = "something that nobody foresaw; the gateway's log has it"
                logger.exception("following the host ended: %s", type(error).__name__)
            await asyncio.sleep(AGAIN)

    async def _work(self, host: Host, failing: asyncio.Task[None]) -> None:
        """Be of use until the host cannot be followed any more. Raises ApiError."""
        with host.state.view.news() as news, self.metrics.following(host, lambda: self.current):
            self.host, self.queues = host, Queues(host, news)
            self.following.set()
            self.away = "the host is opened again"
            logger.info("following the pools of %s", host.settings.namespace)
            serving = asyncio.create_task(serve_queues(host, self.queues), name="serving the queues")
            asking = asyncio.create_task(self.pulse.follow(host), name="asking whether the host answers")
            try:
                done, _ = await asyncio.wait([failing, serving, asking], return_when=asyncio.FIRST_COMPLETED)
                await done.pop()
            finally:
                self.host = self.queues = None
                self.following.clear()
                serving.cancel()
                asking.cancel()
                await asyncio.wait([serving, asking])


@asynccontextmanager
async def host_of_environment(listener: Listener) -> AsyncIterator[Host]:
    """The host that the environment's settings name. Raises InvalidInput, KubeconfigError, ApiUnavailable."""
    settings = settings_from_environment()
    # A request that hangs is no better than one that is refused.
    quick = settings.model_copy(update={"request_timeout": min(settings.request_timeout, PATIENCE)})
    async with opened(quick, patience=PATIENCE, listener=listener) as host:
        yield host


def gateway_of(request: Request) -> Gateway:
    """The gateway that answers this request."""
    found = request.app.state.gateway
    assert isinstance(found, Gateway)
    return found


def host_of(request: Request) -> Host:
    """The host. Raises ApiUnavailable while it is away."""
    return gateway_of(request).the_host()


TheGateway = Annotated[Gateway, Depends(gateway_of)]
TheHost = Annotated[Host, Depends(host_of)]
