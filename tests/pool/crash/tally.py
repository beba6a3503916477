"""How many crash points were tried and survived, kept with each test's report, so that workers' counts add up.

`CKS_TEST_CRASH=all` tries every point of every operation; a number shifts which ones are tried otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any

KEY = "crash points"
STOPPED = "stopped runs"
CHOICE = "CKS_TEST_CRASH"


class Tally:
    """One operation's points."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.survived = self.tried = self.known = 0

    def points(self, writes: int, every: int = 1) -> Iterator[int]:
        """The points to try of so many writes: one of `every`, or all if the environment says so."""
        self.known += writes
        choice = os.environ.get(CHOICE, "0")
        step, shift = (1, 0) if choice == "all" else (every, int(choice))
        yield from range(1 + shift % step, writes + 1, step)

    def sample(self, points: Iterable[int]) -> Iterator[int]:
        """These points, shifted, or all there are: the first that is not there is the last."""
        choice = os.environ.get(CHOICE, "0")
        for point in count(1) if choice == "all" else (one + int(choice) for one in points):
            self.tried += 1
            yield point

    def kept(self) -> list[object]:
        """The counts as a test's report keeps them."""
        return [self.name, self.survived, self.tried, max(self.known, self.tried)]


def summary(reports: Iterable[Any]) -> tuple[list[str], list[str]]:
    """A line an operation, and the sum; nothing if no crash point was tried."""
    reports = list(reports)
    kept = _kept(reports, KEY)
    lines = [f"  {name}: {survived} survived of {tried} tried, of {known}" for name, survived, tried, known in kept]
    survived, tried, known = (sum(one[at] for one in kept) for at in (1, 2, 3))
    total = [f"crash points: {survived} survived of {tried}"] if tried else []
    if tried < known:
        total.insert(0, f"tried {tried} of {known} points; {CHOICE}=all tries all")
    stopped = _kept(reports, STOPPED)
    harmless, tried = (sum(one[at] for one in stopped) for at in (1, 2))
    lines += [f"  {name}, stopped: {harmless} harmless of {tried} tried" for name, harmless, tried, _ in stopped]
    total += [f"stopped runs: {harmless} harmless of {tried}"] if tried else []
    return sorted(lines), total


def _kept(reports: Iterable[Any], wanted: str) -> list[Any]:
    return [value for report in reports for key, value in getattr(report, "user_properties", ()) if key == wanted]
