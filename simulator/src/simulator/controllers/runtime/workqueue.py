"""A queue of object keys: one key is worked on by one worker at a time, changes in between are not lost."""

from __future__ import annotations

import asyncio

Key = tuple[str, str]
"""Namespace (empty for cluster-scoped kinds) and name."""

FIRST_RETRY = 0.02
LONGEST_RETRY = 5.0


class WorkQueue:
    """Deduplicating queue as client-go's: `get` a key, work, `done` it. A key added while it is worked on comes back
    after `done`. Delayed adds keep only the earliest time for a key."""

    def __init__(self) -> None:
        self._ready: asyncio.Queue[Key] = asyncio.Queue()
        self._waiting: set[Key] = set()
        self._working: set[Key] = set()
        self._again: set[Key] = set()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}

    def add(self, key: Key) -> None:
        if key in self._working:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.put_nowait(key)

    def add_after(self, key: Key, delay: float) -> None:
        """Add `key` in `delay` seconds, unless it is due sooner already."""
        loop = asyncio.get_running_loop()
        due = loop.time() + max(delay, 0.0)
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= due:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(due, self._fire, key)

    def retry(self, key: Key) -> float:
        """Add `key` after a delay that doubles with each failure in a row; that delay in seconds."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        delay: float = min(FIRST_RETRY * 2 ** (failures - 1), LONGEST_RETRY)
        self.add_after(key, delay)
        return delay

    def forget(self, key: Key) -> None:
        """The key was worked on without failure."""
        self._failures.pop(key, None)

    async def get(self) -> Key:
        key = await self._ready.get()
        self._waiting.discard(key)
        self._working.add(key)
        return key

    def done(self, key: Key) -> None:
        self._working.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def close(self) -> None:
        """Cancel what is due later."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _fire(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key)
