"""One cluster on a simulator, and one that waits for its reset."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.pool.bench import Bench, bench_at
from tests.pool.work.pooled import Pool, used_and_given_back


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench_at(tmp_path / "kubeconfig", 1000.0) as opened:
        yield opened


@pytest.fixture
async def pool(bench: Bench) -> Pool:
    """A pool of one cluster, used and given back."""
    return await used_and_given_back(bench)
