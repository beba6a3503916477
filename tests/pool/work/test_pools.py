"""The Pool that work is for: found or made, and held from then on, so that it outlives its clusters."""

from __future__ import annotations

from pool.core.pools import POOL_FINALIZER
from pool.kube.resources import POOLS
from pool.work.pools import ensure_pool
from tests.pool.lab import Lab


async def test_a_pool_that_was_applied_is_held_before_anything_is_made_for_it(lab: Lab) -> None:
    namespace = lab.settings.namespace
    await lab.kube.create(POOLS, POOLS.manifest("lab", namespace, spec={"clusterPrefix": "lab"}))
    found = await ensure_pool(lab.kube, lab.state, "lab")
    await lab.state.ensure_cluster(found, "lab1")
    await lab.kube.delete(POOLS, "lab", namespace)
    left = await lab.state.pool("lab")
    assert left.removing
    assert left.metadata.finalizers == [POOL_FINALIZER]
