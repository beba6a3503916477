"""The simulated calendar: the machine's clock, moved ahead on demand, so that a year can pass within a test.

What ends by date goes by it: certificates and bootstrap tokens inside guests, Events, back-offs of VMs that failed to
start. So do the stamps of objects, and the `Date` of answers by which clients tell that time. Durations in the
infrastructure do not (they are the table of `simulator.timing.delays`).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
LONGEST = timedelta(days=36500)
"""How far ahead a clock may be: certificates cannot say every date."""


class Clock:
    """`offset` ahead of the machine's clock; it is only ever moved forward."""

    def __init__(self, offset: timedelta = timedelta()) -> None:
        self.offset = timedelta()
        self._listeners: dict[int, Callable[[], None]] = {}
        self._tickets = 0
        self._move(offset)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def advance(self, by: timedelta = timedelta(), *, days: float = 0, hours: float = 0, seconds: float = 0) -> None:
        """Let that much time have passed at once. Raises ValueError for a time back, or for more than a century."""
        self._move(by + timedelta(days=days, hours=hours, seconds=seconds))
        for listener in list(self._listeners.values()):
            listener()

    def _move(self, by: timedelta) -> None:
        if not timedelta() <= by <= LONGEST - self.offset:
            raise ValueError(f"a clock moves forward, by {LONGEST.days} days at most, not by {by}")
        self.offset += by

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` after each `advance`. Returns the call that ends it."""
        self._tickets += 1
        ticket = self._tickets
        self._listeners[ticket] = listener
        return lambda: self._listeners.pop(ticket, None) and None

    async def until(self, moment: datetime) -> None:
        """Wait until it is that late."""
        moved = asyncio.Event()
        stop = self.listen(moved.set)
        try:
            while (left := (moment - self.now()).total_seconds()) > 0:
                moved.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await moved.wait()
        finally:
            stop()


_CALENDAR: ContextVar[Clock | None] = ContextVar("calendar", default=None)


@contextmanager
def calendar(clock: Clock) -> Iterator[None]:
    """What runs within, and the tasks begun there, stamp by this clock."""
    before = _CALENDAR.set(clock)
    try:
        yield
    finally:
        _CALENDAR.reset(before)


def today() -> datetime:
    """What the calendar says where this runs; the machine's clock outside of any."""
    clock = _CALENDAR.get()
    return datetime.now(UTC) if clock is None else clock.now()


def duration(text: str) -> timedelta:
    """`400d`, `12h`, `90m`, `30s`, `2w`. Raises ValueError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text)
    if found is None:
        raise ValueError(f"{text!r} is no duration such as 90m, 12h or 400d")
    try:
        return timedelta(**{UNITS[found[2]]: float(found[1])})
    except OverflowError as error:
        raise ValueError(f"{text!r} is too long") from error
