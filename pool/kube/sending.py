"""One call to an API server and its answer: with the credentials of the moment, and the server's time heard."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self, TypeVar
from urllib.parse import urlencode, urlsplit

import aiohttp
from multidict import CIMultiDict

from pool.core.errors import KubeconfigError
from pool.kube import faults
from pool.kube.clock import ServerClock
from pool.kube.connections import Connections
from pool.kube.credentials.access import Access
from pool.kube.credentials.current import Credentials, Shown

AGENT = "cks-pool"
"""Who we are in the server's audit log."""

ANY = "*/*"

T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """One request: method, path, query (empty values are left out), body as JSON, content types."""

    method: str
    path: str
    query: dict[str, str]
    body: dict[str, Any] | list[dict[str, Any]] | None = field(default=None, repr=False)  # may hold secrets
    content: str = "application/json"
    accept: str = "application/json"


Read = Callable[[aiohttp.ClientResponse], Awaitable[T]]
"""Reads an answer. Raises ValueError if it is not what it should be."""


async def as_object(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """JSON; an empty answer is {}."""
    data = await response.read()
    found = json.loads(data) if data.strip() else {}
    return found if isinstance(found, dict) else {}


async def as_nothing(response: aiohttp.ClientResponse) -> None:
    """Whatever it says."""
    await response.read()


async def as_text(response: aiohttp.ClientResponse, *, most: int) -> str:
    """Its first `most` bytes; the rest is not waited for. What is no UTF-8 is replaced."""
    data = bytearray()
    async for part in response.content.iter_any():
        data += part
        if len(data) >= most:
            break
    return data[:most].decode(errors="replace")


class Sender:
    """Sends calls to one API server, for any number of tasks of one event loop."""

    def __init__(self, credentials: Credentials, connections: Connections) -> None:
        self.server = urlsplit(credentials.url).netloc
        """Host and port, for messages."""
        self._credentials = credentials
        self._connections = connections
        self._clock = ServerClock()
        self._let_in = False

    @classmethod
    @asynccontextmanager
    async def to(cls, access: Access) -> AsyncIterator[Self]:
        """Nothing is sent yet. Raises KubeconfigError."""
        credentials = Credentials(access)
        # A plugin that fails at the start is no outage, which would be waited out.
        connections = Connections(await credentials.current(None))
        try:
            yield cls(credentials, connections)
        finally:
            await connections.close()

    def told(self) -> datetime | None:
        """The server's time by its answers, None before the first."""
        return self._clock.at(time.monotonic())

    @asynccontextmanager
    async def send(self, call: Call, timeout: aiohttp.ClientTimeout) -> AsyncIterator[aiohttp.ClientResponse]:
        """An answer of status below 400, open for as long as the context lasts. Raises Faulty.

        Credentials that are refused are asked for again, once: the server has done nothing yet.
        """
        async with AsyncExitStack() as stack:
            try:
                shown = await self._credentials.current(self.told())
                response = await stack.enter_async_context(self._sent(call, timeout, shown))
                if response.status == 401 and await self._credentials.renewed(shown, self.told()):
                    shown = await self._credentials.current(self.told())
                    response = await stack.enter_async_context(self._sent(call, timeout, shown))
                fault = None
                if response.status >= 400:
                    fault = faults.answered(response.status, await response.read(), response.headers)
                if response.status == 401 and self._let_in:
                    fault = faults.without_credentials("refused by now, and no others are there yet", self.server)
                self._let_in = self._let_in or response.status != 401
            except faults.NETWORK_FAULTS as error:
                raise faults.Faulty(faults.unanswered(error, self.server)) from error
            except KubeconfigError as error:
                raise faults.Faulty(faults.without_credentials(error.actual, self.server)) from error
            if fault is not None:
                raise faults.Faulty(fault)
            yield response

    @asynccontextmanager
    async def _sent(
        self, call: Call, timeout: aiohttp.ClientTimeout, shown: Shown
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        said = {"Accept": call.accept, "Content-Type": call.content, "User-Agent": AGENT}
        headers = CIMultiDict((*shown.headers, *said.items()))
        query = urlencode({key: value for key, value in call.query.items() if value})
        url = f"{shown.server.url}{call.path}" + (f"?{query}" if query else "")
        async with self._connections.using(shown) as client:
            asked = time.monotonic()
            sent = await client.rest_client.request(
                call.method, url, headers=headers, body=call.body, _request_timeout=timeout
            )
            response: aiohttp.ClientResponse = sent.response
            self._clock.heard(response.headers.get("Date", ""), asked, time.monotonic())
            try:
                yield response
            finally:
                response.close()
