"""Standing by: a process that follows the pools says how they are, does what is urgent (pool.work.upkeep.urgent), and
has maintenance run when something is wanted.

Between two rounds of maintenance `kubectl get pools` would otherwise be minutes old, and a scaled or deleted Pool would
wait for the next one. Nothing is read here, all of it is what watches show. They may lag: then a status is put right
with the next event, and a maintenance run that was not needed finds nothing to do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

from pool.core.errors import Conflict, PoolError
from pool.core.planner import Observed, PlanConfig, plan
from pool.core.planner.prompting import prompt
from pool.core.pool_status import IMPORT_FAILED, PREFIX_TAKEN, status_of
from pool.core.pools import Pool, PoolConditionType
from pool.work.steps import Host
from pool.work.upkeep.acting import Start
from pool.work.upkeep.errands import Errands
from pool.work.upkeep.urgent import ANSWER, Urgent

logger = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds in which changes are collected: a burst of assignments costs one write of the Pool's status a second."""
PATIENCE = 3.0
"""Seconds for which something is wanted before maintenance is asked for: who makes or removes clusters by a flow writes
the wish first and does the work in the next moment."""
AGAIN = timedelta(minutes=1)
"""After which maintenance is asked for again for the same reason, should it have made no difference."""
AFTER_FAILURE = 10.0
"""Seconds after which it is asked for again when it could not be started: Prefect's server may be away."""

Maintain = Callable[[str, str], Awaitable[object]]
"""Has maintenance of the Pool of that name run, once for the reason (a text that names it) whoever asks."""
Stocked = Callable[[Pool, bool], None]
"""Is told whether as many of a Pool's clusters stand by as are to, whenever that is another than before."""


def _unheard(_pool: Pool, _stocked: bool) -> None:
    """Nobody wants to know."""


class StandBy:
    """The pools of a namespace as its state's view shows them."""

    def __init__(
        self,
        host: Host,
        maintain: Maintain,
        start: Start,
        stocked: Stocked = _unheard,
        *,
        pause: float = PAUSE,
        patience: float = PATIENCE,
    ) -> None:
        self._host, self._maintain, self._pause, self._patience = host, maintain, pause, patience
        self._tell_stocked = stocked
        self._stocked: dict[str, bool] = {}
        """What was told of each Pool last."""
        self._errands = Errands()
        self._urgent = Urgent(host, start, self._errands, patience)
        self._view = host.state.view
        self._changed = asyncio.Event()
        self._again: asyncio.TimerHandle | None = None
        self._asked: dict[str, str] = {}
        """The last reason for which maintenance was asked for, of each Pool, with the minute."""
        self._wanted: dict[str, float] = {}
        """Since when, by the loop's clock, something has been wanted of a Pool without a break."""

    async def run(self) -> None:
        """Follow the pools until that fails. An outage of the host's API only delays. Raises ApiError."""
        async with self._host.state.following() as following:
            with self._view.news() as self._changed:
                # What is there already makes no news.
                self._changed.set()
                rounds = asyncio.create_task(self._rounds(), name="standing by for the pools")
                try:
                    ended, _ = await asyncio.wait([rounds, following], return_when=asyncio.FIRST_COMPLETED)
                    for one in ended:
                        await one
                finally:
                    rounds.cancel()
                    if self._again is not None:
                        self._again.cancel()
                    await asyncio.wait([rounds])
                    await self._errands.stop()

    async def _rounds(self) -> None:
        while True:
            await self._changed.wait()
            await asyncio.sleep(self._pause)
            self._changed.clear()
            for pool in list(self._view.pools.values()):
                try:
                    await self.look(pool)
                except PoolError as error:
                    logger.warning("pool %s: %s", pool.name, error)
                except Exception:
                    # One pool's trouble is its own; the others are stood by for all the same.
                    logger.exception("pool %s", pool.name)

    def _persists(self, pool: Pool, reason: str) -> bool:
        if not reason:
            self._wanted.pop(pool.name, None)
            return False
        clock = asyncio.get_running_loop().time()
        left = self._wanted.setdefault(pool.name, clock) + self._patience - clock
        if left > 0:
            self._look_again(left)
        return left <= 0

    def _ask(self, pool: Pool, reason: str) -> None:
        if self._asked.get(pool.name) == reason:
            # It goes on, or made no difference: looked at again, whether or not anything changes until then.
            self._look_again(AGAIN.total_seconds())
            return

        async def ask() -> None:
            try:
                async with asyncio.timeout(ANSWER):
                    await self._maintain(pool.name, reason)
            except Exception:
                self._asked.pop(pool.name, None)
                self._look_again(AFTER_FAILURE)
                raise

        if self._errands.send(f"maintenance of pool {pool.name}, which waits for its schedule", ask):
            self._asked[pool.name] = reason
            self._look_again(AGAIN.total_seconds())
        else:
            self._look_again(self._patience)

    def _look_again(self, seconds: float) -> None:
        """Look at all pools again after so long, if not sooner."""
        loop = asyncio.get_running_loop()
        if self._again is not None:
            if loop.time() < self._again.when() <= loop.time() + seconds:
                return
            self._again.cancel()
        self._again = loop.call_later(seconds, self._changed.set)

    async def look(self, pool: Pool) -> None:
        """Have done what is urgent, ask for maintenance if something is wanted of the pool, and say how it is."""
        now = self._host.now()
        clusters, sessions = self._view.clusters.values(), self._view.sessions.values()
        # What is not seen in these objects is left as whoever read more has written it.
        prefix_taken, not_imported = _degraded(pool, PREFIX_TAKEN), _degraded(pool, IMPORT_FAILED)
        observed = Observed.of(pool, sessions, clusters, self._host.state.silent(clusters))
        if (seconds := self._urgent.look(observed, resets_too=not prefix_taken)) is not None:
            self._look_again(seconds)
        actions = plan(observed, PlanConfig.of(self._host.settings), now)
        reason = "" if prefix_taken and not pool.removing else prompt(pool, actions)
        if self._persists(pool, reason):
            self._ask(pool, f"{reason}:{now.timestamp() // AGAIN.total_seconds():.0f}")
        troubles = {"prefix_taken": prefix_taken, "not_imported": not_imported}
        status = status_of(pool, clusters, sessions, now, **troubles)
        self._say_whether_stocked(pool, status.available)
        try:
            await self._host.state.write_pool_status(pool, status)
        except Conflict:
            logger.debug("pool %s changed meanwhile; its event is on the way", pool.name)

    def _say_whether_stocked(self, pool: Pool, available: int) -> None:
        stocked = available >= max(pool.spec.min_standby, 1)
        if self._stocked.get(pool.name) is not stocked:
            self._stocked[pool.name] = stocked
            self._tell_stocked(pool, stocked)


def _degraded(pool: Pool, reason: str) -> str:
    """What the Pool says of being degraded for that reason; empty if it is not."""
    condition = pool.status.condition(PoolConditionType.DEGRADED)
    return condition.message if condition is not None and condition.reason == reason else ""
