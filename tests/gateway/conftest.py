"""A gateway over an empty pool on a bare API server, that asks nobody who they are."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from simulator.app import Simulator
from tests.gateway.door import Door, inside, of_lab, served
from tests.pool.conftest import killer, tally
from tests.pool.lab import Lab

__all__ = ["door", "killer", "lab", "served_door", "tally"]


@pytest.fixture
async def lab(api_server: Simulator) -> AsyncIterator[Lab]:
    """An empty pool over HTTP, and a clock that tests set."""
    assert api_server.kubeconfig_path is not None
    async with Lab.open(api_server.kubeconfig_path) as opened:
        yield opened


@pytest.fixture
async def door(lab: Lab) -> AsyncIterator[Door]:
    """In this process."""
    async with inside(of_lab(lab)) as opened:
        yield opened


@pytest.fixture
async def served_door(lab: Lab) -> AsyncIterator[Door]:
    """Really served, for streams."""
    async with served(of_lab(lab)) as opened:
        yield opened
