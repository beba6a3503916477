"""The host's API is gone in the middle of every flow at once, for longer than any single try; all go on.

There is one layer of retries, the client's. Nothing else tries again: no task, and no second attempt of an operation.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from flows.admin import rebuild_cluster, teardown_pool
from flows.bootstrap import bootstrap_pool
from flows.golden import create_golden_snapshots
from flows.namespaces import create_namespaces
from flows.reset import reset_cluster
from flows.runtime import connected
from flows.sessions import assign_session, extend_session, heartbeat_session
from flows.status import pool_status
from pool.core.clusters import PooledCluster
from pool.core.lifecycle import ClusterPhase
from pool.kube.client import PATIENCE
from pool.kube.resources import POOLED_CLUSTERS, POOLS
from pool.work.steps import Host
from simulator.app import Simulator
from tests.flows.ends import completed
from tests.flows.made import made

pytestmark = [pytest.mark.prefect]

OUTAGE = 0.2 * PATIENCE


@pytest.fixture
async def host(simulator: Simulator, prefect_server: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Host]:
    """As everywhere, but waits have the time that an outage takes of them."""
    monkeypatch.setenv("CKS_POOL_KUBECONFIG", str(simulator.kubeconfig_path))
    for name in ("STOP", "SNAPSHOT", "RESTORE", "PROVISION", "BOOT", "HEALTH", "IMPORT", "DELETE"):
        monkeypatch.setenv(f"CKS_POOL_{name}_TIMEOUT", "120")
    monkeypatch.setenv("CKS_POOL_GOLDEN_STOP_GRACE", "60")
    async with connected() as connection:
        yield connection


async def test_an_outage_in_the_middle_of_every_flow_is_waited_out(host: Host, simulator: Simulator) -> None:
    await made(host, 5)
    await host.kube.patch(POOLS, "default", {"spec": {"minStandby": 0}}, host.settings.namespace)
    held = (await assign_session("alice", ttl_seconds=600)).assigned_cluster
    free = [cluster.name for cluster in await host.state.clusters() if cluster.name != held]
    long: dict[str, Callable[[], Awaitable[object]]] = {
        free[0]: lambda: reset_cluster(free[0], return_state=True),
        free[1]: lambda: rebuild_cluster(free[1], return_state=True),
        free[2]: lambda: create_golden_snapshots(cluster_ids=[free[2]], refresh=True, return_state=True),
        free[3]: lambda: teardown_pool(confirm="teardown", cluster_ids=[free[3]], return_state=True),
        "cluster6": lambda: bootstrap_pool(size=6, cluster_ids=["cluster6"], return_state=True),
    }
    under_way = [asyncio.ensure_future(start()) for start in long.values()]
    await asyncio.gather(*(begun(host, name, new=name == "cluster6") for name in long))

    await simulator.refuse()
    short = [
        asyncio.ensure_future(start)
        for start in (
            assign_session("bob", wait_seconds=120, return_state=True),
            extend_session("alice", seconds=60, return_state=True),
            heartbeat_session("alice", return_state=True),
            pool_status(return_state=True),
            create_namespaces(cluster_ids=[free[0]], return_state=True),
        )
    ]
    await asyncio.sleep(OUTAGE)  # the one time that passes by itself: it is the fault
    await simulator.accept()

    for state in await asyncio.gather(*under_way, *short):
        await completed(state)
    after = {cluster.name: cluster for cluster in await host.state.clusters()}
    assert free[3] not in after
    assert {one.phase for one in after.values()} <= {ClusterPhase.AVAILABLE, ClusterPhase.LOCKED}
    assert all(one.status.failure is None for one in after.values())


async def begun(host: Host, name: str, *, new: bool) -> None:
    """The cluster is being worked on; one that is not `new` may be gone by then."""

    def seen(obj: dict[str, Any] | None) -> bool | None:
        if obj is None:
            return None if new else True
        return True if PooledCluster.from_object(obj).status.operation is not None else None

    await host.watching.until(
        POOLED_CLUSTERS, name, host.settings.namespace, seen, timeout=60, what=f"an operation on {name}"
    )
