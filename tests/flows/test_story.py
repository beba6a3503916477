"""The main job through the real Prefect engine: made, snapshotted, assigned, damaged, released, reset, handed out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterKey,
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterId,
)
from prefect.client.schemas.objects import Artifact, FlowRun, State
from prefect.client.schemas.sorting import ArtifactSort
from prefect.events import Event
from prefect.events.clients import get_events_subscriber
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.states import Crashed

from demo.damage import Damage
from flows.admin import rebuild_cluster, release_all_clusters, teardown_pool
from flows.bootstrap import bootstrap_pool
from flows.golden import create_golden_snapshots
from flows.maintenance import pool_maintenance
from flows.namespaces import create_namespaces
from flows.reset import reset_cluster
from flows.sessions import assign_session, extend_session, release_session
from flows.status import pool_status
from pool.core.clusters import OperationKind
from pool.core.errors import (
    AttestationFailed,
    IllegalTransition,
    NamespaceNotOurs,
    NoClusterAvailable,
    NotHolder,
    SnapshotMissing,
    UnknownCluster,
    UnknownSession,
)
from pool.core.lifecycle import ClusterPhase, SessionPhase
from pool.core.pools import PoolConditionType
from pool.kube.resources import (
    CONFIG_MAPS,
    DATA_VOLUMES,
    EVENTS,
    NAMESPACES,
    POOLED_CLUSTERS,
    POOLS,
    PVCS,
    SECRETS,
    SESSIONS,
    VM_RESTORES,
    VM_SNAPSHOTS,
    VMS,
    VOLUME_SNAPSHOTS,
    Resource,
)
from pool.kubevirt.cluster import Cluster
from pool.state import PoolState
from pool.work.steps import Host
from simulator.app import Simulator
from simulator.faults.troubles import Trouble, TroubleKind
from tests.flows.ends import completed
from tests.flows.made import made
from tests.flows.test_worker import events_about
from tests.pool.lab import begin

pytestmark = [pytest.mark.prefect]

NAMESPACE = "cluster1"


async def phases(host: Host) -> dict[str, ClusterPhase]:
    return {cluster.name: cluster.phase for cluster in await host.state.clusters()}


async def census(host: Host, kinds: Sequence[Resource]) -> dict[str, int]:
    return {kind.plural: len(await host.kube.list(kind, NAMESPACE)) for kind in kinds}


class Started:
    """The flow runs of a deployment that were started since the test began."""

    def __init__(self, client: PrefectClient, deployment: UUID, before: set[UUID]) -> None:
        self._client = client
        self._deployment = deployment
        self._before = before

    async def crash(self) -> None:
        """All of them end without having begun, as when their worker dies."""
        await self.become(Crashed())

    async def become(self, state: State[Any]) -> None:
        """All of them are in that state."""
        for run in await _runs(self._client, self._deployment):
            if run.id not in self._before:
                await self._client.set_flow_run_state(run.id, state, force=True)

    async def runs(self) -> list[FlowRun]:
        """The runs."""
        return [run for run in await _runs(self._client, self._deployment) if run.id not in self._before]

    async def started(self) -> list[str]:
        """The clusters they are for, in no order."""
        runs = await _runs(self._client, self._deployment)
        return [run.parameters["cluster_id"] for run in runs if run.id not in self._before]


async def _runs(client: PrefectClient, deployment: UUID) -> list[FlowRun]:
    only = DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))
    return await client.read_flow_runs(deployment_filter=only)


@asynccontextmanager
async def deployed(name: str, entrypoint: str) -> AsyncIterator[Started]:
    """A deployment that the Prefect server knows, with nobody to run it."""
    async with get_client() as client:
        deployment = await client.create_deployment(
            await client.create_flow_from_name(name),
            name,
            entrypoint=entrypoint,
            pull_steps=[],
            parameter_openapi_schema={},
            enforce_parameter_schema=False,
        )
        before = {run.id for run in await _runs(client, deployment)}
        yield Started(client, deployment, before)


@pytest.fixture
async def resets(host: Host) -> AsyncIterator[Started]:
    """reset-cluster, as a deployment."""
    async with deployed("reset-cluster", "flows.reset:reset_cluster") as started:
        yield started


@pytest.fixture
async def rebuilds(host: Host) -> AsyncIterator[Started]:
    """rebuild-cluster, as a deployment."""
    async with deployed("rebuild-cluster", "flows.admin:rebuild_cluster") as started:
        yield started


async def test_a_bootstrapped_cluster_has_two_running_vms_and_two_golden_snapshots(host: Host) -> None:
    await completed(await bootstrap_pool(size=1, return_state=True))
    assert await phases(host) == {"cluster1": ClusterPhase.AVAILABLE}
    ready = (await host.state.pool()).status.condition(PoolConditionType.READY)
    assert ready is not None
    assert ready.message == "1 of 1 clusters are made: 1 available", "whoever works says how the pool is then"
    namespaces = await host.kube.list(NAMESPACES, labels="cks.io/pool=default")
    assert [one["metadata"]["labels"]["cks.io/cluster-id"] for one in namespaces] == ["cluster1"]
    snapshots = await host.kube.list(VM_SNAPSHOTS, "cluster1")
    found = {
        one["metadata"]["name"]: (one["metadata"]["labels"]["cks.io/vm-role"], one["status"]["readyToUse"])
        for one in snapshots
    }
    assert found == {"cp-snap": ("control-plane", True), "wk-snap": ("worker", True)}
    assert {vm["status"]["printableStatus"] for vm in await host.kube.list(VMS, "cluster1")} == {"Running"}


async def test_bootstrapping_again_changes_nothing(host: Host) -> None:
    await completed(await bootstrap_pool(size=1, return_state=True))
    before = await host.kube.get(POOLED_CLUSTERS, "cluster1", host.settings.namespace)
    await completed(await bootstrap_pool(size=1, return_state=True))
    after = await host.kube.get(POOLED_CLUSTERS, "cluster1", host.settings.namespace)
    assert after == before


async def test_a_cluster_whose_namespace_is_somebody_elses_says_so_and_keeps_no_other_from_being_made(
    host: Host,
) -> None:
    """As maintenance has it made: its resource is there already."""
    await completed(await create_namespaces(size=1, return_state=True))
    pool = await host.state.pool()
    await host.kube.patch(POOLS, pool.name, {"spec": {"size": 2}}, host.settings.namespace)
    await host.state.ensure_cluster(await host.state.pool(), "cluster2")
    await host.kube.create(NAMESPACES, NAMESPACES.manifest("cluster2"))
    await host.kube.create(CONFIG_MAPS, CONFIG_MAPS.manifest("theirs", "cluster2", data={}))
    with pytest.raises(NamespaceNotOurs):
        await completed(await bootstrap_pool(return_state=True))
    assert await phases(host) == {"cluster1": ClusterPhase.AVAILABLE, "cluster2": ClusterPhase.ERROR}
    degraded = (await host.state.pool()).status.condition(PoolConditionType.DEGRADED)
    assert degraded is not None
    assert "cluster2: NamespaceNotOurs" in degraded.message


async def test_damage_is_gone_after_release_and_reset_and_the_next_session_gets_the_cluster(
    host: Host, resets: Started
) -> None:
    await made(host)
    lease = await assign_session("alice", ttl_seconds=600)
    assert lease.assigned_cluster == "cluster1"
    damage = Damage(host.kube, Cluster.of(await host.state.cluster("cluster1")))
    await damage.inflict()
    assert len(await damage.remains()) == 3
    with pytest.raises(NoClusterAvailable):
        await assign_session("bob")

    await completed(await release_session("alice", return_state=True))
    assert await phases(host) == {"cluster1": ClusterPhase.RESETTING}
    assert await resets.started() == ["cluster1"], "the release starts a reset as a flow run of its own"
    await completed(await release_session("alice", return_state=True))
    assert await resets.started() == ["cluster1"], "releasing again starts no second one"
    await completed(await reset_cluster("cluster1", return_state=True))

    assert await damage.remains() == []
    assert (await assign_session("bob")).assigned_cluster == "cluster1"


async def test_resets_leave_the_same_number_of_disks_snapshots_and_restores(host: Host) -> None:
    await made(host)
    kinds = (PVCS, DATA_VOLUMES, VOLUME_SNAPSHOTS, VM_RESTORES)
    await completed(await reset_cluster("cluster1", return_state=True))
    before = await census(host, kinds)
    await completed(await reset_cluster("cluster1", return_state=True))
    await completed(await reset_cluster("cluster1", return_state=True))
    assert await census(host, kinds) == before
    assert before["virtualmachinerestores"] == 0


async def test_a_reset_that_restores_nothing_never_makes_a_cluster_available(host: Host, simulator: Simulator) -> None:
    await made(host)
    simulator.troubles.add(Trouble(TroubleKind.VOID_RESTORE))
    with pytest.raises(AttestationFailed, match="was not taken back"):
        await completed(await reset_cluster("cluster1", return_state=True))
    cluster = await host.state.cluster("cluster1")
    assert cluster.phase is ClusterPhase.ERROR
    assert cluster.status.failure is not None
    assert cluster.status.failure.attempts == host.settings.reset_attempts


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


async def test_a_pool_made_anew_resets_its_clusters_though_names_and_epochs_come_again(
    host: Host, resets: Started
) -> None:
    for _ in range(2):
        await completed(await bootstrap_pool(size=1, return_state=True))
        await assign_session("alice")
        await completed(await release_session("alice", return_state=True))
        await completed(await teardown_pool(confirm="teardown", return_state=True))
    assert await resets.started() == ["cluster1", "cluster1"]


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


async def test_an_extension_past_the_maximum_is_cut_and_says_so(host: Host) -> None:
    await made(host)
    await assign_session("alice", ttl_seconds=28000)
    state = await extend_session("alice", seconds=28800, return_state=True)
    assert state.is_completed()
    assert "maximum" in (state.message or "")


async def test_releasing_all_resets_all(host: Host) -> None:
    await made(host)
    await assign_session("alice")
    await completed(await release_all_clusters(return_state=True))
    assert (await host.state.session("alice")).phase is SessionPhase.RELEASED
    assert await phases(host) == {"cluster1": ClusterPhase.AVAILABLE}


async def test_rebuilding_takes_new_golden_snapshots_of_new_vms(host: Host) -> None:
    await made(host)
    before = await host.state.cluster("cluster1")
    await completed(await rebuild_cluster("cluster1", return_state=True))
    after = await host.state.cluster("cluster1")
    assert after.phase is ClusterPhase.AVAILABLE
    assert before.status.golden is not None
    assert after.status.golden is not None
    assert after.status.golden.control_plane.uid != before.status.golden.control_plane.uid


async def test_teardown_spares_a_locked_cluster_and_removes_all_of_an_idle_one(host: Host) -> None:
    await made(host)
    await assign_session("alice")
    with pytest.raises(IllegalTransition, match="cluster1 by alice"):
        await completed(await teardown_pool(confirm="teardown", return_state=True))
    await completed(await release_all_clusters(return_state=True))
    await completed(await teardown_pool(confirm="teardown", return_state=True))
    assert await phases(host) == {}
    assert await host.kube.find(NAMESPACES, "cluster1") is None
    assert await host.state.pool_names() == [], "the Pool goes with the last of its clusters"


async def test_the_status_says_how_many_are_where(host: Host) -> None:
    await made(host)
    state = await pool_status(return_state=True)
    assert state.message == "pool default, 1 of 1 clusters: 1 available, 0 locked, 0 resetting, 0 creating, 0 in error"


async def test_a_reset_in_place_keeps_the_session_and_takes_its_damage_back(host: Host) -> None:
    await made(host)
    before = await assign_session("alice")
    damage = Damage(host.kube, Cluster.of(await host.state.cluster("cluster1")))
    await damage.inflict()
    await completed(await reset_cluster("cluster1", session_id="alice", return_state=True))
    after = await host.state.session("alice")
    assert await damage.remains() == []
    assert (after.phase, after.status.assigned_cluster) == (SessionPhase.ACTIVE, "cluster1")
    assert after.status.epoch == before.epoch + 1
    assert await phases(host) == {"cluster1": ClusterPhase.LOCKED}


async def test_a_session_cannot_reset_anothers_cluster_in_place(host: Host) -> None:
    await made(host)
    await assign_session("alice")
    with pytest.raises(NotHolder):
        await completed(await reset_cluster("cluster1", session_id="bob", return_state=True))
    assert await phases(host) == {"cluster1": ClusterPhase.LOCKED}


async def test_a_refresh_proves_the_new_generation_and_drops_the_old_one(
    host: Host,
) -> None:
    await made(host)
    await host.kube.patch(POOLS, "default", {"spec": {"minStandby": 0}}, host.settings.namespace)
    old = (await host.state.cluster("cluster1")).status.golden
    await completed(await create_golden_snapshots(refresh=True, return_state=True))
    after = await host.state.cluster("cluster1")
    new = after.status.golden
    assert after.phase is ClusterPhase.AVAILABLE
    assert old is not None
    assert new is not None
    assert (old.generation, new.generation) == (1, 2)
    snapshots = {one["metadata"]["uid"] for one in await host.kube.list(VM_SNAPSHOTS, "cluster1")}
    assert snapshots == {new.control_plane.uid, new.worker.uid}
    await completed(await reset_cluster("cluster1", return_state=True))


async def test_a_refresh_waits_while_the_pool_is_short_of_standby(host: Host) -> None:
    await made(host)
    state = await create_golden_snapshots(refresh=True, return_state=True)
    assert "0 of 1 refreshed" in (state.message or "")
    golden = (await host.state.cluster("cluster1")).status.golden
    assert golden is not None
    assert golden.generation == 1


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


async def test_a_cluster_that_another_run_makes_is_left_to_it(host: Host) -> None:
    await completed(await create_namespaces(size=2, return_state=True))
    await host.state.ensure_cluster(await host.state.ensure_pool(), "cluster2")
    await begin(host.state, "cluster2", OperationKind.BOOTSTRAP, "another-run")
    done = await bootstrap_pool(size=2, return_state=True)
    assert done.is_completed()
    assert done.message is not None
    assert done.message.startswith("1 clusters made in ")
    assert done.message.endswith(" s: cluster1; left to the runs that make them already: cluster2")
    assert await phases(host) == {"cluster1": ClusterPhase.AVAILABLE, "cluster2": ClusterPhase.CREATING}
    shown = (await artifacts_of(done))["clusters-default"]
    assert states_in(shown) == {"cluster1": "done", "cluster2": "left to another run"}


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


async def test_every_transition_is_announced_as_a_prefect_event(host: Host) -> None:
    only = EventFilter(event=EventNameFilter(prefix=["cks.cluster."]))
    async with asyncio.timeout(100), get_events_subscriber(filter=only) as feed:
        await completed(await bootstrap_pool(size=1, return_state=True))
        await assign_session("alice")
        uid = (await host.state.cluster("cluster1")).metadata.uid
        announced: list[Event] = []
        while len(announced) < 3:
            event = await anext(feed)
            if event.resource.id == f"cks.cluster.{uid}":
                announced.append(event)
    told = [(event.event, event.payload["from"], event.payload["who"], event.payload["epoch"]) for event in announced]
    assert told == [
        ("cks.cluster.creating", "", "", 0),
        ("cks.cluster.available", "creating", "", 0),
        ("cks.cluster.locked", "available", "session alice", 1),
    ]


async def test_a_clusters_story_is_found_from_its_pool_its_session_and_its_runs(host: Host, resets: Started) -> None:
    await made(host)
    await assign_session("alice")
    session = await host.state.session("alice")
    await completed(await release_session("alice", return_state=True))
    async with get_client() as client:
        (asked,) = await resets.runs()
        assert asked.name == "reset cluster1 after alice"
        state = await reset_cluster("cluster1", return_state=True)
        assert "cluster1 is available, restored from golden generation 1, in " in (state.message or "")
        run = await client.read_flow_run(state.state_details.flow_run_id or UUID(int=0))
        assert run.name == "reset cluster1"
        pool, cluster = await host.state.pool(), await host.state.cluster("cluster1")
        about = partial(events_about, client, prefix="cks.cluster.")
        of_session = await about(f"cks.session.{session.metadata.uid}", least=2)
        assert [event.event for event in of_session] == ["cks.cluster.locked", "cks.cluster.resetting"]
        of_pool = await about(f"cks.pool.{pool.metadata.uid}", least=5)
        phases = [event.event.removeprefix("cks.cluster.") for event in of_pool]
        assert phases == ["creating", "available", "locked", "resetting", "available"]
        assert {event.resource.id for event in of_pool} == {f"cks.cluster.{cluster.metadata.uid}"}
        (of_run,) = await about(f"prefect.flow-run.{run.id}")
        assert (of_run.event, of_run.resource.name) == ("cks.cluster.available", "cluster1")
        roles = {one.role: one.name for one in of_session[-1].related}
        assert roles.items() >= {"pool": "default", "session": "alice", "namespace": "cluster1"}.items()
        only = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
        artifacts = {one.key: one for one in await client.read_artifacts(flow_run_filter=only)}
    assert "golden generation" in str(artifacts["attestation-cluster1"].data)
    steps = artifacts["steps-cluster1"]
    assert (steps.description or "").startswith("reset cluster1: done after ")
    assert {row["state"] for row in json.loads(str(steps.data))} == {"done"}


async def test_a_run_on_several_clusters_shows_how_many_it_has_done(host: Host) -> None:
    state = await bootstrap_pool(size=2, return_state=True)
    artifacts = await artifacts_of(state)
    shown = artifacts["clusters-default"]
    assert (shown.description or "").startswith("bootstrap default (2): 2 of 2, done after ")
    assert states_in(shown) == {"cluster1": "done", "cluster2": "done"}
    assert {"steps-cluster1", "steps-cluster2"} <= artifacts.keys(), "each has its own steps beside"


async def artifacts_of(state: State[Any]) -> dict[str | None, Artifact]:
    """Those of the state's run, by key."""
    only = FlowRunFilter(id=FlowRunFilterId(any_=[state.state_details.flow_run_id or UUID(int=0)]))
    async with get_client() as client:
        return {one.key: one for one in await client.read_artifacts(flow_run_filter=only)}


def states_in(clusters: Artifact) -> dict[str, str]:
    """The clusters that such a table shows."""
    return {row["cluster"]: row["state"] for row in json.loads(str(clusters.data))}


async def test_unknown_names_are_refused_with_the_cure(host: Host) -> None:
    await made(host)
    with pytest.raises(UnknownCluster):
        await completed(await reset_cluster("cluster9", return_state=True))
    with pytest.raises(UnknownSession):
        await completed(await release_session("nobody", return_state=True))
