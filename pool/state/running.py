"""A running operation: it says by itself that it lives, and stops loudly when it was overtaken."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pool.core.errors import ApiUnavailable, PoolError, Silenced, StaleOperation
from pool.state.operations import OperationHandle

logger = logging.getLogger(__name__)


@asynccontextmanager
async def keeping_alive(handle: OperationHandle) -> AsyncIterator[None]:
    """Heartbeats of the operation in the background while the body runs.

    A heartbeat that finds the run overtaken, or that cannot be written for longer than the grace, cancels the body and
    raises StaleOperation or Silenced in its place. A body that raises fails the operation with the error's text; one
    that is cancelled (the worker stops) leaves it to be taken over; one that just ends finishes it, phase unchanged.
    """
    heart: asyncio.Task[None] | None = None
    try:
        # It has no deadline of its own: the heart sets one, now, when the body is to stop.
        async with asyncio.timeout(None) as stop:
            heart = asyncio.create_task(_stopping(handle, stop), name=f"heartbeat of {handle.cluster_id}")
            yield
            if not handle.settled:
                await handle.finish()
    except TimeoutError as error:
        if stop.expired() and heart is not None and heart.done() and (fatal := heart.exception()) is not None:
            raise fatal from None
        await _fail(handle, error)
        raise
    except StaleOperation:
        raise
    except Exception as error:
        await _fail(handle, error)
        raise
    finally:
        handle.settled = True
        if heart is not None:
            heart.cancel()
            await asyncio.wait([heart])


async def _stopping(handle: OperationHandle, stop: asyncio.Timeout) -> None:
    """Heartbeats until they fail, which stops the body unless the operation is being ended."""
    try:
        await _beat(handle)
    except Exception:
        if not handle.settled:
            stop.reschedule(asyncio.get_running_loop().time())
        raise


async def _beat(handle: OperationHandle) -> None:
    settings = handle.store.settings
    loop = asyncio.get_running_loop()
    last = loop.time()
    while True:
        await asyncio.sleep(settings.operation_heartbeat)
        if handle.settled:
            # It is being ended; should that fail, the run goes on and so do its heartbeats.
            last = loop.time()
            continue
        try:
            async with asyncio.timeout(settings.operation_grace - (loop.time() - last)):
                await handle.heartbeat()
            last = loop.time()
        except (ApiUnavailable, TimeoutError) as error:
            logger.warning("heartbeat of %s not written: %s", handle.cluster_id, error)
            if loop.time() - last >= settings.operation_grace:
                raise Silenced(
                    f"run {handle.run_id} could not say that it lives",
                    expected=f"a heartbeat on {handle.cluster_id} within {settings.operation_grace:g} s",
                    actual=str(error) or "no answer",
                    cure="the API server was gone too long; start the operation again",
                ) from error
        except StaleOperation:
            if not handle.settled:
                raise


async def _fail(handle: OperationHandle, error: Exception) -> None:
    if handle.settled:
        return
    try:
        outage = isinstance(error, ApiUnavailable)
        await handle.fail(type(error).__name__, str(error) or type(error).__name__, outage=outage)
    except PoolError as refused:
        logger.warning("%s: failure not recorded: %s", handle.cluster_id, refused)
