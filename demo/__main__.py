"""`python -m demo`: start the stack, tell the story, say where to look, stop everything (or stay, with --keep)."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
from pathlib import Path

import httpx

from demo.processes import ChildFailed
from demo.runs import Runs
from demo.screen import Screen, StepFailed
from demo.stack import Stack, running
from demo.story import Story
from flows.tables import console_table
from pool.core.errors import InvalidInput, PoolError
from pool.core.settings import settings_from_environment
from pool.kube.client import Kube
from pool.kube.watching import Watching

DEFAULT_SPEED = 20.0
"""Simulated delays are divided by this: a kubeadm bootstrap of a minute and a half takes about five seconds."""


def main(argv: list[str] | None = None) -> int:
    """Exit status: 0 the story held; 1 a step did not, which is named; 2 a bad argument."""
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
    except (StepFailed, ChildFailed, PoolError) as error:
        screen.line(f"The demo stopped: {error}")
        screen.line(f"Logs are in {arguments.folder}/logs.")
        return 1
    except KeyboardInterrupt:
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
    async with running(folder, speed=speed, say=screen.line) as stack:
        screen.line(f"Prefect UI: {stack.ui_url}   kubeconfig: {stack.kubeconfig}   delays divided by {speed:g}\n")
        await _tell(screen, stack)
        if keep:
            screen.line("\nEverything stays up until Ctrl-C.")
            await _until_signal()
        else:
            screen.line("\nStopped again; `make up` leaves it running, these runs included.")


async def _tell(screen: Screen, stack: Stack) -> None:
    # The settings of the pool come from the environment, as they do for the worker.
    os.environ.update({key: value for key, value in stack.environment.items() if key.startswith("CKS_POOL_")})
    settings = settings_from_environment()
    async with (
        httpx.AsyncClient(base_url=stack.api_url, timeout=30.0, trust_env=False) as client,
        Kube.connect(settings.kubeconfig) as kube,
        Watching(kube) as watching,
    ):
        runs = Runs(client, stack.ui_url)
        story = Story(screen, runs, kube, watching, settings)
        await story.tell()
        screen.line()
        console_table(await story.state.clusters(), await story.state.stats(), screen.console)
        screen.line(f"\nWhat was run, in the Prefect UI: {stack.ui_url}/runs")
        for name, url in runs.urls:
            screen.line(f"  {name:26} {url}")
        screen.line(f"\nAll of it held, in {screen.elapsed():.0f} s.")


async def _until_signal() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    await stop.wait()


if __name__ == "__main__":
    raise SystemExit(main())
