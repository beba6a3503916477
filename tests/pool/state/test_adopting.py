"""Clusters that join a pool, and those that may not."""

from __future__ import annotations

import pytest

from pool.core.errors import IllegalTransition, InvalidInput, UnknownPool
from pool.kube.resources import POOLED_CLUSTERS, POOLS
from pool.kubevirt.cluster import pool_labels
from tests.pool.lab import Lab


async def test_ensuring_a_cluster_twice_adopts_it_with_its_pools_identity(lab: Lab) -> None:
    pool = await lab.state.pool()
    first = await lab.state.ensure_cluster(pool, "c1")
    assert first.phase == "creating"
    assert (first.spec.pool, first.spec.namespace) == ("default", "c1")
    assert first.metadata.labels == {"cks.io/pool": "default", "cks.io/pool-uid": pool.metadata.uid}
    assert first.metadata.finalizers == ["cks.io/teardown"]
    lab.clock.forward(9)
    assert await lab.state.ensure_cluster(pool, "c1") == first


async def test_another_pools_cluster_or_nobodys_is_refused_with_the_cure(lab: Lab) -> None:
    ours = await lab.state.pool()
    await lab.state.ensure_cluster(ours, "c1")
    another = ours.changed(metadata=ours.metadata.model_copy(update={"uid": "of-an-earlier-pool"}))
    spec = {"pool": "default", "namespace": "c2"}
    await lab.kube.create(POOLED_CLUSTERS, POOLED_CLUSTERS.manifest("c2", "cks-pool", spec=spec))
    for pool, name in ((another, "c1"), (ours, "c2"), (await lab.state.ensure_pool("other"), "c1")):
        before = await lab.state.cluster(name)
        with pytest.raises(
            InvalidInput, match=f"cluster {name} is not of pool .*kubectl -n cks-pool delete pcl {name}"
        ):
            await lab.state.ensure_cluster(pool, name)
        assert await lab.state.cluster(name) == before


async def test_a_cluster_that_lives_in_another_namespace_is_refused(lab: Lab) -> None:
    pool = await lab.state.pool()
    spec, labels = {"pool": pool.name, "namespace": "elsewhere"}, pool_labels(pool)
    await lab.kube.create(POOLED_CLUSTERS, POOLED_CLUSTERS.manifest("c1", "cks-pool", labels=labels, spec=spec))
    with pytest.raises(InvalidInput, match="namespace c1, got elsewhere"):
        await lab.state.ensure_cluster(pool, "c1")


async def test_no_cluster_joins_a_pool_that_is_being_removed(lab: Lab) -> None:
    await lab.kube.delete(POOLS, "default", "cks-pool")
    with pytest.raises(IllegalTransition, match="pool default is being removed"):
        await lab.state.ensure_cluster(await lab.state.pool(), "c1")
    with pytest.raises(UnknownPool, match="no pool none"):
        await lab.state.pool("none")
