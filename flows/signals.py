"""Running beside the main thread, so that it keeps the signals.

Prefect's engine installs a SIGTERM handler around each flow run of the main thread, which raises inside whatever the
event loop is doing: with many runs in one loop that tears down the loop, with one it is sixty lines of traceback. Off
the main thread it leaves signals alone.
"""

from __future__ import annotations

import asyncio
import contextvars
import signal
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

AGAIN = 15.0
"""Seconds after which work that a signal was to cancel is cancelled again: what it waited for just then may have lost
the first. A worker needs less for its last reports."""


class Stopped(Exception):
    """A signal ended the work; it was cancelled, and has tidied up."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def run_beside_signals(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """The result of `work`, in an event loop of its own; SIGINT and SIGTERM cancel it.

    Raises what it raises, or Stopped.
    """
    outcome: Future[T] = Future()
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []
    signals: list[int] = []
    ended = threading.Event()

    async def main() -> T:
        task = asyncio.current_task()
        assert task is not None
        running.append((asyncio.get_running_loop(), task))
        if signals:
            raise asyncio.CancelledError
        return await work()

    def run() -> None:
        try:
            outcome.set_result(asyncio.run(main()))
        except BaseException as error:  # noqa: BLE001 - raised in the main thread
            outcome.set_exception(error)
        ended.set()

    def cancel() -> None:
        for loop, task in running:
            with suppress(RuntimeError):  # the loop has ended in this moment
                loop.call_soon_threadsafe(task.cancel)

    def stop(number: int, _frame: object) -> None:
        signals.append(number)
        cancel()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(run,), name="loop", daemon=True).start()
        cancelled = 0
        while not ended.wait(timeout=AGAIN):
            if signals and (cancelled := cancelled + 1) > 1:
                cancel()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if signals:
        raise Stopped(signals[0])
    return outcome.result()
