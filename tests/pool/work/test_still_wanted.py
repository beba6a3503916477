"""Work that was asked for a while ago begins only if it is still wanted: others may have done it, or cordoned it."""

from __future__ import annotations

import pytest

from pool.core.clusters import PooledCluster
from pool.core.lifecycle import ClusterPhase
from pool.kube.resources import POOLED_CLUSTERS
from pool.work.rebuild import rebuild
from pool.work.reset import reset
from tests.pool.bench import Bench
from tests.pool.work.pooled import Pool


async def cordon(bench: Bench) -> None:
    wanted = {"spec": {"cordoned": True}}
    await bench.kube.patch(POOLED_CLUSTERS, "cluster1", wanted, bench.settings.namespace)


async def test_a_reset_that_was_asked_for_leaves_a_cluster_that_was_cordoned_since(pool: Pool) -> None:
    await cordon(pool.bench)
    assert await reset(pool.bench.host(), "cluster1", run_id="late", if_waiting=True) is None
    assert (await pool.bench.pooled()).phase is ClusterPhase.RESETTING


async def test_so_does_a_rebuild(pool: Pool) -> None:
    await pool.bench.want(image={"url": "docker://registry.example/newer:1"})
    await cordon(pool.bench)
    assert await rebuild(pool.bench.host(), "cluster1", run_id="late", if_due=True) is None
    assert (await pool.bench.pooled()).phase is ClusterPhase.RESETTING


async def test_an_operator_may_still_reset_it(pool: Pool) -> None:
    await cordon(pool.bench)
    assert await reset(pool.bench.host(), "cluster1", run_id="by-hand")


async def test_a_cluster_that_another_run_reset_in_this_moment_is_not_reset_once_more(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, seen = pool.bench.host(), pool.bench.host().state.cluster

    async def overtaken(name: str) -> PooledCluster:
        found = await seen(name)
        monkeypatch.setattr(late.state, "cluster", seen)
        await reset(pool.bench.host(), "cluster1", run_id="faster")
        return found

    monkeypatch.setattr(late.state, "cluster", overtaken)
    assert await reset(late, "cluster1", run_id="late", if_waiting=True) is None
    assert (await pool.bench.pooled()).phase is ClusterPhase.AVAILABLE
