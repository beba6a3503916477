"""SIGSTOP from outside, at a write: the child stands still with its write on the way, and goes on when all has changed.

The parent serves the API, so it holds the given write of the child back and stops the child by its process ID, as a
paused host or a full network would. Others work meanwhile. Then the write is carried out, the child goes on, and what
it does from there is what an overtaken run does.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from pool.core.errors import PoolError
from simulator.api.requests import Request, Response
from simulator.api.server import ApiServer
from tests.pool.children import CONTEXT
from tests.pool.crash.child import Job
from tests.pool.crash.killing import PATIENCE, of_the_pool


def main(pipe: Any) -> None:
    """Wait for the job, do it, and tell how it ended: the name of an error, else nothing."""
    from tests.pool.crash import plain

    job: Job = pipe.recv()
    os.environ.update(job.environment)
    try:
        asyncio.run(plain.run(job.flow, job.parameters, job.run_id))
        pipe.send("")
    except PoolError as error:
        pipe.send(type(error).__name__)


@dataclass
class Stopper:
    """Counts the writes of one child, and stops it at one of them until it may go on."""

    pid: int | None = None
    at: int = 0
    writes: int = 0
    held: str = ""
    """The write that is held back, as method and path."""
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    going: asyncio.Event = field(default_factory=asyncio.Event)

    def installed(self, monkeypatch: pytest.MonkeyPatch) -> Stopper:
        """See all requests that any API server of this process gets over HTTP."""
        whole = ApiServer.handle

        async def handle(api: ApiServer, request: Request) -> Response:
            counts = self.pid is not None and not self.stopped.is_set() and request.user is None
            if counts and of_the_pool(request) and request.method != "GET":
                self.writes += 1
                if self.writes == self.at:
                    await self._hold(request)
            return await whole(api, request)

        monkeypatch.setattr(ApiServer, "handle", handle)
        return self

    async def _hold(self, request: Request) -> None:
        assert self.pid is not None
        os.kill(self.pid, signal.SIGSTOP)
        self.held = f"{request.method} {request.path}"
        self.stopped.set()
        await self.going.wait()

    async def run(self, job: Job, at: int, meanwhile: Callable[[], Awaitable[None]]) -> str | None:
        """Do the job in a process that stands still at write `at`, `meanwhile` all that is done by others.

        Returns how it ended, None if it has not so many writes.
        """
        here, there = CONTEXT.Pipe()
        child = CONTEXT.Process(target=main, args=(there,))
        child.start()
        there.close()
        self.pid, self.at, self.writes, self.held = child.pid, at, 0, ""
        self.stopped.clear()
        self.going.clear()
        try:
            here.send(job)
            ended = asyncio.create_task(asyncio.to_thread(here.recv))
            stopped = asyncio.create_task(self.stopped.wait())
            async with asyncio.timeout(PATIENCE):
                await asyncio.wait([ended, stopped], return_when=asyncio.FIRST_COMPLETED)
                if not self.stopped.is_set():
                    assert await ended == ""
                    return None
            # The others have their own patience each.
            await meanwhile()
            self.going.set()
            os.kill(child.pid or 0, signal.SIGCONT)
            async with asyncio.timeout(PATIENCE):
                return await ended
        finally:
            self.going.set()
            self.pid = None
            stopped.cancel()
            child.kill()
            child.join()
            here.close()
