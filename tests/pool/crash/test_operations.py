"""A process killed at each write of a long operation in turn, and what runs next: the end is as if it had not been.

What runs next is pool-maintenance, which takes the dead run's operation over, or the operator's second try where
maintenance has no part in it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pool.crash import operations
from tests.pool.crash.killing import Killer
from tests.pool.crash.operations import Operation
from tests.pool.crash.tally import Tally
from tests.pool.crash.world import Outcome, World, world_at


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", operations.ALL)
async def test_killed_at_each_write_and_run_again(name: str, tmp_path: Path, killer: Killer, tally: Tally) -> None:
    operation = operations.ALL[name]
    async with world_at(tmp_path, killer, size=operation.size) as world:
        writes, whole = await _attempt(world, operation, None)
        assert writes is not None
        assert writes >= operation.least
        for point in tally.points(writes, operation.every):
            left, again = await _attempt(world, operation, point)
            if left is not None:
                break  # the order of concurrent writes decides about one more or less
            tally.tried += 1
            assert again == whole, f"killed at write {point} of {tally.known}: {killer.last}"
            tally.survived += 1


async def _attempt(world: World, operation: Operation, at: int | None) -> tuple[int | None, Outcome]:
    """Prepare, run, be killed, run what comes next. Returns the writes, None if it was killed, and the end."""
    await operation.prepare(world)
    before = await world.marks()
    writes = await world.child(operation.flow, at, **operation.parameters)
    for flow in operation.again:
        await world.child(flow)
    await operation.proved(world)
    return writes, await world.outcome(before)
