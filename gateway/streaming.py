"""Server-sent events: until the client leaves, or the gateway says that it is to connect again."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from pydantic import BaseModel

from gateway.access.roles import Caller
from gateway.gateway import Gateway
from gateway.problems import TooManyRequests

PING = 15.0
"""Seconds without an event after which a comment is sent: proxies close what is silent for a minute."""
LONGEST = 600.0
"""Seconds after which a stream is ended, give or take a tenth: who opens it again has to be known still."""
ROOM_AFTER = 10
"""Seconds after which who has too many open may ask again."""
RECONNECT = 1000
"""Milliseconds after which clients that are told so are to connect again, of a gateway that stops to another one."""

Event = tuple[str, Any] | bytes
"""Name and data, which is a model or plain JSON; or the whole of it, formatted once for many."""
Events = AsyncGenerator[Event, None]

HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
STREAM: dict[str, Any] = {
    "description": "Server-sent events.",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}
"""For `responses={200: STREAM}` of a route that streams."""


def streamed(events: Events, gateway: Gateway, caller: Caller) -> StreamingResponse:
    """The answer that sends `events` as they come.

    They are closed when the client leaves, the gateway stops or LONGEST is over; they may end by themselves.
    Raises TooManyRequests if the caller has as many open as it may.
    """
    most = gateway.settings.streams
    if gateway.streams[caller.name] >= most:
        raise TooManyRequests(
            "too many streams",
            expected=f"at most {most} open at once",
            cure="close those that nobody reads, or raise CKS_GATEWAY_STREAMS",
            retry_after=ROOM_AFTER,
        )
    return StreamingResponse(
        _counted(_lines(events, gateway), gateway, caller.name), media_type="text/event-stream", headers=HEADERS
    )


async def _counted(lines: AsyncGenerator[bytes, None], gateway: Gateway, caller: str) -> AsyncIterator[bytes]:
    gateway.streams[caller] += 1
    try:
        async with aclosing(lines):
            async for line in lines:
                yield line
    finally:
        gateway.streams[caller] -= 1
        if not gateway.streams[caller]:
            del gateway.streams[caller]


async def _lines(events: Events, gateway: Gateway) -> AsyncGenerator[bytes, None]:
    come: asyncio.Queue[Event | None] = asyncio.Queue(maxsize=1)
    # In a task of its own, which closes them by itself: this generator may be dropped anywhere.
    producing = asyncio.create_task(_produce(events, come))
    stopping = asyncio.create_task(gateway.stopping.wait())
    getting = asyncio.create_task(come.get())
    # Not all at once, of those that were opened at once.
    over = asyncio.create_task(asyncio.sleep(LONGEST * random.uniform(0.9, 1.1)))
    try:
        while True:
            waited = (producing, stopping, getting, over)
            await asyncio.wait(waited, timeout=PING, return_when=asyncio.FIRST_COMPLETED)
            if getting.done():
                if (event := getting.result()) is None:
                    return
                getting = asyncio.create_task(come.get())
                yield event if isinstance(event, bytes) else formatted(*event)
            elif producing.done():
                producing.result()
            elif stopping.done() or over.done():
                yield format_sse_event(event="reconnect", data_str="{}", retry=RECONNECT)
                return
            else:
                yield KEEPALIVE_COMMENT
    finally:
        for task in (producing, stopping, getting, over):
            task.cancel()


async def _produce(events: Events, come: asyncio.Queue[Event | None]) -> None:
    async with aclosing(events):
        async for event in events:
            await come.put(event)
    await come.put(None)


def formatted(name: str, data: Any) -> bytes:
    """An event as it is sent."""
    return format_sse_event(event=name, data_str=as_json(data))


def as_json(data: Any) -> str:
    """The data of an event, on one line."""
    if isinstance(data, BaseModel):
        return data.model_dump_json(by_alias=True)
    return json.dumps(data, separators=(",", ":"))
