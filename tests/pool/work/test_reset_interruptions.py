"""Resets whose connection, watches or claim on the cluster are taken from them, followed to their end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pool.core.clusters import OperationKind
from pool.core.errors import OperationInProgress, StaleOperation
from pool.core.lifecycle import ClusterPhase
from pool.kube.resources import STORAGE_CLASSES
from pool.kubevirt import restores
from pool.work import reset
from simulator.api.faults import Fault, FaultKind
from tests.pool.bench import Bench, bench_at
from tests.pool.crash.census import until
from tests.pool.work.pooled import Pool, used_and_given_back

HEARTBEAT, GRACE = 0.4, 4.0
"""The pool's 10 s and 60 s, scaled; the client's pauses between two tries are not, so outages are short beside them."""


async def test_an_api_server_gone_for_less_than_the_grace_is_waited_out_without_another_try(pool: Pool) -> None:
    pool.scaled(heartbeat=HEARTBEAT, grace=GRACE)
    before = await pool.bench.volumes()
    after = await pool.while_restoring(lambda: outage(pool, GRACE / 4))
    assert after.phase is ClusterPhase.AVAILABLE
    assert pool.begun == [1]
    assert await pool.bench.damaged() is None
    assert await pool.bench.volumes() == before


async def test_a_run_that_could_not_say_that_it_lives_goes_on_with_the_same_attempt(pool: Pool) -> None:
    pool.scaled(heartbeat=HEARTBEAT, grace=GRACE)
    before = await pool.bench.volumes()
    after = await pool.while_restoring(lambda: outage(pool, 1.5 * GRACE))
    assert after.phase is ClusterPhase.AVAILABLE
    assert pool.begun == [1, 1]
    assert await pool.bench.damaged() is None
    assert await pool.bench.volumes() == before


async def test_a_run_that_fell_silent_and_was_overtaken_stops(pool: Pool) -> None:
    pool.scaled(heartbeat=HEARTBEAT, grace=GRACE)
    before = await pool.bench.volumes()

    async def overtake() -> None:
        await pool.bench.simulator.refuse()
        await asyncio.sleep(1.2 * GRACE)
        await pool.bench.simulator.accept()
        async with pool.bench.interrupted(OperationKind.RESET, "another"):
            """It has the cluster now."""

    # By its next write, or as it begins again after the outage, whichever comes first.
    with pytest.raises((StaleOperation, OperationInProgress)):
        await pool.while_restoring(overtake)
    halted = await pool.bench.pooled()
    assert halted.phase is ClusterPhase.RESETTING
    assert halted.status.operation is not None
    assert halted.status.operation.run_id == "another"

    pool.bench.grace_is_over()
    assert (await pool.reset()).phase is ClusterPhase.AVAILABLE
    assert await pool.bench.damaged() is None
    assert await pool.bench.volumes() == before


async def outage(pool: Pool, seconds: float) -> None:
    """The API server is gone for so long. The one time that passes by itself here: it is the fault."""
    await pool.bench.simulator.refuse()
    await asyncio.sleep(seconds)
    await pool.bench.simulator.accept()


async def test_watches_that_are_dropped_again_and_again_cost_a_reset_nothing_but_time(tmp_path: Path) -> None:
    async with bench_at(tmp_path / "kubeconfig", 100.0) as bench:
        pool = await used_and_given_back(bench)
        before = await bench.volumes()
        dropped = bench.simulator.faults.add(Fault(FaultKind.DROP_WATCH, verbs=("watch",), seconds=0.01))
        bench.wire.cut_watches()
        after = await pool.reset()
        assert dropped.total >= 3, "watches were opened again, and dropped again"
        assert after.phase is ClusterPhase.AVAILABLE
        assert pool.begun == [1]
        assert await bench.damaged() is None
        assert await bench.volumes() == before


async def test_of_two_resets_begun_at_once_one_resets_and_the_other_is_told_who_does(pool: Pool) -> None:
    before = await pool.bench.volumes()
    first, second = await asyncio.gather(pool.run(), pool.run(), return_exceptions=True)
    refused = second if first is None else first
    assert isinstance(refused, OperationInProgress)
    assert "reset by run run-" in str(refused)
    assert (first, second).count(None) == 1
    assert pool.begun == [1]
    assert (await pool.bench.pooled()).phase is ClusterPhase.AVAILABLE
    assert await pool.bench.volumes() == before


@pytest.mark.parametrize("dead", [1, 3])
async def test_workers_that_die_while_both_restores_run_leave_room_for_the_next(
    pool: Pool, dead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On storage that copies for minutes: the quota that is shipped has room for one reset's disks, and no more."""
    bench = pool.bench
    before = await bench.volumes()
    await slow_storage(bench, 200)
    monkeypatch.setattr(restores, "PATIENCE", 1.0)
    for number in range(dead):
        async with bench.interrupted(OperationKind.RESET, f"dead-{number}") as job:
            golden = job.operation.cluster.status.golden
            assert golden is not None
            await reset.prepare(job, golden)
            await reset.stop_both(job)
            run = asyncio.create_task(reset.restore_both(job, golden))
            await half_done(bench)
            run.cancel()
            await asyncio.wait([run])
        bench.grace_is_over()
    assert (await pool.reset()).phase is ClusterPhase.AVAILABLE
    assert await bench.damaged() is None
    assert await bench.volumes() == before


async def slow_storage(bench: Bench, slowness: int) -> None:
    """From now on the class that all disks are of takes so many times as long."""
    found = await bench.kube.get(STORAGE_CLASSES, "standard")
    await bench.kube.delete(STORAGE_CLASSES, "standard")
    metadata = {key: found["metadata"][key] for key in ("name", "annotations")}
    wanted = {**found, "metadata": metadata, "parameters": {"slowness": str(slowness)}}
    await bench.kube.create(STORAGE_CLASSES, wanted)


async def half_done(bench: Bench) -> None:
    """Both restores have made their claims, which are being filled."""
    store = bench.simulator.api.store

    def claims() -> int:
        return store.count(("", "persistentvolumeclaims"), "cluster1")

    await until(store, lambda: claims() == 4, lambda: f"{claims()} claims")
