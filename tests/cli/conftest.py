"""The command run against a bare API: it has an event loop and a thread of its own, the server those of the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from cks_pool.__main__ import main
from tests.pool.lab import Lab

if TYPE_CHECKING:
    from simulator.app import Simulator


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line that it complained in."""
        (line,) = self.err.splitlines()
        assert line.startswith("cks-pool: ")
        return line.removeprefix("cks-pool: ")


Command = Callable[..., Awaitable[Said]]


@pytest.fixture
async def lab(api_server: Simulator, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lab]:
    """The Pool `default` over HTTP, empty, where the command looks for it."""
    assert api_server.kubeconfig_path is not None
    monkeypatch.setenv("CKS_POOL_KUBECONFIG", str(api_server.kubeconfig_path))
    async with Lab.open(api_server.kubeconfig_path) as opened:
        yield opened


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs `cks-pool` with these words."""

    async def run(*words: str) -> Said:
        capfd.readouterr()
        status = await asyncio.to_thread(main, words)
        return Said(status, *capfd.readouterr())

    return run


@pytest.fixture
def no_prefect() -> Iterator[None]:
    """Where Prefect's API is said to be, nobody is: port 1 of loopback refuses at once."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}):
        yield
