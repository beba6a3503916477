"""SIGKILL from outside, at a write: the server carries the write out, and its answer never leaves.

The parent serves the API, so it sees each write of the child; at the given one it kills the child by its process ID,
answers nothing, and carries out nothing more that still arrives. That is the worst moment to die: the effect is
there, and nobody has been told.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from simulator.api.requests import Dropped, Request, Response
from simulator.api.server import ApiServer
from tests.pool.children import CONTEXT

PATIENCE = 180.0
"""Seconds a child may take; the longest need two."""


@dataclass
class Killer:
    """Counts the writes of one child to the host's API and the guests', and kills it at one of them."""

    pid: int | None = None
    at: int | None = None
    writes: int = 0
    dead: bool = False
    last: str = ""
    """The last write, as method and path."""

    def aim(self, pid: int, at: int | None) -> None:
        """From now on that child's writes count."""
        self.pid, self.at, self.writes, self.dead = pid, at, 0, False

    def installed(self, monkeypatch: pytest.MonkeyPatch) -> Killer:
        """See all requests that any API server of this process gets over HTTP."""
        whole = ApiServer.handle

        async def handle(api: ApiServer, request: Request) -> Response:
            if self.pid is None or request.user is not None or not of_the_pool(request):
                return await whole(api, request)
            if self.dead:
                raise Dropped
            response = await whole(api, request)
            if request.method != "GET" and response.status < 300:
                self.last = f"{request.method} {request.path}"
                self._count(self.pid)
            if self.dead:
                raise Dropped
            return response

        monkeypatch.setattr(ApiServer, "handle", handle)
        return self

    def _count(self, pid: int) -> None:
        self.writes += 1
        if self.writes == self.at:
            self.dead = True
            os.kill(pid, signal.SIGKILL)


def of_the_pool(request: Request) -> bool:
    """Guests talk to each other over HTTP as well; those use another client."""
    return request.headers.get("user-agent", "").startswith("cks-pool")


async def run_child(killer: Killer, main: Callable[[Any], None], job: Any, *, at: int | None = None) -> int | None:
    """Do the job in a process of its own, killed at write `at`. Returns its writes, or None if it was killed.

    Forked from the preloaded fork server, so that it starts in milliseconds. Fails if the child failed.
    """
    there, here = CONTEXT.Pipe(duplex=False)
    child = CONTEXT.Process(target=main, args=(there,))
    child.start()
    there.close()
    assert child.pid is not None
    killer.aim(child.pid, at)
    try:
        here.send(job)
        async with asyncio.timeout(PATIENCE):
            await asyncio.to_thread(child.join)
    finally:
        killer.pid = None
        here.close()
        if child.is_alive():
            child.kill()
            child.join()
    assert child.exitcode == (-signal.SIGKILL if killer.dead else 0), f"the child ended with {child.exitcode}"
    return None if killer.dead else killer.writes
