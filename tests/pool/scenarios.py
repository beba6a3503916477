"""What children do to a pool; each is safe to do again after it was cut off anywhere."""

from __future__ import annotations

from pool.core.clusters import ConditionType, OperationKind
from pool.state import PoolState
from tests.pool.builders import golden
from tests.pool.lab import begin, end_due

ATTESTED = {kind: f"{kind} seen by the test" for kind in ConditionType}


async def assign(state: PoolState) -> None:
    await state.assign("alice", ttl_seconds=600)


async def assign_waiting(state: PoolState) -> None:
    await state.assign("alice", wait_seconds=30)


async def assign_anew(state: PoolState) -> None:
    await state.assign("over", ttl_seconds=600)


async def request(state: PoolState) -> None:
    await state.request("alice", ttl_seconds=600, key="first")


async def request_waiting(state: PoolState) -> None:
    await state.request("alice", wait_seconds=30)


async def release(state: PoolState) -> None:
    await state.release("holder")


async def extend(state: PoolState) -> None:
    await state.extend("holder", 100_000)


async def extend_once(state: PoolState) -> None:
    await state.extend("holder", 600, key="first")


async def expire(state: PoolState) -> None:
    await end_due(state, state._store.now())


async def ensure(state: PoolState) -> None:
    await state.ensure_cluster(await state.pool(), "cluster9")


async def bootstrap(state: PoolState) -> None:
    async with state.operation("fresh", OperationKind.BOOTSTRAP, "boot") as work:
        await work.update(control_plane_vm="cp-fresh", worker_node_vm="wk-fresh")


async def take_golden(state: PoolState) -> None:
    async with state.operation("fresh", OperationKind.GOLDEN, "golden") as work:
        await work.record_golden(golden(), "verified")
        await work.finish(attested=ATTESTED)


async def reset(state: PoolState) -> None:
    async with state.operation("dirty", OperationKind.RESET, "reset") as work:
        await work.finish(attested=ATTESTED)


async def reset_in_place(state: PoolState) -> None:
    async with state.operation("held", OperationKind.RESET, "reset", session_id="holder", epoch=1) as work:
        await work.finish(attested=ATTESTED)


async def fail_for_good(state: PoolState) -> None:
    work = await begin(state, "held", OperationKind.RESET, "reset", session_id="holder", epoch=1)
    await work.fail("RestoreFailed", "no space", final=True)


async def force(state: PoolState) -> None:
    await begin(state, "held", OperationKind.RESET, "reset", force=True)


async def tear_down(state: PoolState) -> None:
    await state.delete_cluster(await state.cluster("dirty"))
    async with state.operation("dirty", OperationKind.TEARDOWN, "teardown") as work:
        await work.remove()


ALL = [
    assign,
    assign_waiting,
    assign_anew,
    request,
    request_waiting,
    release,
    extend,
    extend_once,
    expire,
    ensure,
    bootstrap,
    take_golden,
    reset,
    reset_in_place,
    fail_for_good,
    force,
    tear_down,
]
