"""Keeping pools up, over HTTP: what is done however many do it, whatever fails, and wherever it is left."""

from __future__ import annotations

import asyncio
from copy import deepcopy
from datetime import timedelta

import pytest

from pool.core.clusters import POOL_UID_LABEL, Failure, OperationKind
from pool.core.crds import definitions
from pool.core.errors import InvalidInput, KubeconfigError
from pool.core.planner.actions import CreateMissing, RemoveSurplus
from pool.core.pools import POOL_FINALIZER, PoolSpec
from pool.kube.client import Kube
from pool.kube.resources import CRDS, NAMESPACES, NETWORK_POLICIES, NODES, POOLED_CLUSTERS, POOLS, SESSIONS
from pool.kubevirt.cluster import Cluster
from pool.work.namespaces import ensure_cluster_namespace
from pool.work.namespaces.isolation import ISOLATION
from pool.work.upkeep import keep_all_up
from pool.work.upkeep.acting import Keeper, Work, act
from pool.work.upkeep.status import note_pool_status
from tests.pool.builders import T0, golden
from tests.pool.lab import Lab
from tests.pool.work.upkeep.hands import Hands


async def resize(hands: Hands, size: int) -> None:
    await hands.lab.kube.patch(POOLS, "default", {"spec": {"size": size}}, hands.lab.settings.namespace)


async def test_a_new_pool_grows_to_its_size_and_says_so(hands: Hands) -> None:
    await hands.settle()
    assert await hands.phases() == dict.fromkeys(["cluster1", "cluster2", "cluster3"], "available")
    pool = await hands.lab.state.pool()
    assert (pool.status.available, pool.status.observed_generation) == (3, pool.metadata.generation)
    assert {one.metadata.labels[POOL_UID_LABEL] for one in await hands.lab.state.clusters()} == {pool.metadata.uid}


async def test_eight_runs_at_once_do_what_one_would(hands: Hands) -> None:
    await asyncio.gather(*(hands.keep_up() for _ in range(8)))
    assert sorted(hands.waiting()) == [("bootstrap", f"cluster{number}") for number in (1, 2, 3)]
    await hands.work()
    await resize(hands, 1)
    await asyncio.gather(*(hands.keep_up() for _ in range(8)))
    assert sorted(hands.waiting()) == [("teardown", "cluster2"), ("teardown", "cluster3")]


@pytest.mark.parametrize(
    ("phase", "status", "kind"),
    [
        (
            "error",
            {"golden": golden(), "failure": Failure(reason="Lost", message="", since=T0)},
            "rebuild",
        ),
        ("resetting", {}, "reset"),
        ("creating", {}, "bootstrap"),
    ],
)
async def test_the_same_wish_is_one_run_however_many_maintenance_runs_come_before_a_worker_does(
    hands: Hands, phase: str, status: dict[str, object], kind: str
) -> None:
    await resize(hands, 1)
    await hands.lab.add("cluster1", phase, **status)
    for _ in range(3):
        await hands.keep_up()
    assert hands.asked == 3
    assert hands.waiting() == [(kind, "cluster1")]


async def test_the_pool_is_held_before_anything_is_made_for_it(hands: Hands) -> None:
    lab = hands.lab
    await lab.kube.patch(POOLS, "default", {"metadata": {"finalizers": []}}, lab.settings.namespace)
    held: list[bool] = []

    async def start(_work: Work) -> str:
        held.append(POOL_FINALIZER in (await lab.state.pool()).metadata.finalizers)
        return ""

    await keep_all_up(Keeper(hands.host, start, "maintenance"))
    assert held == [True, True, True]


async def test_one_action_that_fails_does_not_keep_the_others_waiting_and_is_raised(hands: Hands) -> None:
    async def start(work: Work) -> str:
        if work.cluster_id == "cluster1":
            raise KubeconfigError("no answer")
        return await hands.start(work)

    with pytest.raises(KubeconfigError):
        await keep_all_up(Keeper(hands.host, start, "maintenance"))
    assert hands.waiting() == [("bootstrap", "cluster2"), ("bootstrap", "cluster3")]
    assert (await hands.lab.state.pool()).status.creating == 3, "the status is written all the same"


async def test_a_smaller_pool_loses_a_held_cluster_once_its_session_has_ended_and_without_a_reset(hands: Hands) -> None:
    await hands.settle()
    lab = hands.lab
    for name in ("a", "b", "c"):
        await lab.state.assign(name, ttl_seconds=60)
    await resize(hands, 1)
    await hands.settle()
    assert await hands.phases() == dict.fromkeys(["cluster1", "cluster2", "cluster3"], "locked")
    lab.clock.forward(61)
    await hands.keep_up()
    assert sorted(hands.waiting()) == [("reset", "cluster1"), ("teardown", "cluster2"), ("teardown", "cluster3")]
    await hands.settle()
    assert await hands.phases() == {"cluster1": "available"}


async def test_expiries_start_their_resets_beyond_the_number_that_is_worked_on_at_once(hands: Hands) -> None:
    await hands.settle()
    lab = hands.lab
    await lab.kube.patch(POOLS, "default", {"spec": {"maxConcurrentOperations": 1}}, lab.settings.namespace)
    for name in ("a", "b", "c"):
        await lab.state.assign(name, ttl_seconds=60)
    lab.clock.forward(61)
    await hands.keep_up()
    assert [kind for kind, _ in hands.waiting()] == ["reset"] * 3


async def test_a_cordoned_clusters_session_expires_and_nothing_is_started_on_it(hands: Hands) -> None:
    await hands.settle()
    lab = hands.lab
    held = (await lab.state.assign("a", ttl_seconds=60)).status.assigned_cluster or ""
    await lab.kube.patch(POOLED_CLUSTERS, held, {"spec": {"cordoned": True}}, lab.settings.namespace)
    lab.clock.forward(61)
    await hands.keep_up()
    assert (await lab.state.session("a")).phase == "Expired"
    assert hands.waiting() == []
    await lab.kube.patch(POOLED_CLUSTERS, held, {"spec": {"cordoned": False}}, lab.settings.namespace)
    await hands.keep_up()
    assert hands.waiting() == [("reset", held)]


async def test_a_surplus_cluster_that_is_assigned_before_it_is_deleted_stays(hands: Hands) -> None:
    await hands.settle()
    lab, pool = hands.lab, await hands.lab.state.pool()
    seen = await lab.state.cluster("cluster1")
    await lab.state.assign("s")
    assert (await lab.state.cluster("cluster1")).phase == "locked"
    planned = RemoveSurplus("cluster1", uid=seen.metadata.uid, version=seen.metadata.resource_version)
    await act(Keeper(hands.host, hands.start, "maintenance"), pool, planned)
    assert not (await lab.state.cluster("cluster1")).removing


@pytest.mark.parametrize("change", ["smaller", "deleted", "made anew"])
async def test_a_cluster_that_is_missing_no_more_since_its_pool_was_read_is_not_made(hands: Hands, change: str) -> None:
    lab, namespace = hands.lab, hands.lab.settings.namespace
    seen = await lab.state.hold_pool("default")
    if change == "smaller":
        await resize(hands, 2)
    else:
        await lab.kube.delete(POOLS, "default", namespace)
    if change == "made anew":
        await lab.state.let_pool_go("default")
        await lab.state.ensure_pool("default", PoolSpec(size=3))
    await act(Keeper(hands.host, hands.start, "maintenance"), seen, CreateMissing("cluster3"))
    assert await hands.phases() == {}
    assert hands.waiting() == []


async def test_a_teardown_that_fails_is_carried_on_and_nothing_brings_the_cluster_back(hands: Hands) -> None:
    await hands.settle()
    lab = hands.lab
    await lab.state.delete_cluster(await lab.state.cluster("cluster3"))
    for _ in range(4):
        await hands.keep_up()
        assert hands.waiting() == [("teardown", "cluster3")]
        hands.started.clear()
        handle = await lab.begin("cluster3", OperationKind.TEARDOWN, "a-run")
        await handle.fail("WaitTimeout", "namespace cluster3 to be deleted within 300 s")
        await hands.keep_up()
        assert hands.waiting() == [], "it is tried again after a pause"
        lab.clock.forward(15 * 60)
    first = (await lab.state.cluster("cluster3")).metadata.uid
    await hands.settle()
    assert (await lab.state.cluster("cluster3")).metadata.uid != first, "once it is gone it is made anew"


async def test_a_deleted_pool_goes_with_its_clusters_and_those_who_wait_are_told(hands: Hands) -> None:
    await hands.settle()
    lab = hands.lab
    for name in ("a", "b", "c"):
        await lab.state.assign(name, ttl_seconds=600)
    await lab.kube.create(SESSIONS, SESSIONS.manifest("d", lab.settings.namespace, spec={}))
    await lab.kube.delete(POOLS, "default", lab.settings.namespace)
    await hands.settle()
    told = await lab.state.session("d")
    assert (told.phase, told.status.message) == ("Released", "pool default is being removed")
    assert all(one.removing and one.phase == "locked" for one in await lab.state.clusters())
    assert (await lab.state.session("a")).phase == "Active"
    lab.clock.forward(601)
    await hands.settle()
    assert await lab.state.clusters() == []
    assert await lab.state.pool_names() == []


async def test_a_deleted_cluster_is_torn_down_though_its_pool_was_removed_before_it_by_force(hands: Hands) -> None:
    await hands.settle()
    lab, namespace = hands.lab, hands.lab.settings.namespace
    await lab.kube.patch(POOLS, "default", {"metadata": {"finalizers": None}}, namespace)
    await lab.kube.delete(POOLS, "default", namespace)
    await lab.delete("cluster2")
    await keep_all_up(Keeper(hands.host, hands.start, "maintenance"))
    assert hands.waiting() == [("teardown", "cluster2")]
    await hands.work()
    assert sorted(await hands.phases()) == ["cluster1", "cluster3"], "what nobody deleted is left alone"


async def test_a_pool_whose_prefix_is_anothers_is_left_unmade_and_says_so(hands: Hands) -> None:
    lab = hands.lab
    pools = [await lab.state.pool(), await lab.state.ensure_pool("second", PoolSpec())]
    # Of two that are made in the same second the smaller UID decides.
    older, younger = sorted(pools, key=lambda one: (one.metadata.creation_timestamp, one.metadata.uid))
    await hands.settle(younger.name)
    assert await hands.phases() == {}
    await hands.settle(older.name)
    assert sorted(await hands.phases()) == ["cluster1", "cluster2", "cluster3"]
    assert {one.reason for one in (await lab.state.pool(younger.name)).status.conditions} == {"PrefixTaken"}
    with_own = await lab.state.ensure_pool("third", PoolSpec(size=1, cluster_prefix="lab"))
    await hands.settle("third")
    assert (await lab.state.cluster("lab1")).metadata.labels[POOL_UID_LABEL] == with_own.metadata.uid


async def test_pools_of_one_namespace_are_each_kept_and_one_that_fails_does_not_stop_the_others(hands: Hands) -> None:
    lab = hands.lab
    await lab.state.ensure_pool("lab", PoolSpec(size=1, cluster_prefix="lab"))

    async def start(work: Work) -> str:
        if work.cluster_id.startswith("cluster"):
            raise InvalidInput("no")
        return await hands.start(work)

    with pytest.raises(InvalidInput):
        await keep_all_up(Keeper(hands.host, start, "maintenance"))
    assert hands.waiting() == [("bootstrap", "lab1")]


async def test_a_pool_or_cluster_that_cannot_be_read_stops_no_other_pool(hands: Hands) -> None:
    """Another version of the kinds wrote them."""
    lab, namespace = hands.lab, hands.lab.settings.namespace
    await loosen(lab)
    await lab.kube.create(POOLS, POOLS.manifest("ailing", namespace, spec={"clusterPrefix": "a", "minStandby": 501}))
    await lab.kube.create(POOLS, POOLS.manifest("broken", namespace, spec={"clusterPrefix": "b", "size": 1}))
    named_badly = {"pool": "broken", "namespace": "B1"}
    await lab.kube.create(POOLED_CLUSTERS, POOLED_CLUSTERS.manifest("b1", namespace, spec=named_badly))
    with pytest.raises(InvalidInput, match="cannot be read"):
        await keep_all_up(Keeper(hands.host, hands.start, "maintenance"))
    assert [cluster for _, cluster in hands.waiting()] == ["cluster1", "cluster2", "cluster3"]
    assert (await lab.state.pool()).status.creating == 3


async def loosen(lab: Lab) -> None:
    """The kinds take more than the models do."""
    for definition in deepcopy(definitions()):
        schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        for field in schema["properties"]["spec"]["properties"].values():
            for bound in ("maximum", "pattern"):
                field.pop(bound, None)
        await lab.kube.apply(CRDS, definition, force=True)


async def test_ended_sessions_are_forgotten_after_what_is_urgent(hands: Hands) -> None:
    await hands.settle()
    lab = hands.lab
    for number in range(30):
        await lab.state.assign(f"s{number}")
        cluster = (await lab.state.release(f"s{number}")).cluster_id
        assert cluster is not None
        await lab.reset(cluster, f"run{number}")
    lab.clock.forward(timedelta(days=2).total_seconds())
    await lab.state.assign("last", ttl_seconds=60)
    lab.clock.forward(61)
    left_at_start: list[int] = []

    async def start(work: Work) -> str:
        left_at_start.append(len(await lab.state.sessions()))
        return ""

    await keep_all_up(Keeper(hands.host, start, "maintenance"))
    assert left_at_start[0] == 31
    assert [one.name for one in await lab.state.sessions()] == ["last"]


async def test_a_pools_status_is_written_only_when_it_says_something_else(hands: Hands) -> None:
    await hands.settle()
    lab = hands.lab
    before = (await lab.state.pool()).metadata.resource_version
    await hands.keep_up()
    await note_pool_status(hands.host, "default")
    assert (await lab.state.pool()).metadata.resource_version == before
    await lab.state.assign("s")
    noted = await note_pool_status(hands.host, "default")
    assert noted is not None
    assert (noted.status.available, noted.status.locked) == (2, 1)


async def test_other_namespaces_are_not_listed_for_pools(hands: Hands, lab: Lab) -> None:
    await lab.kube.create(NAMESPACES, NAMESPACES.manifest("elsewhere"))
    await lab.kube.create(POOLS, POOLS.manifest("theirs", "elsewhere", spec={"clusterPrefix": "theirs"}))
    await keep_all_up(Keeper(hands.host, hands.start, "maintenance"))
    assert {cluster for _, cluster in hands.waiting()} == {"cluster1", "cluster2", "cluster3"}


async def closed(hands: Hands, cluster: str) -> list[str]:
    """Which addresses of the internet the cluster's VMs do not reach."""
    policy = await hands.lab.kube.get(NETWORK_POLICIES, ISOLATION, cluster)
    blocks = [one["ipBlock"] for rule in policy["spec"]["egress"] for one in rule.get("to", ()) if "ipBlock" in one]
    return [address for block in blocks for address in block.get("except", ())]


async def isolated(hands: Hands) -> Kube:
    """Clusters with namespaces of their own, and a node more than when these were made."""
    await hands.settle()
    kube = hands.lab.kube
    await kube.create(NAMESPACES, NAMESPACES.manifest("vm-templates"))
    for cluster in await hands.lab.state.clusters():
        pool = await hands.lab.state.pool()
        await ensure_cluster_namespace(kube, hands.lab.watching, Cluster.of(cluster), pool, hands.lab.settings)
    await kube.create(NODES, NODES.manifest("node-b"))
    addresses = [{"type": "ExternalIP", "address": "8.8.8.8"}]
    await kube.patch(NODES, "node-b", {"status": {"addresses": addresses}}, subresource="status")
    assert "8.8.8.8/32" not in await closed(hands, "cluster1")
    return kube


async def test_what_vms_reach_follows_the_hosts_nodes_and_is_put_right_again(hands: Hands) -> None:
    kube = await isolated(hands)
    await kube.delete(NETWORK_POLICIES, ISOLATION, "cluster2")
    await kube.patch(NETWORK_POLICIES, ISOLATION, {"spec": {"egress": [{}]}}, "cluster3")
    await hands.keep_up()
    for number in (1, 2, 3):
        assert "8.8.8.8/32" in await closed(hands, f"cluster{number}")


async def test_no_policy_is_written_into_a_namespace_that_became_somebody_elses(hands: Hands) -> None:
    kube = await isolated(hands)
    await kube.patch(NAMESPACES, "cluster1", {"metadata": {"labels": {POOL_UID_LABEL: "another"}}})
    await hands.keep_up()
    assert "8.8.8.8/32" not in await closed(hands, "cluster1")
    assert "8.8.8.8/32" in await closed(hands, "cluster2")
