"""A signal that wakes everyone who waits for the world to change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Pulse:
    """`beat` after a change; `until` looks again at each beat."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def beat(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    async def until(self, look: Callable[[], T | None], *, at_least_every: float | None = None) -> T:
        """The first thing that `look` returns which is not None. `at_least_every`: seconds after which it looks even
        without a beat, None never."""
        while True:
            found = look()
            if found is not None:
                return found
            future = asyncio.get_running_loop().create_future()
            self._waiting.add(future)
            try:
                await asyncio.wait([future], timeout=at_least_every)
            finally:
                self._waiting.discard(future)
