"""How many crash points were tried and survived, kept with each test's report, so that workers' counts add up.

Of long operations one of some points is tried, and others each day, so that all have their turn. `CKS_TEST_CRASH=all`
tries every point of every operation, and a number those of its day.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any

KEY = "crash points"
STOPPED = "stopped runs"
CHOICE = "CKS_TEST_CRASH"
TODAY = int(time.time() // 86400)
"""Days since 1970."""


class Tally:
    """One operation's points."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.survived = self.tried = self.known = 0

    def points(self, writes: int, every: int = 1) -> Iterator[int]:
        """The points to try of so many writes: one of `every`, or all if the environment says so."""
        self.known += writes
        day = _day()
        step = 1 if day is None else every
        yield from range(1 + (day or 0) % step, writes + 1, step)

    def sample(self, points: Iterable[int]) -> Iterator[int]:
        """These points, each for a part of its operation, or all there are: the first that is not there is the last."""
        for point in count(1) if _day() is None else points:
            self.tried += 1
            yield point

    def kept(self) -> list[object]:
        """The counts as a test's report keeps them."""
        return [self.name, self.survived, self.tried, max(self.known, self.tried)]


def _day() -> int | None:
    """Whose points are tried; None: all."""
    choice = os.environ.get(CHOICE, str(TODAY))
    return None if choice == "all" else int(choice)


def summary(reports: Iterable[Any]) -> tuple[list[str], list[str]]:
    """A line an operation, and the sum; nothing if no crash point was tried."""
    reports = list(reports)
    kept = _kept(reports, KEY)
    lines = [f"  {name}: {survived} survived of {tried} tried, of {known}" for name, survived, tried, known in kept]
    survived, tried, known = (sum(one[at] for one in kept) for at in (1, 2, 3))
    total = [f"crash points: {survived} survived of {tried}"] if tried else []
    if tried < known:
        total.insert(0, f"tried {tried} of {known} points; {CHOICE}={_day()} tries the same again, {CHOICE}=all all")
    stopped = _kept(reports, STOPPED)
    harmless, tried = (sum(one[at] for one in stopped) for at in (1, 2))
    lines += [f"  {name}, stopped: {harmless} harmless of {tried} tried" for name, harmless, tried, _ in stopped]
    total += [f"stopped runs: {harmless} harmless of {tried}"] if tried else []
    return sorted(lines), total


def _kept(reports: Iterable[Any], wanted: str) -> list[Any]:
    return [value for report in reports for key, value in getattr(report, "user_properties", ()) if key == wanted]
