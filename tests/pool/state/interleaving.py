"""Two callers whose API calls come in an order that the test chose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pool.kube.client import Kube, Object


class Order:
    """Whose call is next, as names; who is over gives up his turns, and when none are left all go on freely."""

    def __init__(self, turns: Sequence[str]) -> None:
        self._turns = list(turns)
        self._moved = asyncio.Condition()

    async def call(self, who: str, call: Coroutine[Any, Any, Object]) -> Object:
        async with self._moved:
            await self._moved.wait_for(lambda: not self._turns or self._turns[0] == who)
            try:
                return await call
            finally:
                if self._turns:
                    self._turns.pop(0)
                self._moved.notify_all()

    async def over(self, who: str) -> None:
        async with self._moved:
            self._turns = [turn for turn in self._turns if turn != who]
            self._moved.notify_all()


class OrderedKube(Kube):
    """The real client; each call, events left out, waits for its turn."""

    who: str = ""
    order: Order | None = None

    async def request(self, method: str, path: str, *args: Any, **kwargs: Any) -> Object:
        call = super().request(method, path, *args, **kwargs)
        if self.order is None or "/events" in path:
            return await call
        return await self.order.call(self.who, call)


@asynccontextmanager
async def ordered(kubeconfig: Path, who: str) -> AsyncIterator[OrderedKube]:
    """A client that takes its turns once it was given an order."""
    async with OrderedKube.connect(kubeconfig) as kube:
        assert isinstance(kube, OrderedKube)
        kube.who = who
        yield kube


def orders(one: str, calls: int, other: str, parts: tuple[int, int]) -> Iterator[list[str]]:
    """All orders of so many calls of `one`, with those of `other` in two pieces somewhere between them."""
    for first in range(calls + 1):
        for second in range(first, calls + 1):
            turns = [one] * first + [other] * parts[0] + [one] * (second - first) + [other] * parts[1]
            yield turns + [one] * (calls - second)
