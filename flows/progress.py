"""How far work on a cluster is, for people: the artifact `steps-CLUSTER`, one table that is edited in place.

It is written beside the work and never holds it up: at most once a second, and what Prefect's server does not take in a
moment at the end stays unwritten.
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

    def row(self) -> dict[str, str]:
        """As the table shows it."""
        took = "" if self.took is None else f"{self.took:.1f} s"
        state = f"failed: {self.failed}" if self.failed else "under way" if self.took is None else "done"
        return {"step": self.name, "state": state, "took": took}


class Progress:
    """The steps of the present work on one cluster."""

    def __init__(self, cluster_id: str, title: str) -> None:
        self._cluster_id, self._title = cluster_id, title
        self._steps: list[_Step] = []
        self._begun = asyncio.get_running_loop().time()
        self._outcome = "under way"
        self._news = asyncio.Event()
        self._ended = asyncio.Event()
        self._artifact: UUID | None = None

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """While entered, the step is under way."""
        clock = asyncio.get_running_loop().time
        one = _Step(name, clock())
        self._steps.append(one)
        self._news.set()
        try:
            yield
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
                logger.warning("progress of %s is not shown: %s: %s", self._cluster_id, type(error).__name__, error)
            with suppress(TimeoutError):
                async with asyncio.timeout(PAUSE):
                    await self._ended.wait()

    async def _write(self) -> None:
        rows = [one.row() for one in self._steps[-MOST:]]
        description = f"{self._title}: {self._outcome}"
        if self._artifact is None:
            key = f"steps-{self._cluster_id}"
            self._artifact = await acreate_table_artifact(rows, key=key, description=description)
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
    progress = Progress(cluster_id, str(runtime.flow_run.name))
    token = _current.set(progress)
    writing = asyncio.create_task(progress.write(), name=f"progress of {cluster_id}")
    try:
        yield
        progress.end("done")
        await asyncio.wait([writing], timeout=LAST)
    except Exception as error:
        progress.end(f"failed, {type(error).__name__},")
        await asyncio.wait([writing], timeout=LAST)
        raise
    finally:
        _current.reset(token)
        writing.cancel()


def step_shown(name: str) -> AbstractContextManager[None]:
    """While entered, the step is under way, where steps are shown."""
    progress = _current.get()
    return nullcontext() if progress is None else progress.step(name)
