"""Clusters that are torn down or deleted: whose they are until then, and what is left if that fails."""

from __future__ import annotations

import pytest

from pool.core.clusters import OperationKind
from pool.core.errors import IllegalTransition, NoClusterAvailable, StaleOperation, UnknownCluster
from pool.kube.resources import POOLED_CLUSTERS
from tests.pool.lab import Lab


async def test_a_teardown_ends_with_the_cluster_gone(lab: Lab) -> None:
    await lab.state.delete_cluster(await lab.add("c1"))
    async with lab.state.operation("c1", OperationKind.TEARDOWN, "run") as work:
        await work.remove()
    with pytest.raises(UnknownCluster):
        await lab.state.cluster("c1")


@pytest.mark.parametrize("phase", ["creating", "available", "resetting", "error"])
async def test_a_deleted_cluster_is_never_free_and_only_torn_down(lab: Lab, phase: str) -> None:
    await lab.add("c1", phase)
    deleted = await lab.delete("c1")
    with pytest.raises(NoClusterAvailable):
        await lab.state.assign("alice")
    for kind in set(OperationKind) - {OperationKind.TEARDOWN}:
        with pytest.raises(IllegalTransition, match="c1 is being removed"):
            await lab.begin("c1", kind, "run")
    assert await lab.state.cluster("c1") == deleted
    await (await lab.begin("c1", OperationKind.TEARDOWN, "run")).remove()
    assert await lab.state.clusters() == []


async def test_a_cluster_that_is_wanted_is_not_torn_down(lab: Lab) -> None:
    await lab.add("c1")
    with pytest.raises(IllegalTransition, match=r"not being removed.*kubectl -n cks-pool delete pcl c1"):
        await lab.begin("c1", OperationKind.TEARDOWN, "run")


async def test_a_teardown_that_fails_leaves_a_cluster_that_can_only_be_torn_down(lab: Lab) -> None:
    await lab.add("c1")
    await lab.delete("c1")
    for attempt in (1, 2):
        work = await lab.begin("c1", OperationKind.TEARDOWN, f"run{attempt}")
        await work.fail("WaitTimeout", "the namespace does not go")
    broken = await lab.state.cluster("c1")
    assert (broken.phase, broken.removing) == ("error", True)
    for kind in (OperationKind.RESET, OperationKind.REBUILD):
        with pytest.raises(IllegalTransition, match="being removed"):
            await lab.begin("c1", kind, "run")
    await (await lab.begin("c1", OperationKind.TEARDOWN, "run3")).remove()
    assert await lab.state.clusters() == []


async def test_a_deleted_cluster_stays_its_sessions_until_that_ends_and_says_that_it_goes(lab: Lab) -> None:
    await lab.pool(1)
    await lab.state.assign("alice")
    await lab.delete("cluster1")
    assert (await lab.state.extend("alice", 60)).expires_at
    with pytest.raises(IllegalTransition, match="locked by session alice"):
        await lab.begin("cluster1", OperationKind.TEARDOWN, "run")
    released = await lab.state.release("alice")
    assert (released.cluster_id, released.removing) == ("cluster1", True)
    await (await lab.begin("cluster1", OperationKind.TEARDOWN, "run")).remove()
    assert await lab.state.clusters() == []


async def test_a_cluster_that_changed_while_it_was_let_go_is_not_let_go(lab: Lab) -> None:
    await lab.add("c1")
    await lab.delete("c1")
    work = await lab.begin("c1", OperationKind.TEARDOWN, "old")
    await lab.silence()
    await lab.begin("c1", OperationKind.TEARDOWN, "new")
    with pytest.raises(StaleOperation):
        await work.remove()
    assert (await lab.state.cluster("c1")).removing


async def test_deleting_a_cluster_without_the_finalizer_keeps_it_until_it_is_torn_down(lab: Lab) -> None:
    spec = {"pool": "default", "namespace": "c2"}
    await lab.kube.create(POOLED_CLUSTERS, POOLED_CLUSTERS.manifest("c2", "cks-pool", spec=spec))
    await lab.state.delete_cluster(await lab.state.cluster("c2"))
    assert (await lab.state.cluster("c2")).removing
