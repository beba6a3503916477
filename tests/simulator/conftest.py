"""Fixtures of the simulator's own tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from simulator.app import Simulator
from tests.simulator.http_api import Api
from tests.simulator.lab import Lab


@pytest.fixture
async def api(simulator: Simulator, tmp_path: Path) -> AsyncIterator[Api]:
    """The host's API over HTTP."""
    async with Api.connect(tmp_path / "kubeconfig") as connected:
        yield connected


@pytest.fixture
async def lab(api: Api, tmp_path: Path) -> Lab:
    """A namespace ready for a cluster; no VM yet."""
    lab = Lab(api, tmp_path)
    await lab.prepare()
    return lab


@pytest.fixture
async def bare(api_server: Simulator, tmp_path: Path) -> AsyncIterator[Api]:
    """A bare Kubernetes API over HTTP."""
    async with Api.connect(tmp_path / "kubeconfig") as connected:
        yield connected
