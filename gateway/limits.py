"""How large, how many and how long requests may be."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.problems import RequestTimeout, TooLarge, TooManyRequests, answered

MOST_CALLERS = 10_000
"""Callers whose rate is kept in mind: of addresses there may be any number."""


class Rate:
    """Requests a minute of each caller, as a bucket that fills up again; a minute's worth may come at once.

    Of this process: two gateways let twice as many through. (The library `limits` keeps such counts in memory by the
    wall clock, with a task and a thread for each request; this needs neither.)
    """

    def __init__(self, per_minute: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._most, self._per_second, self._now = float(per_minute), per_minute / 60, monotonic
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def check(self, caller: str, *, take: float = 1.0) -> None:
        """Count one more request of the caller (`take` 0: only look). Raises TooManyRequests."""
        now = self._now()
        left, since = self._left.pop(caller, (self._most, now))
        left = min(self._most, left + (now - since) * self._per_second)
        if left < 1:
            self._left[caller] = left, now
            after = math.ceil((1 - left) / self._per_second)
            raise TooManyRequests(
                "too many requests",
                expected=f"at most {self._most:.0f} a minute",
                cure="ask less often, or raise CKS_GATEWAY_RATE",
                retry_after=after,
            )
        self._left[caller] = left - take, now
        while len(self._left) > MOST_CALLERS:
            self._left.popitem(last=False)


class BodyLimit:
    """Reads no more of a body than it may have, whatever its headers say. Raises TooLarge into whoever reads."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app, self._limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"")
        if length.isdigit() and int(length) > self._limit:
            await answered(TooLarge(self._limit), scope)(scope, receive, send)
            return
        read = 0

        async def limited() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._limit:
                raise TooLarge(self._limit)
            return message

        await self._app(scope, limited, send)


class TimeLimit:
    """Answers 503 in the place of what has not begun to answer in time, and stops it."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app, self._seconds = app, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._seconds) as limit:

                async def begun(message: Message) -> None:
                    # A stream may last; what has begun cannot be answered otherwise any more.
                    limit.reschedule(None)
                    await send(message)

                await self._app(scope, receive, begun)
        except TimeoutError:
            if not limit.expired():
                raise
            late = RequestTimeout(
                "no answer in time",
                expected=f"one within {self._seconds:g} s",
                cure="ask again",
                retry_after=1,
            )
            await answered(late, scope)(scope, receive, send)
