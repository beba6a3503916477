"""A pool's state on a bare API server: the kinds installed, the pool's namespace made, a clock that tests set."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.pool.crash.killing import Killer
from tests.pool.crash.tally import KEY, STOPPED, Tally
from tests.pool.lab import Lab

if TYPE_CHECKING:
    from simulator.app import Simulator


@pytest.fixture
async def lab(api_server: Simulator) -> AsyncIterator[Lab]:
    """An empty pool over HTTP."""
    assert api_server.kubeconfig_path is not None
    async with Lab.open(api_server.kubeconfig_path) as opened:
        yield opened


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """The crash points of this test, kept however it ends."""
    yield from _counted(request, KEY)


@pytest.fixture
def stops(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """The same for runs that were stopped."""
    yield from _counted(request, STOPPED)


def _counted(request: pytest.FixtureRequest, key: str) -> Iterator[Tally]:
    name = request.node.originalname.removeprefix("test_").replace("_", " ")
    counts = Tally(request.node.callspec.id if hasattr(request.node, "callspec") else name)
    yield counts
    request.node.user_properties.append((key, counts.kept()))


@pytest.fixture
def killer(monkeypatch: pytest.MonkeyPatch) -> Killer:
    """Sees what children send to the simulators of this test."""
    return Killer().installed(monkeypatch)
