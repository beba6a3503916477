"""A Pool by kubectl alone: a worker stands by, sees what is wanted, and has it done long before the schedule."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from prefect import get_client

from flows.dispatch import ask_for
from flows.maintenance import maintain
from flows.runtime import standing_by
from pool.kube.resources import NAMESPACES
from pool.work import namespaces
from pool.work.steps import Host
from pool.work.upkeep.standby import StandBy
from simulator.app import Simulator
from tests.flows.test_deployments import DEPLOYMENTS
from tests.flows.test_worker import work_pool, worker
from tests.pool.kubectl import Kubectl, needed

__all__ = ["work_pool"]

pytestmark = [pytest.mark.prefect, needed]

POOL = """
apiVersion: cks.io/v1alpha1
kind: Pool
metadata: {name: lab}
spec: {size: 1, clusterPrefix: lab}
"""


@pytest.fixture
async def served(host: Host, work_pool: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Everything is installed but a Pool, and a worker serves all deployments; it is quick to ask for maintenance."""
    monkeypatch.setattr("flows.runtime.StandBy", partial(StandBy, pause=0.1, patience=0.3))
    await namespaces.ensure_pool_namespace(host.kube, host.settings)
    await namespaces.ensure_crds(host.kube, host.watching)
    await namespaces.ensure_templates_namespace(host.kube, host.settings)
    async with get_client() as client:
        for deployment in DEPLOYMENTS:
            await client.create_deployment(
                await client.create_flow_from_name(deployment["name"]),
                deployment["name"],
                entrypoint=deployment["entrypoint"],
                work_pool_name=work_pool,
                pull_steps=[],
                enforce_parameter_schema=False,
            )
    async with standing_by(maintain, ask_for), worker(work_pool):
        yield


async def test_a_pool_is_made_scaled_and_deleted_by_kubectl_alone(
    host: Host, served: None, simulator: Simulator, tmp_path: Path
) -> None:
    assert simulator.kubeconfig_path is not None
    kubectl = Kubectl(simulator.kubeconfig_path, host.settings.namespace, tmp_path)
    await kubectl("apply", "-f", "-", given=POOL)
    await kubectl("wait", "--for=condition=Ready", "pool/lab", "--timeout=60s", seconds=70)
    await kubectl("scale", "pool", "lab", "--replicas=2")
    await kubectl("wait", "--for=jsonpath={.status.available}=2", "pool/lab", "--timeout=60s", seconds=70)
    await kubectl("scale", "pool", "lab", "--replicas=1")
    await kubectl("wait", "--for=delete", "pcl/lab2", "--timeout=60s", seconds=70)
    (row,) = await kubectl.table("pools")
    assert (row["SIZE"], row["AVAILABLE"]) == ("1", "1")
    await kubectl("delete", "pool", "lab", "--timeout=60s", seconds=70)
    assert await host.state.clusters() == []
    assert await host.kube.list(NAMESPACES, labels="cks.io/pool=lab") == []
