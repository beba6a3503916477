"""One cluster on a simulator."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.pool.bench import Bench, bench_at


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench_at(tmp_path / "kubeconfig", 1000.0) as opened:
        yield opened
