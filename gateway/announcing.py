"""What the gateway does to clusters, told to Prefect's feed beside the calls: none waits for it, none fails of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
from prefect.events.schemas.events import Event

from gateway.runs import Runs
from pool.kube.cancellation import told_to_end
from pool.state.events import Listener, Transition
from pool.state.feed import event_of

logger = logging.getLogger(__name__)

MOST = 1000
"""Changes that wait while Prefect is away. What comes then is told by Kubernetes' events alone."""
AT_ONCE = 100
"""Changes that are told in one call."""
AGAIN = 5.0
"""Seconds after which a server that is away is told again."""
LATER = {
    httpx.codes.UNAUTHORIZED,
    httpx.codes.FORBIDDEN,
    httpx.codes.REQUEST_TIMEOUT,
    httpx.codes.TOO_MANY_REQUESTS,
}
"""What a server may answer that takes the same later. After another 4xx it never does; what comes after would wait."""
LAST = 1.0
"""Seconds that the gateway's end waits for the last changes to be told."""


@asynccontextmanager
async def announcing(runs: Runs) -> AsyncIterator[Listener]:
    """While entered, what the listener hears is told to Prefect's feed, if there is a Prefect."""
    waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue(MOST)
    full = False

    async def announce(transition: Transition) -> None:
        nonlocal full
        # With an ID from here: told twice, it is there once.
        event = Event.model_validate(event_of(transition)).model_dump(mode="json")
        try:
            waiting.put_nowait(event)
            full = False
        except asyncio.QueueFull:
            # Once for an outage: each is told by Kubernetes' events.
            level = logging.DEBUG if full else logging.WARNING
            full = True
            name, message = transition.cluster.name, transition.message
            logger.log(level, "Prefect's feed is not told of %s %s: %d changes wait already", name, message, MOST)

    async def ignore(_: Transition) -> None:
        """There is no Prefect."""

    if not runs.api_url:
        yield ignore
        return
    task = asyncio.create_task(_tell(runs, waiting), name="telling Prefect's feed")
    try:
        yield announce
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST):
                await waiting.join()
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _tell(runs: Runs, waiting: asyncio.Queue[dict[str, Any]]) -> None:
    events: list[dict[str, Any]] = []
    try:
        while True:
            events.append(await waiting.get())
            while len(events) < AT_ONCE and not waiting.empty():
                events.append(waiting.get_nowait())
            await _told(runs, events)
            for _ in events:
                waiting.task_done()
            events.clear()
    finally:
        if left := len(events) + waiting.qsize():
            logger.warning("Prefect's feed is not told of %d changes, for which the gateway's end did not wait", left)


async def _told(runs: Runs, events: list[dict[str, Any]]) -> None:
    """Until the server has them, or says that they are none."""
    said = ""
    while True:
        try:
            return await runs.tell(events)
        except (Exception, asyncio.CancelledError) as error:  # whatever it was, the gateway goes on
            if told_to_end():
                raise
            why = f"{type(error).__name__} {error}".splitlines()[0]
            if isinstance(error, httpx.HTTPStatusError) and _is_final(error.response):
                return logger.warning("Prefect's feed does not take %d events: %s", len(events), why)
            if said != why:
                logger.warning("Prefect's feed is told later what the gateway does: %s", why)
            said = why
        await asyncio.sleep(AGAIN)


def _is_final(answer: httpx.Response) -> bool:
    return answer.is_client_error and answer.status_code not in LATER
