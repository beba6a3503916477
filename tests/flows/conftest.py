"""The real Prefect server and engine, one server for all tests of the session."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from prefect.testing.utilities import prefect_test_harness

from flows.runtime import Connection, connected
from simulator.app import Simulator


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have all of these run in one process, so that there is one Prefect server however many processes test."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("prefect"))
            # The server's SQLite may be locked for half a minute now and then, twice in a test when it is bad.
            item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """A Prefect server on loopback with a database of its own; up to 30 s to start."""
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
async def host(
    simulator: Simulator, prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Connection]:
    """A simulated host cluster that the flows of this test connect to, and the pool's connection to it.

    Deadlines are short: what takes longer here would never come.
    """
    monkeypatch.setenv("CKS_POOL_KUBECONFIG", str(simulator.kubeconfig_path))
    for name in ("STOP", "SNAPSHOT", "RESTORE", "PROVISION", "BOOT", "HEALTH", "IMPORT", "DELETE"):
        monkeypatch.setenv(f"CKS_POOL_{name}_TIMEOUT", "20")
    async with connected() as connection:
        yield connection
