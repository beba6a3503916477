"""Prefect's server dies, or stands still, in the middle of a bootstrap, a reset, a release and an assignment.

What was begun goes on; sessions are assigned and end on time, and what they used is reset. When the server is back, it
is told the ends.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from prefect import get_client

from flows.dispatch import ask_for
from flows.maintenance import maintain
from flows.runtime import standing_by
from pool.core.clusters import PooledCluster
from pool.kube.resources import POOLED_CLUSTERS, SESSIONS, Resource
from pool.work.steps import Host
from pool.work.upkeep.standby import StandBy
from tests.flows.conftest import PrefectServer
from tests.flows.made import made
from tests.flows.test_deployments import DEPLOYMENTS
from tests.flows.test_worker import finished, work_pool, worker

__all__ = ["work_pool"]

pytestmark = [pytest.mark.prefect]


@pytest.fixture
async def deployments(work_pool: str) -> AsyncIterator[dict[str, UUID]]:
    """Every deployment, by name."""
    async with get_client() as client:
        yield {
            one["name"]: await client.create_deployment(
                await client.create_flow_from_name(one["name"]),
                one["name"],
                entrypoint=one["entrypoint"],
                work_pool_name=work_pool,
                pull_steps=[],
                enforce_parameter_schema=False,
            )
            for one in DEPLOYMENTS
        }


async def seen(host: Host, resource: Resource, name: str, what: str, check: Any) -> None:
    """The object is so, within a minute."""
    namespace = host.settings.namespace
    await host.watching.until(
        resource, name, namespace, lambda obj: (obj and check(obj)) or None, timeout=60, what=f"{name} {what}"
    )


def in_phase(phase: str) -> Any:
    return lambda obj: obj.get("status", {}).get("phase") == phase


def free_or_held_by(session: str) -> Any:
    def check(obj: dict[str, Any]) -> bool:
        return in_phase("available")(obj) or obj["status"].get("assignedSession") == session

    return check


def worked_on(obj: dict[str, Any]) -> bool:
    return PooledCluster.from_object(obj).status.operation is not None


@pytest.mark.parametrize("ends", [signal.SIGKILL, signal.SIGSTOP])
async def test_an_outage_of_prefect_holds_up_nobody(
    host: Host,
    prefect_server: PrefectServer,
    deployments: dict[str, UUID],
    work_pool: str,
    ends: signal.Signals,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flows.runtime.StandBy", partial(StandBy, pause=0.1, patience=0.3))
    await made(host, 3)
    for session in ("alice", "bob", "carol"):
        await host.state.assign(session, ttl_seconds=600)
    holds = {one.status.assigned_session: one.name for one in await host.state.clusters()}
    async with standing_by(maintain, ask_for), worker(work_pool):
        async with get_client() as client:

            async def run(name: str, **parameters: Any) -> UUID:
                return (await client.create_flow_run_from_deployment(deployments[name], parameters=parameters)).id

            runs = [await run("assign-session", session_id="erin", wait_seconds=120)]
            await seen(host, SESSIONS, "erin", "to wait", bool)
            begun = asyncio.gather(
                seen(host, POOLED_CLUSTERS, holds["alice"], "to be reset", worked_on),
                seen(host, POOLED_CLUSTERS, "cluster4", "to be made", worked_on),
            )
            runs += [
                await run("bootstrap-pool", size=4, cluster_ids=["cluster4"]),
                await run("release-session", session_id="alice"),
            ]
            await begun
        prefect_server.signal(ends)
        monkeypatch.setattr("pool.work.upkeep.urgent.ANSWER", 2.0)
        monkeypatch.setattr(host.settings, "reset_by_itself_after", 2.0)
        try:
            # Bob's time ends by itself; carol gives back what nobody is told of.
            await end_soon(host, holds["bob"])
            await host.state.release("carol")
            await seen(host, SESSIONS, "bob", "to end", in_phase("Expired"))
            await seen(host, SESSIONS, "erin", "to get a cluster", in_phase("Active"))
            for name in holds.values():
                await seen(host, POOLED_CLUSTERS, name, "to be free, or the next one's", free_or_held_by("erin"))
            assert (await host.state.assign("dave")).status.assigned_cluster is not None
        finally:
            if ends is signal.SIGKILL:
                await asyncio.to_thread(prefect_server.start)
            else:
                prefect_server.signal(signal.SIGCONT)
        async with get_client() as client:
            for one in runs:
                state = (await finished(client, one)).state
                assert state is not None
                assert state.is_completed(), state.message


async def end_soon(host: Host, cluster_id: str) -> None:
    """The session's time on the cluster is over in a moment."""
    cluster = await host.state.cluster(cluster_id)
    changed = cluster.with_status(expires_at=host.now() + timedelta(seconds=1))
    await host.kube.replace(POOLED_CLUSTERS, changed.to_object(), subresource="status")
