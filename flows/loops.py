"""What keeps a worker's loops going whatever comes, and the file by which others see that they go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from prefect.logging import get_logger

from pool.core.errors import InvalidInput
from pool.kube.cancellation import told_to_end

SIGN = 5.0
"""Seconds between a worker's signs of life; who looks at them waits for a multiple (deployments/base/worker.yaml)."""

logger = get_logger("warm_worker")


async def repeatedly(work: Callable[[], Awaitable[None]], seconds: float, most: float = 30.0) -> None:
    """`work` again and again, with a pause; after failures (the server refuses it) with longer ones."""
    pause = seconds
    while True:
        try:
            await work()
            pause = seconds
        except (Exception, asyncio.CancelledError) as error:  # whatever it was, the worker goes on
            if told_to_end():
                raise
            pause = min(2 * pause, max(most, seconds))
            logger.warning("%s: %s: %s", getattr(work, "__name__", "work").strip("_"), type(error).__name__, error)
        await asyncio.sleep(pause)


@asynccontextmanager
async def signs_of_life(file: Path | None) -> AsyncIterator[None]:
    """While entered, `file` is touched as long as the event loop goes round; None: nothing is.

    It says nothing of Prefect's server or the host's API: a worker must not be ended because they are away. Raises
    InvalidInput if there cannot be such a file.
    """
    if file is None:
        yield
        return
    try:
        file.touch()
    except OSError as error:
        raise InvalidInput(f"no sign of life: {error}; --alive needs a file in a folder that is written to") from None

    async def touch() -> None:
        file.touch()

    task = asyncio.create_task(repeatedly(touch, SIGN), name="signs of life")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
