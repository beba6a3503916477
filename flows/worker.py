"""`python -m flows.worker`: a process that runs flows (flows.warm) and stands by for the pools (flows.runtime)."""

from __future__ import annotations

import argparse
import asyncio
import signal
import threading

from prefect.logging import get_logger

from flows.dispatch import ask_for
from flows.maintenance import maintain
from flows.runtime import standing_by
from flows.warm import WarmWorker
from pool.core.errors import InvalidInput
from pool.core.settings import settings_from_environment

logger = get_logger("warm_worker")


async def serve(work_pool: str, *, name: str | None = None, limit: int | None = None) -> None:
    """Serve `work_pool` until cancelled. `limit`: flow runs at once, None for no limit."""
    async with standing_by(maintain, ask_for):
        await WarmWorker(work_pool, name=name, limit=limit).serve()


def _serve_until_signal(work_pool: str, name: str | None, limit: int | None) -> int:
    """Run the worker's loop in a second thread, so that the main thread keeps the signals.

    Prefect's engine installs a SIGTERM handler around each flow run of the main thread that raises inside
    whatever the loop is doing; with many runs in one loop that would tear down the loop. Off the main thread it
    leaves signals alone.
    """
    loop = asyncio.new_event_loop()
    failures: list[BaseException] = []
    stopped = threading.Event()
    main: asyncio.Task[None] = loop.create_task(serve(work_pool, name=name, limit=limit))

    def run() -> None:
        try:
            loop.run_until_complete(main)
        except asyncio.CancelledError:
            logger.info("worker stopped")
        except BaseException as error:  # noqa: BLE001 - handed to the main thread, which reports it
            failures.append(error)
        finally:
            stopped.set()

    def stop(_signum: int, _frame: object) -> None:
        loop.call_soon_threadsafe(main.cancel)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    threading.Thread(target=run, name="worker-loop", daemon=True).start()
    while not stopped.wait(timeout=3600):
        continue
    if failures:
        logger.error("worker failed: %s", failures[0], exc_info=failures[0])
    return 1 if failures else 0


def main(argv: list[str] | None = None) -> int:
    """Command line: `python -m flows.worker --pool NAME`."""
    parser = argparse.ArgumentParser("python -m flows.worker", description="Serve a work pool, in one process.")
    parser.add_argument("--pool", required=True, help="work pool to serve; made if missing")
    parser.add_argument("--name", help="what its name in the UI begins with; the host's by default")
    parser.add_argument("--limit", type=int, help="flow runs at once; no limit by default")
    arguments = parser.parse_args(argv)
    try:
        settings_from_environment()
    except InvalidInput as error:
        parser.error(str(error))
    return _serve_until_signal(arguments.pool, arguments.name, arguments.limit)


if __name__ == "__main__":
    raise SystemExit(main())
