"""What every flow run works with: settings, the Kubernetes connection, shared watches, the pool's state.

The warm worker runs many flow runs in one event loop; they share one connection and its watches, so a wait costs no
API calls of its own. The first run that needs it opens it, the last one closes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from prefect.logging import get_logger

from flows.events import announce, announce_stock
from flows.tasks import as_task, warn
from pool.core.errors import PoolError, WrongVersion
from pool.core.settings import settings_from_environment
from pool.kube.cancellation import told_to_end
from pool.work.namespaces.kinds import check_kinds
from pool.work.opening import opened
from pool.work.steps import Host
from pool.work.upkeep.acting import Start
from pool.work.upkeep.standby import Maintain, StandBy

logger = get_logger("runtime")

STAND_BY_AGAIN = 5.0
"""Seconds after which a lost or refused connection is tried again: a pool that is not made yet is no hurry."""


@dataclass
class _Shared:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0
    host: Host | None = None
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)


_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, _Shared] = WeakKeyDictionary()


@asynccontextmanager
async def connected() -> AsyncIterator[Host]:
    """The event loop's shared connection, opened on first use.

    Raises KubeconfigError or ApiUnavailable when the host cluster cannot be reached.
    """
    shared = _shared.setdefault(asyncio.get_running_loop(), _Shared())
    async with shared.lock:
        if shared.host is None:
            shared.host, shared.stack = await _open()
        shared.users += 1
        connection = shared.host
    try:
        yield connection
    finally:
        await asyncio.shield(_leave(shared))


@asynccontextmanager
async def standing_by(maintain: Maintain, start: Start) -> AsyncIterator[None]:
    """While entered, the connection stays open between flow runs, and watches follow the pools.

    An assignment then reads nothing to find a free cluster, at any size of the pool. The Pools' statuses are fresh.
    `maintain` is called when something is wanted of one, `start` for each reset that is waited for. Sessions end on
    time and what they used is reset, if need be without either of the two answering. When the host cluster cannot be
    reached or refuses the credentials, this says so in the log and tries again; flow runs meet the error themselves.
    """
    task = asyncio.create_task(_stand_by(maintain, start), name="standing by")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def check_host() -> None:
    """Refuse a host whose kinds do not do for this code, before anything is done there. Raises WrongVersion.

    One that does not answer now is looked at again by whoever stands by.
    """
    try:
        async with connected() as host:
            await check_kinds(host.kube)
    except WrongVersion:
        raise
    except PoolError as error:
        logger.warning("the host's kinds were not looked at: %s", error)


async def _stand_by(maintain: Maintain, start: Start) -> None:
    while True:
        try:
            async with connected() as host:
                await check_kinds(host.kube)
                async with host.state.following():
                    logger.info("following the pools of %s", host.settings.namespace)
                    await StandBy(host, maintain, start, announce_stock).run()
        except PoolError as error:
            logger.warning("not following the pools, assignments list their clusters instead: %s", error)
        except (Exception, asyncio.CancelledError):
            # Nobody else would end sessions on time: whatever it was, it is begun anew.
            if told_to_end():
                raise
            logger.exception("standing by ended")
        await asyncio.sleep(STAND_BY_AGAIN)


async def _open() -> tuple[Host, AsyncExitStack]:
    async with AsyncExitStack() as stack:
        settings = settings_from_environment()
        # Of any kinds: create-namespaces is what brings them up.
        host = await stack.enter_async_context(
            opened(settings, listener=announce, run_step=as_task, warn=warn, any_kinds=True)
        )
        return host, stack.pop_all()


async def _leave(shared: _Shared) -> None:
    async with shared.lock:
        shared.users -= 1
        if shared.users == 0:
            shared.host = None
            await shared.stack.aclose()
