"""Fixtures shared by all tests: a simulator of one's own, served over HTTP from the test's event loop."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from simulator.app import Simulator
from tests.pool.crash import tally

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", parent=settings.get_profile("default"), max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# Nothing a test does reports anything to anybody.
os.environ["DO_NOT_TRACK"] = "1"
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"


def pytest_addoption(parser: pytest.Parser) -> None:
    """For what can be tried on a real server: `tests/pool/test_rights.py`."""
    parser.addoption("--kubeconfig", type=Path, help="try the shipped rights on this server, not on the simulator")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with those that are given much time, so that none of them is left over when the others are done."""
    items.sort(key=_time_given, reverse=True)


def _time_given(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker is not None else 0.0


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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many crash points were survived, over all operations and all workers."""
    reports = [report for found in terminalreporter.stats.values() for report in found]
    lines, total = tally.summary(reports)
    for line in [*(lines if terminalreporter.verbosity > 0 else []), *total]:
        terminalreporter.write_line(line)
