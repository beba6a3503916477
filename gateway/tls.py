"""The certificate that is served, read again when it changed: whoever renews it restarts nothing."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

logger = logging.getLogger(__name__)

LOOK_AGAIN = 30.0
"""Seconds between two looks at the files."""


async def renewing(context: ssl.SSLContext, certificate: Path, key: Path, *, every: float = LOOK_AGAIN) -> None:
    """Load the pair into the context whenever it changed, for as long as this runs. What is open keeps what it has.

    A pair that does not fit (one of the two was written first) leaves the one before in force, until the next look.
    """
    loaded = _versions(certificate, key)
    while True:
        await asyncio.sleep(every)
        found = _versions(certificate, key)
        if found == loaded:
            continue
        try:
            # A pair that does not fit must not be half of what is served.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
            context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            logger.error("the certificate stays as it was: %s: %s", certificate, error)
            continue
        loaded = found
        logger.info("certificate read again from %s", certificate)


def _versions(*paths: Path) -> tuple[object, ...]:
    def version(path: Path) -> object:
        try:
            found = path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    return tuple(version(path) for path in paths)
