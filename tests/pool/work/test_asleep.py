"""A run that was asleep in the middle of a step: by the time it goes on the cluster is another run's, or a learner's.

Its heartbeats slept with it, so nothing has told it yet. A step that waits long asks once more before it hurts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

import pytest

from pool.core.clusters import OperationKind
from pool.core.errors import StaleOperation
from pool.kube.client import Object
from pool.kube.resources import DATA_VOLUMES, PVCS, VM_SNAPSHOTS, VMS
from pool.work import golden
from pool.work.demolition import demolish
from pool.work.reset import stop_both
from pool.work.steps import Job
from tests.pool.bench import Bench

T = TypeVar("T")

KEPT = {"metadata": {"finalizers": ["example.com/holds-it-up"]}}


@pytest.fixture
async def asleep(bench: Bench) -> Bench:
    """An available cluster whose runs have no heartbeats but those of their steps."""
    bench.configured(operation_heartbeat=3600)
    await bench.bootstrap()
    await bench.take_golden()
    return bench


async def there(bench: Bench) -> dict[str, str]:
    """UIDs of the cluster's machines, snapshots and disks."""
    found = [one for kind in (VMS, VM_SNAPSHOTS, DATA_VOLUMES, PVCS) for one in await bench.kube.list(kind, "cluster1")]
    return {f"{one['kind']} {one['metadata']['name']}": one["metadata"]["uid"] for one in found}


async def test_a_demolition_takes_nothing_of_what_another_run_has_made(asleep: Bench) -> None:
    bench = asleep
    await bench.kube.patch(VMS, "cp-cluster1", KEPT, "cluster1")

    async def demolished() -> None:
        async with bench.interrupted(OperationKind.REBUILD, "asleep") as job:
            await demolish(job)

    run = asyncio.create_task(demolished())
    await bench.watching.until(VMS, "cp-cluster1", "cluster1", goes, timeout=10, what="it to be deleted")
    bench.grace_is_over()
    async with bench.interrupted(OperationKind.REBUILD, "another"):
        """It has the cluster now."""
    before = await there(bench)
    await bench.kube.patch(VMS, "cp-cluster1", {"metadata": {"finalizers": None}}, "cluster1")
    with pytest.raises(StaleOperation):
        await run
    after = await there(bench)
    assert {name for name in before if name.startswith("VirtualMachineSnapshot")} <= set(after)


def goes(vm: Object | None) -> bool | None:
    return True if vm is not None and "deletionTimestamp" in vm["metadata"] else None


Stop = Callable[[Job], Awaitable[object]]
STOPS: dict[str, tuple[OperationKind, Stop]] = {
    "for a reset": (OperationKind.RESET, stop_both),
    "for golden snapshots": (OperationKind.GOLDEN, lambda job: golden.stop_cleanly(job, 2, "-next")),
}


@pytest.mark.parametrize(("kind", "stop"), STOPS.values(), ids=STOPS)
async def test_a_machine_that_is_anothers_by_now_is_not_stopped(asleep: Bench, kind: OperationKind, stop: Stop) -> None:
    bench = asleep
    await locked(bench, "somebody's")

    begun = asyncio.Event()

    async def run_step(_name: str, _cluster_id: str, work: Callable[[], Awaitable[T]]) -> T:
        begun.set()
        return await work()

    async def stopped() -> None:
        async with bench.interrupted(kind, "asleep") as job:
            await stop(replace(job, host=replace(job.host, run_step=run_step)))

    run = asyncio.create_task(stopped())
    await begun.wait()
    bench.grace_is_over()
    async with bench.interrupted(kind, "another"):
        """It has the cluster now."""
    await locked(bench, None)
    with pytest.raises(StaleOperation):
        await run
    assert await bench.power() == ["Always", "Always"]


async def locked(bench: Bench, by: str | None) -> None:
    """KubeVirt refuses to stop the VMs, as while somebody's snapshot of them is taken."""
    for vm in await bench.kube.list(VMS, "cluster1"):
        change = {"status": {"snapshotInProgress": by}}
        await bench.kube.patch(VMS, vm["metadata"]["name"], change, "cluster1", subresource="status")
