"""What is wanted of Pools and clusters, written by operators: a size, a cordon. Each is one compare-and-swap."""

from __future__ import annotations

import asyncio

import pytest

from pool.core.errors import IllegalTransition, InvalidInput, NoClusterAvailable, UnknownCluster, UnknownPool
from pool.core.pools import PoolSpec
from pool.kube.resources import POOLED_CLUSTERS, POOLS
from simulator.api.faults import Fault, FaultKind
from simulator.app import Simulator
from tests.pool.lab import Lab


async def test_a_pool_gets_the_size_that_is_wanted_and_keeps_all_else(lab: Lab) -> None:
    spec = PoolSpec(cluster_prefix="exam", min_standby=0)
    before = await lab.state.ensure_pool("exam", spec)
    after = await lab.state.resize("exam", 7)
    assert after.spec == before.spec.changed(size=7)
    assert await lab.state.pool("exam") == after
    lab.kube.counted()
    assert await lab.state.resize("exam", 7) == after
    assert lab.kube.counted() == ["GET pools/exam"]


@pytest.mark.parametrize("size", [-1, 501])
async def test_a_size_that_no_pool_may_have_is_refused_unread(lab: Lab, size: int) -> None:
    with pytest.raises(InvalidInput, match="0 to 500 clusters"):
        await lab.state.resize("default", size)
    assert lab.kube.counted() == []


async def test_a_pool_that_is_unknown_or_going_gets_no_size(lab: Lab) -> None:
    with pytest.raises(UnknownPool):
        await lab.state.resize("none", 3)
    await lab.kube.delete(POOLS, "default", "cks-pool")
    with pytest.raises(IllegalTransition, match="being removed"):
        await lab.state.resize("default", 5)


async def test_a_size_is_written_over_whatever_else_changed_meanwhile(lab: Lab, api_server: Simulator) -> None:
    conflict = api_server.faults.add(Fault(FaultKind.CONFLICT, verbs=("patch",), resource="pools", count=1))
    assert (await lab.state.resize("default", 4)).spec.size == 4
    assert conflict.total == 1


async def test_a_cordoned_cluster_is_given_to_nobody_and_its_holder_keeps_it(lab: Lab) -> None:
    await lab.pool(2)
    assert (await lab.state.assign("alice")).status.assigned_cluster == "cluster1"
    for cluster_id in ("cluster1", "cluster2"):
        assert (await lab.state.cordon(cluster_id, True)).spec.cordoned
    with pytest.raises(NoClusterAvailable):
        await lab.state.assign("bob")
    assert (await lab.state.assign("alice")).status.assigned_cluster == "cluster1"
    assert not (await lab.state.cordon("cluster2", False)).spec.cordoned
    assert (await lab.state.assign("bob")).status.assigned_cluster == "cluster2"
    await lab.check()


async def test_who_cordons_a_cluster_knows_it_before_the_watch_tells(lab: Lab) -> None:
    await lab.pool(1)
    async with lab.state.following():
        await lab.state.cordon("cluster1", True)
        assert not lab.state.view.has_free("default")


async def test_a_cordon_and_an_assignment_in_one_moment_come_one_after_the_other(lab: Lab) -> None:
    await lab.pool(1)
    async with lab.state.following():
        # The other process's view shows the cluster free still when this one is done.
        await lab.another().cordon("cluster1", True)
        with pytest.raises(NoClusterAvailable):
            await lab.state.assign("alice")
    assert (await lab.state.cluster("cluster1")).phase == "available"


async def test_cordons_in_one_moment_are_all_written(lab: Lab, api_server: Simulator) -> None:
    await lab.pool(1)
    conflict = api_server.faults.add(Fault(FaultKind.CONFLICT, verbs=("patch",), resource="pooledclusters", count=1))
    await asyncio.gather(*(lab.state.cordon("cluster1", True) for _ in range(5)))
    assert (await lab.state.cluster("cluster1")).spec.cordoned
    assert conflict.total == 1
    before = (await lab.state.cluster("cluster1")).metadata.resource_version
    await lab.state.cordon("cluster1", True)
    assert (await lab.state.cluster("cluster1")).metadata.resource_version == before


async def test_a_cluster_that_is_unknown_is_not_cordoned(lab: Lab) -> None:
    with pytest.raises(UnknownCluster):
        await lab.state.cordon("cluster9", True)
    with pytest.raises(InvalidInput):
        await lab.state.cordon("Not A Name", True)
    assert await lab.kube.list(POOLED_CLUSTERS, "cks-pool") == []
