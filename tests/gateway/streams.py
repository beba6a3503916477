"""Server-sent events, read as they come."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx

Told = tuple[str, Any]
"""Name and data of an event."""


class Stream:
    """An open stream."""

    def __init__(self, answer: httpx.Response) -> None:
        self._events = _events(answer)

    async def next(self, name: str = "", so: Callable[[Any], object] = lambda _: True) -> Any:
        """The data of the next event of that name that is `so`, within ten seconds; what comes before is dropped."""
        async with asyncio.timeout(10):
            async for told, data in self._events:
                if name in ("", told) and so(data):
                    return data
        raise AssertionError(f"the stream ended without {name or 'another event'}")

    async def rest(self) -> list[Told]:
        """All that comes until it ends, within ten seconds."""
        async with asyncio.timeout(10):
            return [told async for told in self._events]


@asynccontextmanager
async def stream(http: httpx.AsyncClient, path: str) -> AsyncIterator[Stream]:
    """Open a stream; leaving is what a client does that goes."""
    async with http.stream("GET", path) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Stream(answer)


async def _events(answer: httpx.Response) -> AsyncIterator[Told]:
    name, data = "message", ""
    async for line in answer.aiter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            data += line.removeprefix("data: ")
        elif not line and data:
            yield name, json.loads(data)
            name, data = "message", ""
