"""A client of Prefect's API that waits out an outage: what is asked and reported is so once the server is back."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.logging import get_logger
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_KEY,
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED,
)

logger: logging.Logger = get_logger("patience")

PAUSES = 0.5, 15.0
"""Seconds until a call that was not answered is made again: at first, and at most; it doubles in between."""

SETTINGS: dict[Any, Any] = {
    # Its own retries would take up to half a minute to see that the server is back.
    PREFECT_CLIENT_MAX_RETRIES: 0,
    # It asks without patience, and what is installed with the server is nothing that changes by itself.
    PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED: False,
}
"""Prefect's settings under which such a client is to be used."""


class PatientClient(PrefectClient):
    """Makes each call until it is answered, by anything but an error of the server's own.

    So the engine, which gives up a run whose state it cannot report, reports the state when the server is back: neither
    the run nor its end is lost, however long that takes. A call may be carried out twice; those of the engine and the
    worker either say the same again or are refused the second time.
    """

    def __init__(self) -> None:
        super().__init__(
            PREFECT_API_URL.value(),
            auth_string=PREFECT_API_AUTH_STRING.value(),
            api_key=PREFECT_API_KEY.value(),
            # The server closes what is idle for 5 s.
            httpx_settings={"limits": httpx.Limits(max_connections=64, keepalive_expiry=4)},
        )
        self._hurried = asyncio.Event()
        self._ahead = timedelta()
        """Of this machine's clock is the server's by so much."""

    def hurry(self) -> None:
        """From now on a call that is not answered fails: whoever makes it has no time left."""
        self._hurried.set()

    def now(self) -> datetime:
        """The server's time, by its last answer: runs are due by that."""
        return datetime.now(UTC) + self._ahead

    async def request(self, *args: Any, **kwargs: Any) -> httpx.Response:
        """As PrefectClient's. Raises what the server refuses the call with."""
        pause, most = PAUSES
        while True:
            try:
                answer = await super().request(*args, **kwargs)
            except (httpx.TransportError, httpx.HTTPStatusError) as error:
                if self._hurried.is_set() or not is_outage(error):
                    raise
                logger.warning("Prefect's API does not answer, again in %g s: %s", pause, error or type(error).__name__)
            else:
                self._ahead = _date(answer) - datetime.now(UTC)
                return answer
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._hurried.wait()
            pause = min(2 * pause, most)


def _date(answer: httpx.Response) -> datetime:
    """When the server answered, by its own clock; by this machine's if it does not say."""
    said = answer.headers.get("Date")
    # In whole seconds, cut off.
    return parsedate_to_datetime(said) + timedelta(seconds=1) if said else datetime.now(UTC)


def is_outage(error: Exception) -> bool:
    """Whether the error says nothing about the call, but that the server could not answer it."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR
    return isinstance(error, httpx.TransportError)
