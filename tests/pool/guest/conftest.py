from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pool.core.pools import Pool
from pool.guest.identity import Identity, make_identity
from pool.guest.node_files import files
from pool.kubevirt.cluster import Cluster, Role
from tests.pool import builders
from tests.pool.builders import member
from tests.pool.guest.first_boots import ADDONS, Make
from tests.pool.guest.node import Node
from tests.pool.guest.rendered import PEER, placeholder_identity

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


@pytest.fixture
def make(tmp_path: Path, cluster: Cluster) -> Make:
    def made(role: Role, name: str = "node", *, addons: dict[str, str] = ADDONS, **spec: object) -> Node:
        machine = cluster.control_plane if role is Role.CONTROL_PLANE else cluster.worker
        pool = builders.pool(**spec)
        return Node(tmp_path / name, files(cluster, machine, placeholder_identity(), PEER, pool, addons))

    return made
