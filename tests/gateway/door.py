"""A gateway over a lab: in this process, or really served, on a free port of loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import FastAPI

from gateway.app import build
from gateway.gateway import Gateway, OpenHost
from gateway.serving import Server, listening
from gateway.settings import GatewaySettings
from pool.state.events import Listener
from pool.state.view import PoolView
from pool.work.steps import Host
from tests.pool.lab import Lab


@dataclass(frozen=True)
class Door:
    """A running gateway, and a client of it."""

    app: FastAPI
    http: httpx.AsyncClient
    server: Server | None = None
    """Where it is really served."""

    @property
    def gateway(self) -> Gateway:
        """What the app works with."""
        found = self.app.state.gateway
        assert isinstance(found, Gateway)
        return found

    @property
    def view(self) -> PoolView:
        """What it sees of the pool."""
        return self.gateway.the_host().state.view


def of_lab(lab: Lab) -> OpenHost:
    """Opens the lab's host, as another process does: with a state of its own, by the lab's clock and connection."""

    @asynccontextmanager
    async def open_host(listener: Listener) -> AsyncIterator[Host]:
        state = lab.another(events=listener)
        try:
            yield Host(lab.settings, lab.kube, lab.watching, state)
        finally:
            await state.aclose()

    return open_host


@asynccontextmanager
async def inside(open_host: OpenHost, *, ready: bool = True, **settings: Any) -> AsyncIterator[Door]:
    """In this process, without a socket: milliseconds. An answer comes whole, so nothing that streams."""
    app = build(GatewaySettings(**settings), open_host=open_host)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as http,
    ):
        door = Door(app, http)
        if ready:
            await followed(door)
        yield door


@asynccontextmanager
async def served(open_host: OpenHost, *, ready: bool = True, port: int = 0, **settings: Any) -> AsyncIterator[Door]:
    """By the real server, in this test's loop."""
    given = GatewaySettings(listen=f"127.0.0.1:{port}", stop_timeout=2, **settings)
    app = build(given, open_host=open_host)
    server = Server(app, given)
    with listening(given) as bound:
        # Without `serve`, which takes this process's signals for itself.
        running = asyncio.create_task(server._serve([bound]))
        try:
            address = f"http://127.0.0.1:{bound.getsockname()[1]}"
            async with httpx.AsyncClient(base_url=address, timeout=10) as http:
                door = Door(app, http, server)
                if ready:
                    await followed(door)
                yield door
        finally:
            server.should_exit = True
            await running


async def followed(door: Door) -> None:
    """Wait until the gateway follows its host."""
    async with asyncio.timeout(10):
        await door.gateway.following.wait()
