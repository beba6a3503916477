"""What systemd is to a kubelet: it runs whenever it can, and again when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from simulator.api.errors import ApiError
from simulator.faults.troubles import Part, TroubleKind, Troubles, Victim
from simulator.guests.control_plane import ControlPlane
from simulator.guests.kubelet import Kubelet
from simulator.guests.validity import EXPIRED
from simulator.timing.clock import Clock
from simulator.timing.pulse import Pulse


@dataclass(frozen=True)
class Trust:
    """Certificates by the calendar: `ends` says when kubelet and API server cease to trust each other (may raise
    Refused), `say` is told what the kubelet logs about it."""

    clock: Clock
    ends: Callable[[ControlPlane], datetime]
    say: Callable[[str], None]

    def reached(self, reach: Callable[[], ControlPlane | None]) -> Callable[[], ControlPlane | None]:
        """The API server that `reach` finds, unless trust in it has ended; that is said once."""
        told = False

        def look() -> ControlPlane | None:
            nonlocal told
            serving = reach()
            if serving is None or self.ends(serving) > self.clock.now():
                return serving
            if not told:
                told = True
                self.say(f"kubelet: unable to update node lease: {EXPIRED}")
            return None

        return look


async def keep(
    kubelet: Kubelet,
    reach: Callable[[], ControlPlane | None],
    trust: Trust,
    changed: Pulse,
    troubles: Troubles,
    boot: Victim,
    *,
    retry: float,
) -> None:
    """Run the kubelet of this boot whenever nothing is wrong with it and its API server can be reached, until
    cancelled. `retry`: seconds before it looks again. Raises what a kubelet broke of, but for answers of its API."""
    broken = TroubleKind.UNHEALTHY_GUEST, boot, Part.KUBELET
    while True:
        await troubles.wait(*broken, begun=False)
        serving = await changed.until(reach, at_least_every=retry)
        session = asyncio.create_task(kubelet.run(serving.client))
        closed = asyncio.create_task(serving.closed.wait())
        breaks = asyncio.create_task(troubles.wait(*broken, begun=True))
        ended = asyncio.create_task(trust.clock.until(trust.ends(serving)))
        try:
            await asyncio.wait([session, closed, breaks, ended], return_when=asyncio.FIRST_COMPLETED)
            fault = session.exception() if session.done() else None
        finally:
            for task in (session, closed, breaks, ended):
                task.cancel()
        if fault is not None and not _by_the_api(fault):
            raise fault
        if not serving.closed.is_set():
            await asyncio.sleep(retry)


def _by_the_api(fault: BaseException) -> bool:
    """Whether a kubelet stopped for nothing but answers of its API server."""
    if isinstance(fault, BaseExceptionGroup):
        return all(_by_the_api(one) for one in fault.exceptions)
    return isinstance(fault, ApiError)
