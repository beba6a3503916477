"""A process killed at each write of a long operation in turn, and what runs next: the end is as if it had not been.

What runs next is pool-maintenance, which takes the dead run's operation over, or the operator's second try where
maintenance has no part in it, or the same flow run once more.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pool.crash import operations
from tests.pool.crash.killing import Killer
from tests.pool.crash.operations import Operation
from tests.pool.crash.sweep import sweep
from tests.pool.crash.tally import Tally
from tests.pool.crash.world import Outcome, World, world_at


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", operations.ALL)
async def test_killed_at_each_write_and_run_again(name: str, tmp_path: Path, killer: Killer, tally: Tally) -> None:
    operation = operations.ALL[name]
    async with world_at(tmp_path, killer, size=operation.size, delays=operation.delays) as world:

        async def attempt(at: int | None) -> tuple[int | None, Outcome]:
            return await _attempt(world, operation, at)

        await sweep(tally, killer, attempt, least=operation.least, every=operation.every)


async def _attempt(world: World, operation: Operation, at: int | None) -> tuple[int | None, Outcome]:
    """Prepare, run, be killed, run what comes next. Returns the writes, None if it was killed, and the end."""
    await operation.prepare(world)
    before = await world.marks()
    job = world.job(operation.flow, **operation.parameters)
    writes = await world.carry_out(job, at)
    if operation.retried and writes is None:
        await world.carry_out(job)
    for flow in operation.again:
        await world.child(flow)
    await operation.proved(world)
    return writes, await world.outcome(before)
