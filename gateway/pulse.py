"""Whether the host's API answers. A watch that stays open says nothing of it: streams outlive what they stem from."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from pool.core.errors import Forbidden, NotFound, PoolError
from pool.kube.resources import POOLS
from pool.work.steps import Host

logger = logging.getLogger(__name__)

EVERY = 5.0
"""Seconds between two questions; the first comes as long after the host was opened."""


class Pulse:
    """Asks the host's API now and then, and at once when somebody doubts that it answers."""

    def __init__(self) -> None:
        self.answers = True
        self._doubted = asyncio.Event()

    def doubt(self) -> None:
        """A call was not answered."""
        self._doubted.set()

    async def follow(self, host: Host) -> None:
        """Ask for as long as this runs."""
        self.answers = True
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY):
                    await self._doubted.wait()
            self._doubted.clear()
            self.answers = await self._asked(host)

    async def _asked(self, host: Host) -> bool:
        try:
            await ask(host)
        except PoolError as error:
            if self.answers:
                logger.warning("the host's API does not answer: %s", error)
            return False
        return True


async def ask(host: Host) -> None:
    """Have the API read one of what is told from the view: its version it would tell without its database, too.

    Raises ApiUnavailable, KubeconfigError.
    """
    with suppress(Forbidden, NotFound):
        # It is there to say no.
        await host.kube.request("GET", POOLS.path(host.settings.namespace), {"limit": "1"})
