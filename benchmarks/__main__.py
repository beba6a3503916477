"""`python -m benchmarks [NAME...] [--quick]`: run the benchmarks and print their tables."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import signal
import sys

from rich.console import Console

from benchmarks.promises import BrokenPromises
from benchmarks.waits import TooLate
from demo.processes import ChildFailed

NAMES = ("assign", "http", "crowd", "reset", "bootstrap", "api", "scale", "install")
LONG = ("soak", "endurance")
"""Run when they are named: they take the better part of an hour, and are about bad days, not speed."""
WIDE = 300
"""Columns of what is not printed on a terminal."""


def main(argv: list[str] | None = None) -> int:
    """Exit status 0 once all ran; figures are printed, not judged: machines are shared and noisy. Promises are: 1."""
    parser = argparse.ArgumentParser("python -m benchmarks", description="Speed, as ratios within one run.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"which ones: {', '.join(NAMES)} (default: all), {', '.join(LONG)}"
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that they run")
    parser.add_argument("--minutes", type=float, default=20.0, help="how long soak takes (default 20)")
    parser.add_argument("--seed", type=int, help="makes soak's choices repeatable")
    parser.add_argument(
        "--runs", type=int, nargs="+", default=[], help="after which endurance looks (default 200 2000)"
    )
    many = parser.add_argument_group("scale")
    many.add_argument("--clusters", type=int, nargs="+", default=[], help="a world of each size (default 30)")
    many.add_argument("--workers", type=int, nargs="+", default=[], help="so many, one after the other (default 1 2 4)")
    many.add_argument("--sessions", type=int, default=0, help="at once (default: as many as clusters)")
    many.add_argument("--rest", type=float, default=0.0, help="seconds for which nothing is done (default 300)")
    many.add_argument("--speed", type=float, default=0.0, help="delays are divided by it (default 20)")
    arguments = parser.parse_args(argv)
    unknown = [name for name in arguments.names if name not in NAMES + LONG]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")
    # In a file a row is as wide as it gets: cut to a terminal's width figures would be lost.
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    more = {
        "soak": {"minutes": arguments.minutes, "seed": arguments.seed},
        "endurance": {"runs": arguments.runs},
        "scale": {name: getattr(arguments, name) for name in ("clusters", "workers", "sessions", "rest", "speed")},
    }
    for name in arguments.names or NAMES:
        module = importlib.import_module(f"benchmarks.{name}")
        try:
            console.print(asyncio.run(module.measure(quick=arguments.quick, **more.get(name, {}))))
        except (BrokenPromises, TooLate, ChildFailed) as failure:
            console.print(f"{name} failed: {type(failure).__name__}\n{failure}", markup=False, style="red")
            return 1
    return 0


if __name__ == "__main__":
    # So that what is to end the benchmark ends its processes too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    raise SystemExit(main())
