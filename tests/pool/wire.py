"""What goes over the wire between the pool and a simulator: counted, refused, delayed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from simulator.api.errors import ApiError
from simulator.api.requests import Request, Response, Target, failure
from simulator.api.server import Next
from simulator.app import Simulator

Match = Callable[[Request, Target], bool]


@dataclass
class Fault:
    """An answer given in place of the real one, for some calls; `after` the call was carried out, or before."""

    error: ApiError
    match: Match
    times: int
    after: bool


@dataclass
class Wire:
    """Sees every request that comes over HTTP; the controllers' own calls do not pass here."""

    simulator: Simulator
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often which verb came for which resource."""
    faults: list[Fault] = field(default_factory=list)
    before: Callable[[Target], Awaitable[None]] | None = None
    """Is awaited before a call is carried out: to hold it up, or to have something happen just then."""
    watched: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once a watch is served."""

    def __post_init__(self) -> None:
        self.simulator.api.middlewares.append(self._see)

    def refuse(
        self,
        error: ApiError,
        *,
        verb: str | None = None,
        plural: str | None = None,
        times: int = 1,
        after: bool = False,
    ) -> Fault:
        """Answer the next `times` calls of that verb and resource (None: any) with an error."""

        def match(_request: Request, target: Target) -> bool:
            return verb in (None, target.verb) and plural in (None, target.plural)

        fault = Fault(error, match, times, after)
        self.faults.append(fault)
        return fault

    def cut_watches(self) -> None:
        """End all streams, as a restarting API server does."""
        for watch in list(self.simulator.api.watches):
            watch.close()

    async def _see(self, request: Request, target: Target, call: Next) -> Response:
        if request.user is not None:
            return await call()
        self.calls[target.verb, target.plural] += 1
        if self.before is not None:
            await self.before(target)
        for fault in self.faults:
            if fault.times > 0 and fault.match(request, target):
                fault.times -= 1
                if fault.after:
                    await call()
                return failure(fault.error)
        response = await call()
        if response.stream is not None:
            response.stream = self._streamed(response.stream)
        return response

    async def _streamed(self, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        # By the loop's next step the server has taken up the stream and counts it among its watches.
        asyncio.get_running_loop().call_soon(self.watched.set)
        async for chunk in stream:
            yield chunk


UNAVAILABLE = ApiError(503, "ServiceUnavailable", "apiserver is shutting down")
EXPIRED = ApiError(410, "Expired", "too old resource version")
