"""What cannot wait for a run of maintenance, and is not to depend on Prefect: ends of sessions, the queue, resets.

Whoever follows the pools does it, as soon as the watches show it; several do not collide, since each action looks again
before it changes anything, and a reset is claimed. A reset is Prefect's to record, so it is asked for there first. When
Prefect does not answer, it is done here, by the same function and under the same claim; a run that Prefect starts later
finds nothing left to do.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from uuid import uuid4

from pool.core.errors import PoolError
from pool.core.planner import Observed, PlanConfig, resets
from pool.core.planner.actions import BindPending, wish
from pool.core.planner.of_sessions import expired, served
from pool.core.sessions import silence_ends
from pool.work.reset import reset
from pool.work.steps import Host, plainly
from pool.work.upkeep.acting import Keeper, Start, Work, give_back, work_of
from pool.work.upkeep.errands import Errands

logger = logging.getLogger(__name__)

ANSWER = 10.0
"""Seconds in which Prefect is to say that it has a run."""
ASKED_AT_ONCE = 10
"""Runs that Prefect is asked for side by side. At an exam's end hundreds of clusters are to be reset: asked for all at
once, all would be answered late, and the workers would begin to reset them without Prefect. So the others wait for
their turn, however long that takes a Prefect that answers; once it does not answer one, none of them waits longer."""
AGAIN = 5.0
"""Seconds after which is looked whether what was due has been done."""


@dataclass
class _Wait:
    """Something that is to be done, and that somebody else may do in the next moment."""

    since: float
    """By the loop's clock."""
    asked: float | None = None
    """When it was last asked for (or its run was last said to be there), or done."""


class Urgent:
    """The urgent needs of pools, as they are seen one after the other. `start` asks Prefect for a run."""

    def __init__(self, host: Host, start: Start, errands: Errands, patience: float) -> None:
        self._host, self._start, self._errands, self._patience = host, start, errands, patience
        self._asking = asyncio.Semaphore(ASKED_AT_ONCE)
        self._answered = self._unanswered = -math.inf
        """When Prefect last did, and last did not, by the loop's clock."""
        self._waits: dict[str, dict[str, _Wait]] = {}
        """What is waited for, of each pool."""

    def look(self, observed: Observed, *, resets_too: bool = True) -> float | None:
        """Have done what is due. Returns in how many seconds the next is; None: nothing is to be expected."""
        now, config = self._host.now(), PlanConfig.of(self._host.settings)
        alone_after = self._host.settings.reset_by_itself_after
        next_looks = [seconds for seconds in _until_ends(observed, now) if seconds > 0]
        for due in expired(observed.sessions, observed.clusters, now):
            end = partial(self._end, observed, due.session_id)
            self._errands.send(f"the end of session {due.session_id}", end)
            next_looks.append(AGAIN)
        before = self._waits.get(observed.pool.name, {})
        waits = self._waits[observed.pool.name] = {}
        clock = asyncio.get_running_loop().time()
        if any(isinstance(action, BindPending) for action in served(observed, config, now)):
            waits["queue"] = wait = before.get("queue", _Wait(clock))
            if clock - wait.since >= self._patience:
                self._errands.send(f"the queue of pool {observed.pool.name}", self._host.state.serve_queue)
            next_looks.append(max(wait.since + self._patience - clock, 0) or AGAIN)
        for action in resets(observed, now) if resets_too else ():
            waits[action.wish] = wait = before.get(action.wish, _Wait(clock))
            due_at = wait.since + self._patience if wait.asked is None else wait.asked + alone_after
            if due_at <= clock:
                have_reset = partial(self._have_reset, work_of(action), wait, alone=wait.asked is not None)
                if self._errands.send(f"the reset of {action.cluster_id}", have_reset):
                    wait.asked, due_at = clock, clock + alone_after
            # An asking that failed makes no news.
            next_looks.append(min(due_at - clock, AGAIN) if due_at > clock else AGAIN)
        if (silent := self._host.state.until_silent(observed.clusters)) is not None:
            # A run that dies makes no news.
            next_looks.append(silent)
        return min(next_looks, default=None)

    async def _end(self, observed: Observed, session_id: str) -> None:
        ended = await self._host.state.expire(session_id)
        if ended.cluster_id is not None:
            logger.info("session %s has ended, it gave back %s", session_id, ended.cluster_id)
            await give_back(Keeper(self._host, self._ask, "standing by"), observed.pool, ended.cluster_id)

    async def _ask(self, work: Work, *, unless: Callable[[], bool] = lambda: False) -> str:
        """Empty if it was of no use any more at its turn (`unless`). Raises TimeoutError, or what the asking raises."""
        clock = asyncio.get_running_loop().time
        since = clock()
        async with self._asking:
            if self._unanswered >= since:
                raise TimeoutError("it did not answer others meanwhile")
            if unless():
                return ""
            try:
                async with asyncio.timeout(ANSWER):
                    run = await self._start(work)
                self._answered = clock()
                return run
            except PoolError:
                # The host's answer.
                raise
            except Exception:
                self._unanswered = clock()
                raise

    async def _have_reset(self, work: Work, wait: _Wait, *, alone: bool) -> None:
        """Ask for the reset; if that is not answered, and it has waited long enough (`alone`), do it."""
        clock, alone_after = asyncio.get_running_loop().time, self._host.settings.reset_by_itself_after
        try:
            await self._ask(work, unless=partial(self._is_begun, work))
            # Its turn may have been long in coming.
            wait.asked = clock()
        except Exception as error:
            if clock() - self._answered < alone_after:
                # Prefect is busy, or this process: with a hundred runs it takes seconds to hear an answer. Soon again.
                wait.asked = clock() + self._patience - alone_after
                raise
            if not alone:
                raise
            logger.warning("Prefect does not answer, resetting %s without: %s", work.cluster_id, error)
            host = replace(self._host, run_step=plainly, warn=logger.warning)
            run_id = f"without-prefect-{uuid4().hex[:8]}"
            if await reset(host, work.cluster_id, run_id=run_id, if_waiting=True):
                logger.info("%s is available, reset by run %s", work.cluster_id, run_id)

    def _is_begun(self, work: Work) -> bool:
        """Whether somebody is at it already, or was: a run that was made for it now would find nothing to do."""
        seen = self._host.state.view.clusters.get(work.cluster_id)
        return seen is None or wish(work.kind, seen) != work.wish


def _until_ends(observed: Observed, now: datetime) -> Iterator[float]:
    """Seconds until each session ends, as agreed now."""
    ends = [one.status.expires_at for one in observed.clusters if one.status.assigned_session is not None]
    ends += [silence_ends(session) for session in observed.sessions]
    return ((end - now).total_seconds() for end in ends if end is not None)
