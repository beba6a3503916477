"""The simulated infrastructure beside an API server of this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from simulator.api.server import ApiServer
from simulator.client import Client
from simulator.clock import Clock
from simulator.controllers.parts import Controllers
from simulator.delays import Delays
from simulator.troubles import Troubles
from simulator.virtapi.install import install


@asynccontextmanager
async def playing(
    client: Client, api: ApiServer, delays: Delays, troubles: Troubles, clock: Clock
) -> AsyncIterator[None]:
    """Webhooks and subresources in `api`, all controllers over `client`."""
    install(api, client)
    controllers = Controllers(client, delays, troubles=troubles, clock=clock)
    await controllers.start()
    try:
        yield
    finally:
        await controllers.stop()
