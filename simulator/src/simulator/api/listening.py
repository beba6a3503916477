"""The HTTP edge: aiohttp's server, TLS, and nothing that decides."""

from __future__ import annotations

import asyncio
import socket
import ssl
from email.utils import format_datetime
from typing import Any

from aiohttp import web

from simulator.api.requests import Dropped, Request
from simulator.api.server import WARNED, ApiServer

BODY_LIMIT = 3 * 1024 * 1024
"""Bytes a request's body may have, as the real server."""
BACKLOG = 1024
"""Connections that may wait to be accepted."""


class Listener:
    """Serves an ApiServer at an address until closed; in between it can refuse connections for a while."""

    def __init__(self, api: ApiServer, context: ssl.SSLContext | None) -> None:
        self._api = api
        self._context = context
        self._runner: web.ServerRunner | None = None
        self._host = ""
        self._kept: socket.socket | None = None
        self._outage: asyncio.Task[None] | None = None
        self.port = 0

    async def open(self, host: str, port: int = 0) -> int:
        """Listen, and return the port. Raises OSError when the address is taken."""
        runner = await self._set_up()
        await web.TCPSite(runner, host, port, ssl_context=self._context, backlog=BACKLOG).start()
        self._host, self.port = host, int(runner.addresses[0][1])
        return self.port

    async def refuse(self) -> None:
        """Refuse connections and break those that there are, until `accept`. The port stays this listener's."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        for site in list(runner.sites):
            await site.stop()
        # Bound and not listened on: nobody else gets it, and who connects is refused.
        self._kept = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._kept.bind((self._host, self.port))
        await _cut(runner)

    async def accept(self) -> None:
        """Listen at the same port again."""
        kept, self._kept = self._kept, None
        if kept is None:
            return
        runner = await self._set_up()
        await web.SockSite(runner, kept, ssl_context=self._context, backlog=BACKLOG).start()

    def refuse_for(self, seconds: float) -> None:
        """Begin to refuse now, and accept again after that time; nothing more when that is under way."""
        if self._outage is None or self._outage.done():
            self._outage = asyncio.create_task(self._refuse_for(seconds), name="outage")

    async def close(self) -> None:
        """Stop listening and drop all connections."""
        if self._outage is not None:
            self._outage.cancel()
            await asyncio.gather(self._outage, return_exceptions=True)
        for watch in list(self._api.watches):
            watch.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    async def _set_up(self) -> web.ServerRunner:
        # Cancelled when the client goes away, so that its watch does not live on.
        server = web.Server(self._handle, access_log=None, keepalive_timeout=120.0, handler_cancellation=True)
        self._runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=0.1)
        await self._runner.setup()
        return self._runner

    async def _refuse_for(self, seconds: float) -> None:
        await self.refuse()
        await asyncio.sleep(seconds)
        await self.accept()

    async def _handle(self, http: web.BaseRequest) -> web.StreamResponse:
        if http.content_length is not None and http.content_length > BODY_LIMIT:
            return web.Response(status=413, text="Request entity too large: limit is 3145728")
        body = await http.content.read() if http.body_exists else b""
        headers = _headers(http)
        request = Request(http.method, http.path, http.query, headers, body, None, _certificate(http))
        # What was begun is finished, whether or not the client waits for the answer.
        try:
            answer = await asyncio.shield(self._api.handle(request))
        except Dropped:
            return _broken(http)
        extra = dict(answer.headers)
        response: web.StreamResponse
        if answer.stream is None:
            response = web.Response(status=answer.status, body=answer.body)
            if answer.body or answer.status != 202:
                response.headers["Content-Type"] = answer.content_type
        else:
            response = web.StreamResponse(status=answer.status)
            response.headers["Content-Type"] = answer.content_type
        response.headers["Cache-Control"] = "no-cache, private"
        response.headers["Date"] = format_datetime(self._api.clock.now(), usegmt=True)
        response.headers.update(extra)
        for warning in answer.warnings:
            response.headers.add("Warning", f'{WARNED}"{_quoted(warning)}"')
        if answer.stream is not None:
            await _send(http, response, answer.stream)
        return response


async def _cut(runner: web.ServerRunner) -> None:
    """Break all connections of a server, answered or not, and end it."""
    if runner.server is not None:
        for connection in runner.server.connections:
            if connection.transport is not None:
                connection.transport.abort()
    await runner.cleanup()


def _broken(http: web.BaseRequest) -> web.StreamResponse:
    """Break the connection; the answer made up here reaches nobody."""
    if http.transport is not None:
        http.transport.abort()
    return web.Response(status=500)


async def _send(http: web.BaseRequest, response: web.StreamResponse, stream: Any) -> None:
    try:
        await response.prepare(http)
        async for chunk in stream:
            await response.write(chunk)
        await response.write_eof()
    except ConnectionError:
        return  # the client has gone; its watch ends below
    finally:
        await stream.aclose()


def _headers(http: web.BaseRequest) -> dict[str, str]:
    """In lower case; several of one name are joined."""
    headers: dict[str, str] = {}
    for name, value in http.headers.items():
        key = name.lower()
        headers[key] = f"{headers[key]},{value}" if key in headers else value
    return headers


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")


def _certificate(http: web.BaseRequest) -> bytes | None:
    transport = http.transport
    channel = transport.get_extra_info("ssl_object") if transport is not None else None
    found: bytes | None = channel.getpeercert(binary_form=True) if channel is not None else None
    return found
