from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pool.core.settings import Settings
from pool.guest.identity import Identity, make_identity
from pool.kubevirt.cluster import Cluster

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster("cluster1", "cluster1")


@pytest.fixture(scope="session")
def identity() -> Identity:
    return make_identity(NOW)


@pytest.fixture
def settings() -> Settings:
    return Settings()
