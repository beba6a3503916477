"""Fixtures: a simulator of one's own, served over HTTP from the test's event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from simulator.app import Simulator
from tests.http_api import Api
from tests.lab import Lab

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = REPOSITORY.parent / "shared"
"""Reference material that only some machines have; what needs it skips without it."""


@pytest.fixture
async def simulator(tmp_path: Path) -> AsyncIterator[Simulator]:
    """A fresh simulator with controllers and guests, a hundred times faster than real clusters."""
    async with Simulator(speed=100.0, kubeconfig=tmp_path / "kubeconfig") as running:
        yield running


@pytest.fixture
async def api_server(tmp_path: Path) -> AsyncIterator[Simulator]:
    """A fresh, bare Kubernetes API: no controller touches what a test writes."""
    async with Simulator(controllers=False, kubeconfig=tmp_path / "kubeconfig") as running:
        yield running


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
