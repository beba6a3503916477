"""Work that a loop has done beside it, so that nothing it waits for holds up the loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

logger = logging.getLogger(__name__)


class Errands:
    """One at a time for each name. What goes wrong is logged, and is the loop's to find and have done again."""

    def __init__(self) -> None:
        self._under_way: dict[str, asyncio.Task[None]] = {}

    def send(self, name: str, work: Callable[[], Awaitable[object]]) -> bool:
        """Begin the work. False if some of that name is under way; then it is not begun."""
        if name in self._under_way:
            return False
        self._under_way[name] = asyncio.create_task(self._run(name, work), name=name)
        return True

    async def _run(self, name: str, work: Callable[[], Awaitable[object]]) -> None:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - the loop goes on whatever becomes of one errand
            logger.warning("%s: %s", name, error or type(error).__name__)
        finally:
            self._under_way.pop(name, None)

    async def stop(self) -> None:
        """Cancel what is under way, and wait until it has ended."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
