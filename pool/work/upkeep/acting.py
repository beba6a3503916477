"""Carrying out a plan: what can wait comes last, and an action that fails does not keep the others waiting."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from pool.core.clusters import OperationKind
from pool.core.errors import Conflict, UnknownCluster, UnknownSession
from pool.core.lifecycle import ClusterPhase
from pool.core.planner import returned
from pool.core.planner.actions import (
    Action,
    BindPending,
    CheckHealth,
    CreateMissing,
    EndWaiting,
    Expire,
    FinishPoolRemoval,
    ForgetSessions,
    RemoveSurplus,
    ReportBroken,
    Started,
    StartReset,
    wish,
)
from pool.core.pools import Pool
from pool.work.pools import let_go
from pool.work.steps import Host
from pool.work.upkeep.health import look

logger = logging.getLogger(__name__)

T = TypeVar("T")

LOOKS_AT_ONCE = 100
"""Guests that are looked at side by side; each look is a TLS connection and a few small requests. If 500 guests hang,
it takes 75 s to say so, a quarter of a period; 200 s if they give each answer at the last moment. More at once could
keep each other waiting for this process."""
FORGOTTEN_AT_ONCE = 20
"""Sessions that are removed side by side: one request each."""


@dataclass(frozen=True)
class Work:
    """Work on one cluster that is to be a run of its own."""

    kind: OperationKind
    cluster_id: str
    wish: str
    """The same for the same wish, whoever has it: there is to be one run of it."""
    waiting: bool = True
    """Of a reset: the cluster is out of service until then, and need not be reset once it is not."""


def work_of(action: Started) -> Work:
    """The work that is started by the action."""
    waiting = action.waiting if isinstance(action, StartReset) else True
    return Work(action.operation, action.cluster_id, action.wish, waiting)


Start = Callable[[Work], Awaitable[str]]
"""Starts work, at most once for each wish as long as that run has not ended. Returns a name for it."""


@dataclass(frozen=True)
class Keeper:
    """One run that keeps pools up."""

    host: Host
    start: Start
    run_id: str


async def carry_out(keeper: Keeper, pool: Pool, actions: Sequence[Action]) -> list[Exception]:
    """Do what was planned; returns what went wrong. Nothing waits for guests or for what is only tidied up."""
    last = (CheckHealth, ForgetSessions)
    first = [action for action in actions if not isinstance(action, last)]
    looks = [action.cluster_id for action in actions if isinstance(action, CheckHealth)]
    over = [session for action in actions if isinstance(action, ForgetSessions) for session in action.sessions]
    host, failures = keeper.host, []
    if first:
        failures += await host.run_step("act", pool.name, partial(_each, 1, partial(act, keeper, pool), first))
    if over:
        forget = host.state.remove_ended_session
        failures += await host.run_step("forget", pool.name, partial(_each, FORGOTTEN_AT_ONCE, forget, over))
    if looks:
        failures += await host.run_step("look", pool.name, partial(_each, LOOKS_AT_ONCE, partial(look, host), looks))
    return failures


async def _each(limit: int, work: Callable[[T], Awaitable[object]], items: Sequence[T]) -> list[Exception]:
    """`work` for every item, at most `limit` at once; returns the failures. What is gone needs nothing any more."""
    gate = asyncio.Semaphore(limit)

    async def one(item: T) -> Exception | None:
        async with gate:
            try:
                await work(item)
            except (UnknownSession, UnknownCluster) as gone:
                logger.info("gone meanwhile: %s", gone)
            except Exception as error:  # noqa: BLE001 - returned: the others have their turn first
                return error
        return None

    ends = await asyncio.gather(*(one(item) for item in items))
    return [error for error in ends if error is not None]


async def act(keeper: Keeper, pool: Pool, action: Action) -> None:
    """Carry out one action. Raises what goes wrong with it; what somebody else did meanwhile is no failure."""
    host = keeper.host
    match action:
        case Expire():
            ended = await host.state.expire(action.session_id)
            if ended.cluster_id is not None:
                await give_back(keeper, pool, ended.cluster_id)
        case EndWaiting():
            await host.state.turn_away(action.session, f"pool {pool.name} is being removed")
        case BindPending():
            await host.state.serve_queue()
        case CreateMissing():
            await create(keeper, pool, action.cluster_id)
        case RemoveSurplus():
            await delete(host, action)
        case Started():
            await keeper.start(work_of(action))
        case ReportBroken():
            host.warn(f"{action.cluster_id}, held by {action.session_id}, is unhealthy: {action.message}")
        case FinishPoolRemoval():
            await let_go(host, pool)


async def give_back(keeper: Keeper, pool: Pool, cluster_id: str) -> str | None:
    """Start what a cluster needs whose session has ended: its reset, or what comes instead of it.

    At once, however many others are worked on: it is out of service until then. Returns what `start` does, None if
    nothing is to be started.
    """
    for _ in range(2):
        cluster = await keeper.host.state.cluster(cluster_id)
        action = returned(pool, cluster, keeper.host.now(), keeper.host.state.silent([cluster]))
        if isinstance(action, RemoveSurplus):
            await delete(keeper.host, action)
        elif isinstance(action, Started):
            return await keeper.start(work_of(action))
    return None


async def create(keeper: Keeper, pool: Pool, cluster_id: str) -> None:
    """Add the cluster to the pool and start its bootstrap, unless somebody has, or it is not wanted any more."""
    now = await keeper.host.state.pool(pool.name)
    wanted = [now.cluster_name(number) for number in range(1, now.spec.size + 1)]
    if now.metadata.uid != pool.metadata.uid or now.removing or cluster_id not in wanted:
        logger.info("%s is not wanted any more", cluster_id)
        return
    cluster = await keeper.host.state.ensure_cluster(now, cluster_id)
    if cluster.phase is ClusterPhase.CREATING and cluster.status.operation is None and not cluster.removing:
        kind = OperationKind.BOOTSTRAP
        await keeper.start(Work(kind, cluster.name, wish(kind, cluster)))


async def delete(host: Host, action: RemoveSurplus) -> None:
    """Delete the cluster as it was seen; one that was assigned, or is another, in the meantime stays."""
    cluster = await host.state.cluster(action.cluster_id)
    seen = action.version in ("", cluster.metadata.resource_version) and action.uid == cluster.metadata.uid
    if not seen or cluster.removing:
        logger.info("%s moved on meanwhile", action.cluster_id)
        return
    try:
        await host.state.delete_cluster(cluster, as_read=bool(action.version))
    except Conflict as moved:
        logger.info("%s moved on meanwhile: %s", action.cluster_id, moved)
