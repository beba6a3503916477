"""The real Prefect server and engine, one server for all tests of the session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prefect.testing.utilities import prefect_test_harness

from simulator.app import Simulator


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """A Prefect server on loopback with a database of its own; up to 30 s to start."""
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def host(simulator: Simulator, prefect_server: None, monkeypatch: pytest.MonkeyPatch) -> Simulator:
    """A simulated host cluster that flows of this test connect to."""
    monkeypatch.setenv("CKS_POOL_KUBECONFIG", str(simulator.kubeconfig_path))
    return simulator
