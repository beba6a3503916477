"""A running operation: it says by itself that it lives, and stops loudly when it was overtaken."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from pool.core.clusters import ConditionType, Golden, PooledCluster
from pool.core.errors import ApiUnavailable, PoolError, Silenced, StaleOperation
from pool.core.lifecycle import ClusterPhase
from pool.core.operation_rules import Ownership
from pool.state.operations import Operations

logger = logging.getLogger(__name__)


class OperationHandle:
    """What a run works with: every write is checked against its ownership, and raises StaleOperation if overtaken."""

    def __init__(self, operations: Operations, owner: Ownership) -> None:
        self._operations = operations
        self.ownership = owner
        self.settled = False
        self.left: PooledCluster | None = None

    @property
    def cluster_id(self) -> str:
        """The cluster worked on."""
        return self.ownership.cluster_id

    @property
    def run_id(self) -> str:
        """The run that works on it."""
        return self.ownership.run_id

    @property
    def epoch(self) -> int:
        """The cluster's epoch when the operation began."""
        return self.ownership.epoch

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return self.ownership.attempt

    async def heartbeat(self) -> PooledCluster:
        """Say that the run lives."""
        return await self._operations.heartbeat(self.ownership)

    async def transition(self, to: ClusterPhase, *, reason: str, **fields: Any) -> PooledCluster:
        """As Operations.transition."""
        return await self._operations.transition(self.ownership, to, reason, **fields)

    async def update(self, **fields: Any) -> PooledCluster:
        """As Operations.update."""
        return await self._operations.update(self.ownership, **fields)

    async def record_golden(self, golden: Golden, message: str = "") -> PooledCluster:
        """As Operations.record_golden."""
        return await self._operations.record_golden(self.ownership, golden, message)

    async def finish(self, *, attested: Mapping[ConditionType, str] | None = None, reason: str = "") -> PooledCluster:
        """As Operations.finish; the handle is of no use afterwards."""
        with self._settling():
            self.left = await self._operations.finish(self.ownership, attested=attested, reason=reason)
        return self.left

    async def fail(self, reason: str, message: str, *, final: bool = False, outage: bool = False) -> PooledCluster:
        """As Operations.fail; the handle is of no use afterwards."""
        with self._settling():
            self.left = await self._operations.fail(self.ownership, reason, message, final=final, outage=outage)
        return self.left

    async def remove(self) -> None:
        """As Operations.remove; the handle is of no use afterwards."""
        with self._settling():
            await self._operations.remove(self.ownership)

    @contextmanager
    def _settling(self) -> Iterator[None]:
        """From here on a heartbeat that finds the operation ended is no alarm, unless the end could not be written."""
        self.settled = True
        try:
            yield
        except BaseException:
            self.settled = False
            raise


@asynccontextmanager
async def keeping_alive(operations: Operations, owner: Ownership) -> AsyncIterator[OperationHandle]:
    """The run's handle, with heartbeats in the background while the body runs.

    A heartbeat that finds the run overtaken, or that cannot be written for longer than the grace, cancels the body and
    raises StaleOperation or Silenced in its place. A body that raises fails the operation with the error's text; one
    that is cancelled (the worker stops) leaves it to be taken over; one that just ends finishes it, phase unchanged.
    """
    handle = OperationHandle(operations, owner)
    body = asyncio.current_task()
    assert body is not None
    heart = asyncio.create_task(_beat(handle), name=f"heartbeat of {owner.cluster_id}")
    heart.add_done_callback(lambda task: None if task.cancelled() or handle.settled else body.cancel("heartbeat"))
    try:
        yield handle
        if not handle.settled:
            await handle.finish()
    except asyncio.CancelledError:
        if heart.done() and not heart.cancelled() and (fatal := heart.exception()) is not None:
            body.uncancel()
            raise fatal from None
        raise
    except StaleOperation:
        raise
    except Exception as error:
        await _fail(handle, error)
        raise
    finally:
        handle.settled = True
        heart.cancel()
        await asyncio.wait([heart])


async def _beat(handle: OperationHandle) -> None:
    settings = handle._operations.store.settings
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
