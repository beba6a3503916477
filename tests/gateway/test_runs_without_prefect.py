"""Flow runs are asked for while Prefect's API is away, in each way that it can be: the answer is there at once."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_KEY, PREFECT_API_URL, temporary_settings

from demo.processes import free_port
from gateway.runs import PrefectUnavailable, Runs

AT_ONCE = 1.4
"""Seconds on a busy machine; a client that tries a refused connection again takes 1.5."""
HTML = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 4\r\nconnection: close\r\n\r\n<hi>"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 60\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
NEEDS_LOGIN = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
EMPTY = b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"


@asynccontextmanager
async def server(answer: bytes | None, heard: list[bytes] | None = None) -> AsyncIterator[str]:
    """Answers everything so, nothing at all if None. Yields its address; what it is asked is added to `heard`."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        asked = await reader.readuntil(b"\r\n\r\n")
        if heard is not None:
            heard.append(asked)
        if length := re.search(rb"content-length: (\d+)", asked, re.IGNORECASE):
            await reader.readexactly(int(length[1]))
        if answer is not None:
            writer.write(answer)
            await writer.drain()
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1") as serving:
        yield f"http://127.0.0.1:{serving.sockets[0].getsockname()[1]}/api"
        for writer in writers:
            writer.transport.abort()


@asynccontextmanager
async def nobody() -> AsyncIterator[str]:
    yield f"http://127.0.0.1:{free_port()}/api"


async def said(url: str, patience: float = 0.2) -> str:
    """What is said of a run that was asked for there."""
    with temporary_settings({PREFECT_API_URL: url}):
        async with Runs.opened(patience=patience) as runs:
            begin = time.monotonic()
            with pytest.raises(PrefectUnavailable) as unavailable:
                await asyncio.create_task(runs.start("bootstrap-pool", {"pool": "default"}))
            assert time.monotonic() - begin < AT_ONCE
            return str(unavailable.value)


async def test_a_server_that_is_down_is_said_at_once() -> None:
    async with nobody() as url:
        assert "All connection attempts failed" in await said(url, patience=3)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "none within 0.2 s"),
        (BUSY, "503"),
        (HTML, "Expecting value"),
        (NEEDS_LOGIN, "set PREFECT_API_AUTH_STRING"),
        (EMPTY, "run prefect deploy --all"),
    ],
    ids=["silent", "busy", "another", "locked", "without-deployments"],
)
async def test_a_server_that_cannot_start_a_run_is_not_asked_twice(answer: bytes | None, words: str) -> None:
    async with server(answer) as url:
        assert words in await said(url)


@pytest.mark.parametrize(
    ("setting", "value", "header"),
    [
        (PREFECT_API_AUTH_STRING, "cks-pool:word", b"authorization: basic Y2tzLXBvb2w6d29yZA=="),
        (PREFECT_API_KEY, "pnu_key", b"authorization: bearer pnu_key"),
    ],
)
async def test_a_server_that_wants_credentials_is_shown_those_of_prefects_settings(
    setting: Any, value: str, header: bytes
) -> None:
    heard: list[bytes] = []
    async with server(EMPTY, heard) as url:
        with temporary_settings({setting: value}, restore_defaults={PREFECT_API_AUTH_STRING, PREFECT_API_KEY}):
            await said(url)
    assert header.lower() in heard[0].lower()


async def test_no_server_at_all_is_said_with_the_setting_to_set() -> None:
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        async with Runs.opened() as runs:
            with pytest.raises(PrefectUnavailable, match="set PREFECT_API_URL"):
                await runs.start("bootstrap-pool", {})


async def test_credentials_in_the_address_are_not_told() -> None:
    with temporary_settings({PREFECT_API_URL: "http://user:word@prefect.example:4200/api"}):
        runs = Runs()
    assert runs.api_url == "http://prefect.example:4200/api"
    assert runs.ui_url == "http://prefect.example:4200"
