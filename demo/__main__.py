"""`python -m demo`: start the stack, tell the story, say where to look, stop everything (or stay, with --keep)."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from pathlib import Path

from demo.leftovers import FolderInUse
from demo.processes import ChildFailed
from demo.screen import Screen, StepFailed
from demo.stack import Stack, running
from pool.core.errors import InvalidInput, PoolError
from pool.core.settings import settings_from_environment

DEFAULT_SPEED = 20.0
"""Simulated delays are divided by this: a kubeadm bootstrap of a minute and a half takes about five seconds."""


def main(argv: list[str] | None = None) -> int:
    """Exit status: 0 the story held; 1 a step did not, which is named; 2 a bad argument, or a folder in use."""
    parser = argparse.ArgumentParser("python -m demo", description="The whole of cks-pool on this machine.")
    parser.add_argument("--speed", type=_speed, default=DEFAULT_SPEED, help="divides the simulated delays (default 20)")
    parser.add_argument("--keep", action="store_true", help="stay when done, until Ctrl-C, with everything running")
    parser.add_argument("--folder", type=Path, default=Path(".run"), help="state and logs (default .run)")
    arguments = parser.parse_args(argv)
    screen = Screen()
    try:
        settings_from_environment()
    except InvalidInput as error:
        screen.line(str(error))
        return 2
    try:
        asyncio.run(_demo(screen, arguments.folder.resolve(), arguments.speed, keep=arguments.keep))
    except FolderInUse as error:
        screen.line(str(error))
        return 2
    except (StepFailed, ChildFailed, PoolError) as error:
        screen.line(f"The demo stopped: {error}")
        screen.line(f"Logs are in {arguments.folder}/logs.")
        return 1
    except asyncio.CancelledError:
        screen.line("Stopped.")
        return 130
    return 0


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None
    if not 0.1 <= speed <= 1000:
        raise argparse.ArgumentTypeError(f"{text} is out of 0.1 .. 1000; 1 is as slow as real clusters")
    return speed


async def _demo(screen: Screen, folder: Path, speed: float, *, keep: bool) -> None:
    _cancel_on_signals()
    screen.line(f"Starting in {folder}, all parts at once:")
    async with running(folder, speed=speed, screen=screen) as stack:
        # Not at the top: it loads Prefect, which the stack has done by now, while its parts were starting.
        from demo.story import tell

        started = screen.elapsed()
        screen.line(f"Page: {stack.page_url}   Prefect UI: {stack.ui_url}   kubeconfig: {stack.kubeconfig}")
        screen.line(f"Delays are divided by {speed:g}.\n")
        await tell(screen, stack)
        took = screen.elapsed()
        screen.line(f"\nAll of it held, in {took:.0f} s: {started:.0f} s to start, {took - started:.0f} s the story.")
        if keep:
            screen.line(_where(stack))
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            screen.line("Stopping.")
        else:
            screen.line("\nStopped again; `make up` leaves it running, these runs included.")


def _cancel_on_signals() -> None:
    """Have Ctrl-C and SIGTERM cancel the current task, so that what it started is stopped."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)


def _where(stack: Stack) -> str:
    """What is where while it is kept."""
    places = {
        "page": stack.page_url,
        "API": f"{stack.page_url}/api",
        "Prefect UI": stack.ui_url,
        "Prefect API": stack.api_url,
        "kubeconfig": stack.kubeconfig,
        "database": stack.database_url,
        "logs": stack.logs,
    }
    lines = "\n".join(f"  {name:12} {place}" for name, place in places.items())
    return f"\nEverything stays up until Ctrl-C:\n{lines}"


if __name__ == "__main__":
    raise SystemExit(main())
