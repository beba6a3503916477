"""How far work is, for people: `steps-CLUSTER` on one cluster, `clusters-POOL` on several; tables, edited in place.

Each is written beside the work and never holds it up: at most once a second, and what Prefect's server does not take in
a moment at the end stays unwritten.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID

from prefect import runtime
from prefect.artifacts import acreate_table_artifact
from prefect.client.orchestration import get_client
from prefect.logging import get_logger

logger: logging.Logger = get_logger("progress")

PAUSE = 1.0
"""Seconds between two writes."""
LAST = 2.0
"""Seconds that the end of the work waits for the last write."""
MOST = 60
"""Steps that are shown, the latest: three attempts with all their steps are fewer."""


@dataclass
class _Step:
    name: str
    since: float
    took: float | None = None
    failed: str = ""
    left: bool = False
    """It was another run's to do."""

    def row(self, column: str) -> dict[str, str]:
        """As the table shows it."""
        took = "" if self.took is None else f"{self.took:.1f} s"
        ended = f"failed: {self.failed}" if self.failed else "left to another run" if self.left else "done"
        return {column: self.name, "state": "under way" if self.took is None else ended, "took": took}


class Progress:
    """The steps of the present work on one cluster; or its clusters, `total` of them."""

    def __init__(self, key: str, *, column: str = "step", total: int | None = None) -> None:
        self._key, self._column, self._total = key, column, total
        self._title = str(runtime.flow_run.name)
        self._steps: list[_Step] = []
        self._begun = asyncio.get_running_loop().time()
        self._outcome = "under way"
        self._news = asyncio.Event()
        self._ended = asyncio.Event()
        self._artifact: UUID | None = None

    @contextmanager
    def step(self, name: str) -> Iterator[_Step]:
        """While entered, the step is under way."""
        clock = asyncio.get_running_loop().time
        one = _Step(name, clock())
        self._steps.append(one)
        self._news.set()
        try:
            yield one
        except BaseException as error:
            one.failed = type(error).__name__
            raise
        finally:
            one.took = clock() - one.since
            self._news.set()

    def end(self, outcome: str) -> None:
        """No more steps come; `outcome` in a few words."""
        took = asyncio.get_running_loop().time() - self._begun
        self._outcome = f"{outcome} after {took:.0f} s"
        self._ended.set()
        self._news.set()

    async def write(self) -> None:
        """Keep the artifact as things are, until the end of the work is written."""
        while not (self._ended.is_set() and not self._news.is_set()):
            await self._news.wait()
            self._news.clear()
            if not self._steps:
                continue
            try:
                await self._write()
            except Exception as error:  # noqa: BLE001 - whatever it was, the work is not to suffer
                logger.warning("%s is not shown: %s: %s", self._key, type(error).__name__, error)
            with suppress(TimeoutError):
                async with asyncio.timeout(PAUSE):
                    await self._ended.wait()

    @property
    def _counted(self) -> str:
        if self._total is None:
            return ""
        ended = sum(one.took is not None for one in self._steps)
        return f"{ended} of {self._total}, "

    async def _write(self) -> None:
        rows = [one.row(self._column) for one in self._steps[-MOST:]]
        description = f"{self._title}: {self._counted}{self._outcome}"
        if self._artifact is None:
            self._artifact = await acreate_table_artifact(rows, key=self._key, description=description)
            return
        update = {"data": json.dumps(rows), "description": description}
        async with get_client() as client:
            # Its method for this emits an event for each write, among which a cluster's own are lost.
            await client.request("PATCH", "/artifacts/{id}", path_params={"id": self._artifact}, json=update)


_current: ContextVar[Progress | None] = ContextVar("progress", default=None)


@asynccontextmanager
async def shown(cluster_id: str) -> AsyncIterator[None]:
    """While entered, the steps of the run's work on the cluster are shown; within another of these, in its table."""
    if _current.get() is not None:
        yield
        return
    async with _written(Progress(f"steps-{cluster_id}")) as progress:
        token = _current.set(progress)
        try:
            yield
        finally:
            _current.reset(token)


@asynccontextmanager
async def side_by_side(pool: str, total: int) -> AsyncIterator[Progress]:
    """While entered, the pool's clusters that are worked on are shown, each as a step; `total` there are to be."""
    async with _written(Progress(f"clusters-{pool}", column="cluster", total=total)) as progress:
        yield progress


@asynccontextmanager
async def _written(progress: Progress) -> AsyncIterator[Progress]:
    """While entered, it is written beside the work."""
    writing = asyncio.create_task(progress.write(), name="progress")
    try:
        yield progress
        progress.end("done")
        await asyncio.wait([writing], timeout=LAST)
    except Exception as error:
        progress.end(f"failed, {type(error).__name__},")
        await asyncio.wait([writing], timeout=LAST)
        raise
    finally:
        writing.cancel()


def step_shown(name: str) -> AbstractContextManager[object]:
    """While entered, the step is under way, where steps are shown."""
    progress = _current.get()
    return nullcontext() if progress is None else progress.step(name)
