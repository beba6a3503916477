"""`python -m flows.worker`: a process that runs flows (flows.warm) and stands by for the pools (flows.runtime)."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from prefect.logging import get_logger

from flows.dispatch import ask_for
from flows.loops import signs_of_life
from flows.maintenance import maintain
from flows.runtime import check_host, standing_by
from flows.signals import Stopped, run_beside_signals
from flows.warm import WarmWorker
from pool.core.errors import InvalidInput, WrongVersion
from pool.core.settings import settings_from_environment

logger = get_logger("warm_worker")


async def serve(
    work_pool: str, *, name: str | None = None, limit: int | None = None, alive: Path | None = None
) -> None:
    """Serve `work_pool` until cancelled. `limit`: flow runs at once, None for no limit. `alive`: for `signs_of_life`.

    Raises WrongVersion, before anything is taken, if what is installed on the host is of another version.
    """
    # Before any sign of life: who is refused has not started, and a rollout keeps the workers before it.
    await check_host()
    async with signs_of_life(alive), standing_by(maintain, ask_for):
        await WarmWorker(work_pool, name=name, limit=limit).serve()


def main(argv: list[str] | None = None) -> int:
    """Command line: `python -m flows.worker --pool NAME`."""
    parser = argparse.ArgumentParser("python -m flows.worker", description="Serve a work pool, in one process.")
    parser.add_argument("--pool", required=True, help="work pool to serve; made if missing")
    parser.add_argument("--name", help="what its name in the UI begins with; the host's by default")
    parser.add_argument("--limit", type=int, help="flow runs at once; no limit by default")
    parser.add_argument(
        "--alive", type=Path, help="file that is touched every 5 s as long as the event loop goes round"
    )
    arguments = parser.parse_args(argv)
    try:
        settings_from_environment()
    except InvalidInput as error:
        parser.error(str(error))
    try:
        work = partial(serve, arguments.pool, name=arguments.name, limit=arguments.limit, alive=arguments.alive)
        run_beside_signals(work)
    except Stopped as stopped:
        logger.info("worker stopped by %s", stopped)
        return 0
    except (WrongVersion, InvalidInput) as error:
        logger.error("the worker does not start: %s", error)
    except Exception as error:
        logger.exception("worker failed: %s", error)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
