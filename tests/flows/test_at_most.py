"""A few at once: all come to their end, and nothing is left running behind whoever asked for it."""

from __future__ import annotations

import asyncio

import pytest

from flows.clusters import at_most


class Counting:
    """Work that counts how many are at it; `odd` ones fail."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.ended: list[int] = []

    async def work(self, number: int) -> int:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            for _ in range(number):
                await asyncio.sleep(0)
            if number % 2:
                raise ValueError(f"number {number}")
            return number * number
        finally:
            self.now -= 1
            self.ended.append(number)


async def test_no_more_than_that_are_worked_on_and_results_keep_their_order() -> None:
    counting = Counting()
    assert await at_most(3, counting.work, [8, 2, 6, 4, 0]) == [64, 4, 36, 16, 0]
    assert counting.most == 3


async def test_the_first_failure_is_raised_when_all_the_others_are_done() -> None:
    counting = Counting()
    with pytest.raises(ValueError, match="number 5"):
        await at_most(2, counting.work, [8, 5, 2, 1, 6])
    assert sorted(counting.ended) == [1, 2, 5, 6, 8]


async def test_who_is_cancelled_leaves_none_of_them_running() -> None:
    counting = Counting()
    started = asyncio.Event()

    async def forever(number: int) -> int:
        counting.now += 1
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # what is tidied up takes its time
            counting.now -= 1
        return number

    caller = asyncio.ensure_future(at_most(3, forever, [1, 2, 3, 4]))
    await started.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert counting.now == 0
