"""Work that was asked for a while ago begins only if it is still wanted: others may have done it, or cordoned it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pool.core.clusters import PooledCluster
from pool.core.errors import NotHolder
from pool.core.lifecycle import ClusterPhase
from pool.kube.resources import POOLED_CLUSTERS
from pool.work.attempts import unless_others_do
from pool.work.bootstrap import bootstrap
from pool.work.golden import take
from pool.work.rebuild import rebuild
from pool.work.reset import reset
from pool.work.steps import Host
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


async def test_a_reset_in_place_that_was_asked_for_before_another_one_takes_nothing_back(pool: Pool) -> None:
    await pool.run()
    host = pool.bench.host()
    session = await host.state.assign("alice")
    epoch = session.status.epoch
    await reset(host, "cluster1", run_id="first", session_id="alice", epoch=epoch)
    with pytest.raises(NotHolder, match=f"at epoch {epoch}"):
        await reset(host, "cluster1", run_id="late", session_id="alice", epoch=epoch)
    now = await pool.bench.pooled()
    assert (now.phase, now.status.epoch) == (ClusterPhase.LOCKED, (epoch or 0) + 1)


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


def cordoned_after_the_look(late: Host, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked at first is not cordoned yet."""
    seen = late.state.cluster

    async def looked(name: str) -> PooledCluster:
        found = await seen(name)
        monkeypatch.setattr(late.state, "cluster", seen)
        await cordon(bench)
        return found

    monkeypatch.setattr(late.state, "cluster", looked)


async def test_a_cluster_that_is_cordoned_in_this_moment_is_not_rebuilt(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await reset(pool.bench.host(), "cluster1", run_id="first")
    await pool.bench.want(image={"url": "docker://registry.example/newer:1"})
    late = pool.bench.host()
    cordoned_after_the_look(late, pool.bench, monkeypatch)
    assert await rebuild(late, "cluster1", run_id="late", if_due=True) is None
    assert (await pool.bench.pooled()).phase is ClusterPhase.AVAILABLE


async def test_nor_is_it_reset(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    late = pool.bench.host()
    cordoned_after_the_look(late, pool.bench, monkeypatch)
    assert await reset(late, "cluster1", run_id="late", if_waiting=True) is None
    assert (await pool.bench.pooled()).phase is ClusterPhase.RESETTING


async def test_planned_work_on_a_new_cluster_that_was_cordoned_since_is_left_and_an_operators_is_not(
    bench: Bench,
) -> None:
    await bench.prepare()
    await cordon(bench)
    warnings: list[str] = []
    host = replace(bench.host(), warn=warnings.append)
    for work in (bootstrap, take):
        planned = work(host, "cluster1", run_id="late", unless_cordoned=True)
        assert await unless_others_do(host, "cluster1", planned, unless_cordoned=True) is None
    assert (await bench.pooled()).status.operation is None
    assert [line for line in warnings if "was cordoned" not in line] == []
    await bootstrap(host, "cluster1", run_id="by-hand")
