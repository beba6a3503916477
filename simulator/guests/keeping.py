"""What systemd is to a kubelet: it runs whenever it can, and again when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from simulator.api.errors import ApiError
from simulator.guests.control_plane import ControlPlane
from simulator.guests.kubelet import Kubelet
from simulator.guests.pulse import Pulse
from simulator.troubles import Part, TroubleKind, Troubles, Victim


async def keep(
    kubelet: Kubelet,
    reach: Callable[[], ControlPlane | None],
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
        try:
            await asyncio.wait([session, closed, breaks], return_when=asyncio.FIRST_COMPLETED)
            fault = session.exception() if session.done() else None
        finally:
            for task in (session, closed, breaks):
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
