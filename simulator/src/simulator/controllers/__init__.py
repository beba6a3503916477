"""Level-triggered controllers that play KubeVirt, CDI, a CSI driver and a node, through the API alone."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.api.server import ApiServer
    from simulator.client import Client
    from simulator.clock import Clock
    from simulator.delays import Delays
    from simulator.troubles import Troubles


def running(
    client: Client, api: ApiServer, delays: Delays, troubles: Troubles, clock: Clock, disks: Path | None = None
) -> AbstractAsyncContextManager[None]:
    """All controllers, and KubeVirt's webhooks and subresources in `api`, for as long as the context lasts; disks are
    kept in that file if there is one."""
    # Guests import from this package too, so what imports them must not be imported with it.
    from simulator.controllers.playing import playing

    return playing(client, api, delays, troubles, clock, disks)
