"""The credentials of the moment: files that change are read again, what ends is asked for again, one at a time."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, replace
from datetime import datetime

from pool.core.errors import KubeconfigError
from pool.kube.credentials.access import Access, Issued, Pair, Server, stamp

logger = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds before what failed, or gave again what was refused, is asked once more: hundreds of calls may wait for it."""


@dataclass(frozen=True)
class Shown:
    """What one request shows; two that are equal show the same."""

    access: Access
    issued: Issued

    @property
    def server(self) -> Server:
        return self.access.server

    @property
    def pair(self) -> Pair | None:
        return self.issued.pair or self.access.pair

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        token = f"Bearer {self.issued.token}" if self.issued.token else self.access.authorization
        return ((("Authorization", token),) if token else ()) + self.access.impersonation


class Credentials:
    """Those of one process for one server, for any number of tasks.

    Nothing runs in the background: whoever is about to make a request looks. What cannot be read for a moment leaves
    what was known before in its place.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._files = dict(access.files)
        self._issued = access.issued
        self._asking = asyncio.Lock()
        self._failed: KubeconfigError | None = None
        self._pause_until = 0.0

    @property
    def url(self) -> str:
        return self._access.server.url

    async def current(self, now: datetime | None) -> Shown:
        """What is shown by now, the server's time (None: not known yet).

        Raises KubeconfigError when other credentials are needed and there are none to be had.
        """
        self._look()
        if not self._good(now):
            async with self._asking:
                if not self._good(now):
                    await self._ask(now)
        return self._shown()

    async def renewed(self, refused: Shown, now: datetime | None) -> bool:
        """Whether there is something else to show than what was refused. Raises KubeconfigError."""
        async with self._asking:
            if self._shown() != refused:
                return True
            if time.monotonic() < self._pause_until:
                if self._failed is not None:
                    raise self._failed
                return False
            self._look(anyway=True)
            if self._shown() == refused and self._access.issuer is not None:
                await self._ask(now)
            if self._shown() == refused:
                self._pause_until = time.monotonic() + PAUSE
            return self._shown() != refused

    def _shown(self) -> Shown:
        return Shown(self._access, self._issued or Issued())

    def _good(self, now: datetime | None) -> bool:
        if self._access.issuer is None:
            return True
        issued = self._issued
        return issued is not None and (issued.ends is None or now is None or now < issued.ends)

    async def _ask(self, now: datetime | None) -> None:
        issuer = self._access.issuer
        assert issuer is not None
        if self._failed is not None and time.monotonic() < self._pause_until:
            raise self._failed
        try:
            found = await issuer.ask()
        except KubeconfigError as error:
            self._failed, self._pause_until = error, time.monotonic() + PAUSE
            raise
        self._failed = None
        # One that is over when it comes is used until it is refused: a clock is wrong, and asking again does not help.
        over = found.ends is not None and now is not None and found.ends <= now
        self._issued = replace(found, ends=None) if over else found

    def _look(self, *, anyway: bool = False) -> None:
        """Read the files again if one has changed."""
        found = {path: stamp(path) for path in self._files}
        if self._access.again is None or (found == self._files and not anyway):
            return
        self._files = found
        try:
            access = self._access.again()
        except KubeconfigError as error:
            logger.warning("going on with the credentials of before: %s", error)
            return
        self._files = dict(access.files)
        if access == self._access:
            return
        if access.server.url != self._access.server.url:
            logger.warning("%s names another server now; restart to go there", access.source)
            return
        if access.issuer != self._access.issuer or access.issued != self._access.issued:
            self._issued = access.issued
        self._access = access
        logger.info("%s has changed, and was read again", access.source)
