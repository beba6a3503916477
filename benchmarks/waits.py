"""Waiting for what must come: always with a deadline, which says what was last seen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import httpx

from demo.processes import ChildFailed
from pool.core.errors import PoolError


class TooLate(RuntimeError):
    """What had to come did not; the message says what was seen instead."""


async def until(what: str, missing: Callable[[], Awaitable[str]], *, timeout: float, pause: float = 1.0) -> None:
    """Look again and again until nothing is `missing` any more (in words). Raises TooLate.

    A look that is not answered, or refused, is what was seen then.
    """
    last = "nothing, no look was answered"
    try:
        async with asyncio.timeout(timeout):
            while True:
                try:
                    last = await missing()
                except (PoolError, ChildFailed, httpx.HTTPError) as error:
                    last = f"{type(error).__name__}: {error}"
                if not last:
                    return
                await asyncio.sleep(pause)
    except TimeoutError:
        raise TooLate(f"{what}: not within {timeout:g} s; last seen: {last}") from None
