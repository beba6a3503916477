"""The simulated infrastructure beside an API server of this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from simulator.api.server import ApiServer
from simulator.client import Client
from simulator.clock import Clock
from simulator.controllers.parts import Controllers
from simulator.controllers.resources import VM_RESTORES
from simulator.delays import Delays
from simulator.guests.disk_database import DiskDatabase
from simulator.troubles import Troubles
from simulator.virtapi.install import install


@asynccontextmanager
async def playing(
    client: Client, api: ApiServer, delays: Delays, troubles: Troubles, clock: Clock, disks: Path | None = None
) -> AsyncIterator[None]:
    """Webhooks and subresources in `api`, all controllers over `client`; disks are kept in that file if there is one.
    Raises sqlite3.Error, OSError for a file that cannot be used."""
    database = DiskDatabase(disks) if disks is not None else None
    try:
        kept = database.load() if database is not None else None
        controllers = Controllers(client, delays, troubles=troubles, clock=clock, disks=kept)
        install(api, client, controllers.context.cache(VM_RESTORES))
        await controllers.start()
        try:
            yield
        finally:
            await controllers.stop()
    finally:
        if database is not None:
            database.close()
