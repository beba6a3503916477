"""`python -m simulator --kubeconfig FILE`: serve the simulated cluster until stopped.

`python -m simulator controllers --kubeconfig FILE` plays its controllers, all or some, beside any other API server.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sqlite3
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from simulator.api.faults import OPTIONS, Fault, FaultKind
from simulator.api.quantities import seconds_of
from simulator.api.upkeep.expiry import EVENT_TTL
from simulator.app import Simulator
from simulator.faults.switches import WORLD, parse
from simulator.faults.troubles import Trouble
from simulator.timing.clock import LONGEST, Clock, duration


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        """One line, without the usage above it."""
        self.exit(2, f"simulator: {message}\n")


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no number above 0")
    return value


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port")
    return int(text)


def _fault(text: str) -> Fault | Trouble:
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _duration(text: str) -> timedelta:
    try:
        ahead = duration(text)
        Clock(ahead)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return ahead


def _ttl(text: str) -> timedelta:
    """A time as Go writes it (1h30m0s), which is what flags of kube-apiserver take."""
    try:
        kept = timedelta(seconds=seconds_of(text))
    except (ValueError, OverflowError):
        kept = timedelta(days=-1)
    if not timedelta() <= kept <= LONGEST:
        raise argparse.ArgumentTypeError(f"{text} is no duration such as 1h0m0s")
    return kept


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """Read the command line; one line on stderr and exit status 2 for what cannot be."""
    parser = _Parser(prog="python -m simulator", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True, metavar="FILE", help="where to write the kubeconfig")
    parser.add_argument("--port", type=_port, default=0, help="port on 127.0.0.1 (default: a free one)")
    parser.add_argument("--speed", type=_positive, default=1.0, help="how many times faster than life (default: 1)")
    parser.add_argument("--seed", type=int, default=None, help="makes what is random repeatable")
    parser.add_argument(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        metavar="KIND,OPTION=VALUE,...",
        help=f"let requests fail: {', '.join(FaultKind)}; options: {', '.join(OPTIONS)} (verbs are joined by +)."
        f" Example: error,code=500,resource=sessions,probability=0.1. Or let the world fail: {WORLD}",
    )
    parser.add_argument(
        "--fault-admin", action="store_true", help="let faults be added by POST /simulator/faults, taken away by DELETE"
    )
    parser.add_argument(
        "--data-dir", type=Path, metavar="DIR", help="keep the API's objects and the disks there (default: in memory)"
    )
    parser.add_argument(
        "--clock-offset",
        type=_duration,
        metavar="DURATION",
        help="how far ahead its calendar is (s, m, h, d or w, such as 400d): certificates in guests end by it",
    )
    parser.add_argument("--clock-admin", action="store_true", help="let it be moved by POST /simulator/clock")
    parser.add_argument(
        "--event-ttl",
        type=_ttl,
        default=EVENT_TTL,
        metavar="DURATION",
        help="how long Events are kept after their last write (default: 1h0m0s; 0: for ever)",
    )
    parser.add_argument("--no-controllers", action="store_true", help="only the Kubernetes API")
    parser.add_argument("--verbose", action="store_true", help="log what the controllers do")
    options = parser.parse_args(given)
    if options.no_controllers and (idle := [one.kind for one in options.fault if isinstance(one, Trouble)]):
        parser.error(f"{idle[0]} is the controllers' to play, and --no-controllers leaves them out")
    return options


async def serve(options: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT. Raises OSError for a port that is taken, a file that cannot be written."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    simulator = Simulator(
        port=options.port,
        speed=options.speed,
        kubeconfig=options.kubeconfig,
        controllers=not options.no_controllers,
        seed=options.seed,
        faults=options.fault,
        fault_admin=options.fault_admin,
        data_dir=options.data_dir,
        clock_admin=options.clock_admin,
        event_ttl=options.event_ttl,
        clock=Clock(options.clock_offset) if options.clock_offset is not None else None,
    )
    async with simulator:
        print(f"ready {simulator.url} kubeconfig {options.kubeconfig}", flush=True)  # noqa: T201
        await stop.wait()


def main(given: Sequence[str] | None = None) -> int:
    """The exit status: 0, or 2 for flags and files that cannot be used."""
    given = sys.argv[1:] if given is None else given
    if list(given[:1]) == ["controllers"]:
        # What they need takes a while to import, and serving may do without.
        from simulator.controllers.command import main as controllers

        return controllers(given[1:])
    options = arguments(given)
    logging.basicConfig(level=logging.DEBUG if options.verbose else logging.WARNING, format="%(name)s: %(message)s")
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    try:
        asyncio.run(serve(options))
    except (OSError, sqlite3.Error) as error:
        print(f"simulator: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
