"""Many watches in a process of their own: `python -m benchmarks.watchers KUBECONFIG PATH COUNT EVENTS`.

Says `ready` once all are answered, and the moment (of the machine's monotonic clock, in seconds) at which the last of
them has seen its last event. Events are counted, not read: what is measured is the server.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.servers import Access

_EVENT = b'{"type":"MODIFIED",'


class _Watch(asyncio.Protocol):
    """Counts events until there were as many as wanted."""

    def __init__(self, request: bytes, events: int) -> None:
        self._request = request
        self._left = events
        self._tail = b""
        loop = asyncio.get_running_loop()
        self.answered: asyncio.Future[None] = loop.create_future()
        self.done: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self.answered.done():
            self.answered.set_result(None)
        seen = self._tail + data
        self._left -= seen.count(_EVENT)
        # An event may be cut in two; a whole one is not counted twice.
        self._tail = seen[-len(_EVENT) + 1 :]
        if self._left <= 0 and not self.done.done():
            self.done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        for future in (self.answered, self.done):
            if not future.done():
                future.set_exception(error or ConnectionError("the watch has ended"))


async def watch(access: Access, path: str, count: int, events: int) -> None:
    """Raises OSError when a watch is refused or ends too soon."""
    where = urlsplit(access.server)
    lines = [f"GET {path} HTTP/1.1", f"Host: {where.netloc}", f"Authorization: Bearer {access.token}", "", ""]
    request = "\r\n".join(lines).encode()
    loop = asyncio.get_running_loop()
    assert where.hostname is not None
    assert where.port is not None
    watches = []
    for _ in range(count):
        _, made = await loop.create_connection(
            lambda: _Watch(request, events), where.hostname, where.port, ssl=access.context
        )
        watches.append(made)
    await asyncio.gather(*(one.answered for one in watches))
    print("ready", flush=True)
    await asyncio.gather(*(one.done for one in watches))
    print(time.monotonic(), flush=True)


if __name__ == "__main__":
    asyncio.run(watch(Access.read(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
