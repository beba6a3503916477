from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pool.core.pools import Pool
from pool.guest.identity import Identity, make_identity
from pool.kubevirt.cluster import Cluster
from tests.pool import builders
from tests.pool.builders import member

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def cluster() -> Cluster:
    return member()


@pytest.fixture(scope="session")
def identity() -> Identity:
    return make_identity(NOW)


@pytest.fixture
def pool() -> Pool:
    return builders.pool()
