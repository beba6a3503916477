"""Whether a CancelledError is meant for the task that sees it."""

from __future__ import annotations

import asyncio


def told_to_end() -> bool:
    """Whether somebody cancelled the task that asks.

    A CancelledError alone does not say so: it comes as well out of what was awaited, if somebody cancelled that.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
