"""Every flow works as the worker, on a host where `deployments/crds` and `deployments/rbac` are applied and no more."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.admin import rebuild_cluster, release_all_clusters, teardown_pool
from flows.bootstrap import bootstrap_pool
from flows.golden import create_golden_snapshots
from flows.maintenance import pool_maintenance
from flows.namespaces import create_namespaces
from flows.reset import reset_cluster
from flows.sessions import assign_session, extend_session, heartbeat_session
from flows.status import pool_status
from pool.core.lifecycle import ClusterPhase
from pool.kube.client import Kube
from pool.kube.resources import NAMESPACES, POOLS
from pool.work.steps import Host
from simulator.app import Simulator
from tests.flows.ends import completed
from tests.pool.rights import WORKER, install, kubeconfig_of

pytestmark = [pytest.mark.prefect]


@pytest.fixture
async def as_worker(simulator: Simulator, tmp_path: Path) -> Path:
    """The worker's kubeconfig, and nothing else of an administrator's from now on."""
    given = simulator.kubeconfig_path
    assert given is not None
    async with Kube.connect(given) as admin:
        await install(admin)
        own = await kubeconfig_of(WORKER, admin, given, tmp_path / "worker")
    given.write_text(own.read_text())
    return given


async def test_every_flow_works_as_the_worker(as_worker: Path, host: Host) -> None:
    await completed(await create_namespaces(size=2, return_state=True))
    await completed(await bootstrap_pool(return_state=True))
    lease = await assign_session("alice", ttl_seconds=600)
    await extend_session("alice", seconds=60)
    await heartbeat_session("alice")
    await completed(await release_all_clusters(return_state=True))
    await completed(await reset_cluster(lease.assigned_cluster, return_state=True))
    await host.kube.patch(POOLS, "default", {"spec": {"minStandby": 0}}, host.settings.namespace)
    await completed(await create_golden_snapshots(cluster_ids=["cluster1"], refresh=True, return_state=True))
    await completed(await pool_maintenance(return_state=True))
    await completed(await pool_status(return_state=True))
    await completed(await rebuild_cluster("cluster2", return_state=True))
    assert {one.phase for one in await host.state.clusters()} == {ClusterPhase.AVAILABLE}
    await completed(await teardown_pool(confirm="teardown", return_state=True))
    assert await host.kube.list(NAMESPACES, labels="cks.io/pool=default") == []
