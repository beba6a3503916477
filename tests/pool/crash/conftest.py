"""The killer of this test's children."""

from __future__ import annotations

import pytest

from tests.pool.crash.killing import Killer


@pytest.fixture
def killer(monkeypatch: pytest.MonkeyPatch) -> Killer:
    """Sees what children send to the simulators of this test."""
    return Killer().installed(monkeypatch)
