"""`python -m simulator controllers --kubeconfig FILE [--only PART,...]`: play parts beside any API server."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from kubernetes.aio.config import ConfigException

from simulator.api.errors import ApiError
from simulator.api.options import read
from simulator.client.http import HttpClient
from simulator.controllers.parts import Controllers, Part
from simulator.faults.switches import WORLD
from simulator.faults.troubles import Trouble, Troubles, of
from simulator.timing.delays import Delays


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        """One line, without the usage above it."""
        self.exit(2, f"simulator controllers: {message}\n")


def _parts(text: str) -> list[Part]:
    try:
        return [Part(name) for name in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}; there are {', '.join(Part)}") from error


def _file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"{text} is no file")
    return path


def _speed(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _trouble(text: str) -> Trouble:
    try:
        return of(read(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """Read the command line; one line on stderr and exit status 2 for what cannot be."""
    parser = _Parser(prog="python -m simulator controllers", description=__doc__)
    parser.add_argument("--kubeconfig", type=_file, required=True, metavar="FILE", help="how to reach the API server")
    parser.add_argument("--only", type=_parts, default=list(Part), metavar="PART,...", help=f"of {', '.join(Part)}")
    parser.add_argument("--speed", type=_speed, default=1.0, help="how many times faster than life (default: 1)")
    parser.add_argument(
        "--fault",
        type=_trouble,
        action="append",
        default=[],
        metavar="KIND,OPTION=VALUE,...",
        help=f"let the world fail: {WORLD}",
    )
    parser.add_argument("--seed", type=int, default=None, help="makes what chance decides about faults repeatable")
    parser.add_argument("--verbose", action="store_true", help="log what the controllers do")
    return parser.parse_args(given)


async def play(options: argparse.Namespace) -> None:
    """Play until SIGTERM or SIGINT. Raises OSError, ConfigException for a kubeconfig that cannot be used, ApiError for
    one that may not."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with HttpClient.connect(options.kubeconfig) as client:
        troubles = Troubles(options.fault, options.seed)
        controllers = Controllers(client, Delays().scaled(options.speed), options.only, troubles)
        try:
            await controllers.start()
            print(f"ready {','.join(options.only)}", flush=True)  # noqa: T201
            await stop.wait()
        finally:
            await controllers.stop()


def main(given: Sequence[str]) -> int:
    """The exit status: 0, or 2 for flags and files that cannot be used."""
    options = arguments(given)
    logging.basicConfig(level=logging.DEBUG if options.verbose else logging.WARNING, format="%(name)s: %(message)s")
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    try:
        asyncio.run(play(options))
    except (OSError, ConfigException, ApiError) as error:
        print(f"simulator controllers: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0
