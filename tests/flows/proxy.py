"""A TCP proxy before Prefect's server, for the faults that a server has on a bad day."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Self
from urllib.parse import urlsplit

ERROR = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Proxy:
    """Passes everything on until it is told otherwise."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._passes = asyncio.Event()
        self._passes.set()
        self._fails = self._resets = False
        self._fail_once: str | None = None
        self.failed = 0
        """Requests that were answered 500."""
        self.url = ""

    @classmethod
    @asynccontextmanager
    async def before(cls, api_url: str) -> AsyncIterator[Self]:
        where = urlsplit(api_url)
        assert where.hostname is not None
        assert where.port is not None
        proxy = cls(where.hostname, where.port)
        server = await asyncio.start_server(proxy._serve, "127.0.0.1")
        proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{where.path}"
        try:
            yield proxy
        finally:
            server.close()
            for task in proxy._tasks:
                task.cancel()
            await asyncio.gather(*proxy._tasks, return_exceptions=True)

    def fail(self) -> None:
        """Answer 500 to everything."""
        self._fails = True

    def fail_once(self, path: str) -> None:
        """Answer 500 to the next request whose first line has these words."""
        self._fail_once = path

    def reset(self) -> None:
        """Reset every connection, and each that comes."""
        self._resets = True
        for writer in list(self._open):
            writer.transport.abort()

    def freeze(self) -> None:
        """Take connections and bytes, and answer nothing."""
        self._passes.clear()

    def recover(self) -> None:
        self._fails = self._resets = False
        self._passes.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._open.add(writer)
        try:
            if self._resets:
                writer.transport.abort()
                return
            back, forth = await asyncio.open_connection(self._host, self._port)
            self._open.add(forth)
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._requests(reader, writer, forth))
                    both.create_task(self._answers(back, writer))
            finally:
                self._open.discard(forth)
                forth.transport.abort()
        except* (OSError, _Over, asyncio.CancelledError):
            pass  # what has ended it does not matter
        finally:
            self._open.discard(writer)
            self._tasks.discard(task)
            writer.transport.abort()

    async def _requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, forth: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(65536):
            await self._passes.wait()
            line = data.split(b"\r\n", 1)[0].decode(errors="replace")
            if " HTTP/1.1" in line and self._is_to_fail(line):
                self.failed += 1
                writer.write(ERROR)
                with suppress(OSError):
                    await writer.drain()
                writer.close()
                break
            forth.write(data)
            await forth.drain()
        raise _Over

    def _is_to_fail(self, line: str) -> bool:
        if self._fail_once is not None and self._fail_once in line:
            self._fail_once = None
            return True
        return self._fails

    async def _answers(self, back: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await back.read(65536):
            await self._passes.wait()
            writer.write(data)
            await writer.drain()
        raise _Over


class _Over(Exception):
    """One side has closed."""
