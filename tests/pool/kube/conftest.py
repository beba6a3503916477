from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from pool.kube.client import Kube
from pool.kube.watching import Watching
from simulator.app import Simulator
from tests.pool.wire import Wire


@pytest.fixture
async def kube(api_server: Simulator) -> AsyncIterator[Kube]:
    async with Kube.connect(api_server.kubeconfig_path) as connected:
        yield connected


@pytest.fixture
async def watching(kube: Kube) -> AsyncIterator[Watching]:
    async with Watching(kube) as opened:
        yield opened


@pytest.fixture
def wire(api_server: Simulator) -> Wire:
    return Wire(api_server)
