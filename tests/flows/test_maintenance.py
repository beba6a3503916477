"""Maintenance through the real Prefect engine: what it ends, takes over and has made anew, as runs of their own."""

from __future__ import annotations

import asyncio

import pytest
from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.sorting import ArtifactSort

from flows.admin import rebuild_cluster
from flows.maintenance import pool_maintenance
from flows.reset import reset_cluster
from flows.sessions import assign_session
from pool.core.clusters import OperationKind
from pool.core.errors import SnapshotMissing
from pool.core.lifecycle import ClusterPhase, SessionPhase
from pool.kube.resources import EVENTS, POOLED_CLUSTERS, POOLS, SECRETS, SESSIONS, VM_SNAPSHOTS
from pool.state import PoolState
from pool.work.steps import Host
from tests.flows.ends import completed
from tests.flows.made import made, phases
from tests.flows.started import Started
from tests.pool.lab import begin

pytestmark = [pytest.mark.prefect]


async def test_maintenance_expires_what_is_over_and_starts_the_reset(host: Host, resets: Started) -> None:
    await made(host)
    await assign_session("alice", ttl_seconds=60)
    await end_time(host)
    await completed(await pool_maintenance(return_state=True))
    assert (await host.state.session("alice")).phase is SessionPhase.EXPIRED
    assert await phases(host) == {"cluster1": ClusterPhase.RESETTING}
    assert "cluster1" in await resets.started()


async def end_time(host: Host) -> None:
    """The time of cluster1's session is over."""
    cluster = await host.kube.get(POOLED_CLUSTERS, "cluster1", host.settings.namespace)
    cluster["status"]["expiresAt"] = "2026-01-01T00:00:00Z"
    await host.kube.replace(POOLED_CLUSTERS, cluster, subresource="status")


async def test_maintenance_goes_on_when_a_session_was_deleted_under_its_lock(host: Host, resets: Started) -> None:
    await made(host)
    await assign_session("alice")
    await end_time(host)
    await host.kube.delete(SESSIONS, "alice", host.settings.namespace)
    await completed(await pool_maintenance(return_state=True))
    assert await phases(host) == {"cluster1": ClusterPhase.RESETTING}
    assert "cluster1" in await resets.started()


async def test_every_stuck_cluster_is_taken_over_by_one_run_at_a_time_however_often_it_takes(
    host: Host, resets: Started
) -> None:
    """One dead run may have held several clusters; and a takeover may die before it claims anything."""
    await made(host, 2)
    of_another_process = PoolState(host.kube, host.settings, now=host.now)
    for name in ("cluster1", "cluster2"):
        await begin(of_another_process, name, OperationKind.RESET, "dead-run")
        cluster = await host.kube.get(POOLED_CLUSTERS, name, host.settings.namespace)
        cluster["status"]["operation"]["heartbeatAt"] = "2026-01-01T00:00:00Z"
        await host.kube.replace(POOLED_CLUSTERS, cluster, subresource="status")
    await completed(await pool_maintenance(return_state=True))
    await completed(await pool_maintenance(return_state=True))
    assert sorted(await resets.started()) == ["cluster1", "cluster2"], "the same wish is the same run"
    await resets.crash()
    await completed(await pool_maintenance(return_state=True))
    assert sorted(await resets.started()) == ["cluster1", "cluster1", "cluster2", "cluster2"]


async def test_maintenance_of_a_healthy_pool_changes_no_phase(host: Host) -> None:
    await made(host)
    await completed(await pool_maintenance(return_state=True))
    assert await phases(host) == {"cluster1": ClusterPhase.AVAILABLE}


async def test_a_cluster_whose_resets_failed_is_kept_for_diagnosis_and_made_anew(host: Host, rebuilds: Started) -> None:
    await made(host)
    await lose_snapshot(host)
    with pytest.raises(SnapshotMissing):
        await completed(await reset_cluster("cluster1", return_state=True))
    assert await phases(host) == {"cluster1": ClusterPhase.ERROR}
    secret = await host.kube.get(SECRETS, "cluster-ca", "cluster1")
    async with get_client() as client:
        only = ArtifactFilter(key=ArtifactFilterKey(any_=["diagnostics-cluster1"]))
        artifact = (await client.read_artifacts(artifact_filter=only, sort=ArtifactSort.CREATED_DESC))[0]
    assert "wk-cluster1" in str(artifact.data)
    for value in secret["data"].values():
        assert value not in str(artifact.data)
    for _ in range(3):
        await completed(await pool_maintenance(return_state=True))
    assert await rebuilds.started() == ["cluster1"], "the same wish is the same run, whichever run wished it"
    await completed(await rebuild_cluster("cluster1", return_state=True))
    assert await phases(host) == {"cluster1": ClusterPhase.AVAILABLE}


async def test_a_cluster_in_error_stays_as_it_is_where_nothing_is_rebuilt_by_itself(
    host: Host, rebuilds: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    await made(host)
    await host.kube.patch(POOLS, "default", {"spec": {"rebuildBroken": False}}, host.settings.namespace)
    await lose_snapshot(host)
    with pytest.raises(SnapshotMissing):
        await completed(await reset_cluster("cluster1", return_state=True))
    await completed(await pool_maintenance(return_state=True))
    assert await phases(host) == {"cluster1": ClusterPhase.ERROR}
    assert await rebuilds.started() == []


async def lose_snapshot(host: Host) -> None:
    await host.kube.delete(VM_SNAPSHOTS, "wk-snap", "cluster1")
    await host.watching.until(
        VM_SNAPSHOTS, "wk-snap", "cluster1", lambda one: True if one is None else None, timeout=10, what="deletion"
    )


async def test_eight_maintenance_runs_at_once_do_what_one_would(host: Host, resets: Started) -> None:
    await made(host)
    await assign_session("alice", ttl_seconds=60)
    cluster = await host.state.cluster("cluster1")
    await end_time(host)
    for state in await asyncio.gather(*(pool_maintenance(return_state=True) for _ in range(8))):
        await completed(state)
    started = await resets.started()
    assert set(started) == {"cluster1"}
    for name in started:
        await completed(await reset_cluster(name, if_waiting=True, return_state=True))
    after = await host.state.cluster("cluster1")
    assert (after.phase, after.status.epoch) == (ClusterPhase.AVAILABLE, cluster.status.epoch)
    told = [one["message"] for one in await host.kube.list(EVENTS, host.settings.namespace)]
    assert sum("restored and attested" in message for message in told) == 1
