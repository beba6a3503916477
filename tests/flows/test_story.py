"""The main job through the real Prefect engine: made, snapshotted, assigned, damaged, released, reset, handed out."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from demo.damage import Damage
from flows.admin import rebuild_cluster, release_all_clusters, teardown_pool
from flows.bootstrap import bootstrap_pool
from flows.golden import create_golden_snapshots
from flows.namespaces import create_namespaces
from flows.reset import reset_cluster
from flows.sessions import assign_session, extend_session, release_session
from pool.core.errors import (
    AttestationFailed,
    IllegalTransition,
    NamespaceNotOurs,
    NoClusterAvailable,
    NotHolder,
    UnknownCluster,
    UnknownSession,
)
from pool.core.lifecycle import ClusterPhase, SessionPhase
from pool.core.pools import PoolConditionType
from pool.kube.resources import (
    CONFIG_MAPS,
    DATA_VOLUMES,
    NAMESPACES,
    POOLED_CLUSTERS,
    POOLS,
    PVCS,
    VM_RESTORES,
    VM_SNAPSHOTS,
    VMS,
    VOLUME_SNAPSHOTS,
    Resource,
)
from pool.kubevirt.cluster import Cluster
from pool.work.steps import Host
from simulator.app import Simulator
from simulator.faults.troubles import Trouble, TroubleKind
from tests.flows.ends import completed
from tests.flows.made import made, phases
from tests.flows.started import Started

pytestmark = [pytest.mark.prefect]

NAMESPACE = "cluster1"


async def census(host: Host, kinds: Sequence[Resource]) -> dict[str, int]:
    return {kind.plural: len(await host.kube.list(kind, NAMESPACE)) for kind in kinds}


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


async def test_a_pool_made_anew_resets_its_clusters_though_names_and_epochs_come_again(
    host: Host, resets: Started
) -> None:
    for _ in range(2):
        await completed(await bootstrap_pool(size=1, return_state=True))
        await assign_session("alice")
        await completed(await release_session("alice", return_state=True))
        await completed(await teardown_pool(confirm="teardown", return_state=True))
    assert await resets.started() == ["cluster1", "cluster1"]


async def test_a_reset_that_restores_nothing_never_makes_a_cluster_available(host: Host, simulator: Simulator) -> None:
    await made(host)
    simulator.troubles.add(Trouble(TroubleKind.VOID_RESTORE))
    with pytest.raises(AttestationFailed, match="was not taken back"):
        await completed(await reset_cluster("cluster1", return_state=True))
    cluster = await host.state.cluster("cluster1")
    assert cluster.phase is ClusterPhase.ERROR
    assert cluster.status.failure is not None
    assert cluster.status.failure.attempts == host.settings.reset_attempts


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


async def test_a_refresh_proves_the_new_generation_and_drops_the_old_one(host: Host) -> None:
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


async def test_unknown_names_are_refused_with_the_cure(host: Host) -> None:
    await made(host)
    with pytest.raises(UnknownCluster):
        await completed(await reset_cluster("cluster9", return_state=True))
    with pytest.raises(UnknownSession):
        await completed(await release_session("nobody", return_state=True))
