"""From write to write: what is killed at any of them must come to the same end as what was not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tests.pool.crash.killing import Killer
from tests.pool.crash.tally import Tally

Attempt = Callable[[int | None], Awaitable[tuple[int | None, Any]]]
"""Run, be killed at that write (None: at none), run what comes next. Returns the writes, None if it was killed, and
the end."""

SLACK = 4
"""By so many the writes of two runs may differ: what runs side by side sees different things."""


async def sweep(tally: Tally, killer: Killer, attempt: Attempt, *, least: int = 1, every: int = 1) -> None:
    """Try one of `every` points. Fails unless all end alike, and if there are fewer than `least` writes to see."""
    writes, whole = await attempt(None)
    assert writes is not None
    assert writes >= least, "the child's writes are not seen"
    for point in tally.points(writes, every):
        tally.tried += 1
        left, again = await attempt(point)
        if left is not None:
            tally.tried -= 1
            assert left >= writes - SLACK, f"not killed at write {point} of {writes}, but ended after {left}"
            break
        assert again == whole, f"killed at write {point} of {writes}, {killer.last}"
        tally.survived += 1
