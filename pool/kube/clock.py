"""The one clock: a server's time, as its answers tell it.

What is compared between machines (ends, heartbeats, ages, places in the queue) is told by it alone; a machine's own
clock may be days off without changing anything for anybody.

An answer's `Date` is the server's time, cut to whole seconds, at some moment between sending and receiving. So its lead
over this machine's monotonic clock is at least `date - received` and at most `date + 1 s - sent`. Each answer narrows
that down, to about a round trip after a few. One that does not fit says that the server's clock was set, that this
machine slept, or that the two drifted apart: what was known before is over then.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

RESOLUTION = 1.0
"""Seconds by which a `Date` may be behind the moment it was made."""


class ServerClock:
    """Bounds of one server's lead over a monotonic clock, in seconds. Does no I/O and reads no clock."""

    def __init__(self) -> None:
        self.bounds: tuple[float, float] | None = None
        """At least and at most; None until an answer told the time."""
        self._last = datetime.min.replace(tzinfo=UTC)

    def heard(self, date: str, sent: float, received: float) -> None:
        """Take an answer's `Date`; the moments it was asked for and came are the monotonic clock's. Nonsense is not."""
        try:
            told = parsedate_to_datetime(date).timestamp()
        except ValueError:
            return
        least, most = told - received, told + RESOLUTION - sent
        if self.bounds is not None:
            before = self.bounds
            if before[0] <= most and least <= before[1]:
                least, most = max(before[0], least), min(before[1], most)
        self.bounds = least, most

    def at(self, moment: float) -> datetime | None:
        """The server's time at a moment of the monotonic clock; None while it is not known.

        It stands still for a correction: what is asked for later is later, unless the server's clock was set back.
        """
        if self.bounds is None:
            return None
        told = datetime.fromtimestamp(sum(self.bounds) / 2 + moment, UTC)
        if timedelta() <= self._last - told <= timedelta(seconds=RESOLUTION):
            told = self._last + timedelta(microseconds=1)
        self._last = told
        return told
