"""Every five minutes: observe the pool, plan, act. `pool.core.planner` plans; here it is only carried out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import timedelta
from typing import Any

from prefect import flow, get_run_logger, runtime, task
from prefect.artifacts import acreate_table_artifact
from prefect.states import Completed

from flows.clusters import at_most
from flows.dispatch import start_reset, start_run
from flows.health import check_health
from flows.runtime import connected
from flows.tasks import EFFECT
from pool.core.clusters import OperationKind
from pool.core.errors import IllegalTransition, OperationInProgress, UnknownCluster, UnknownSession
from pool.core.planner import Observed, PlanConfig, plan
from pool.core.planner.actions import (
    Action,
    BindPending,
    CheckHealth,
    CreateMissing,
    EndWaiting,
    Expire,
    FinishPoolRemoval,
    ForgetSessions,
    MarkError,
    OnCluster,
    RemoveSurplus,
    ReportBroken,
    StartBootstrap,
    StartGolden,
    StartRebuild,
    StartReset,
    StartTeardown,
    TakeOver,
)
from pool.work.steps import Host, utcnow

ROUNDS = 3
"""Plans made in one run at most: what a round did shows in the next, and anything later is the next run's."""

FORGOTTEN_AT_ONCE = 20
"""Sessions that are removed side by side."""

OF_KIND = {
    OperationKind.BOOTSTRAP: "bootstrap-pool",
    OperationKind.GOLDEN: "create-golden-snapshots",
    OperationKind.RESET: "reset-cluster",
    OperationKind.REBUILD: "rebuild-cluster",
    OperationKind.TEARDOWN: "teardown-pool",
}
"""The deployment that does (again) what an operation of that kind does."""


@flow(name="pool-maintenance")
async def pool_maintenance() -> Any:
    """Health, expiry, stuck operations, leftovers, the queue: whatever the plan says, a few rounds at most."""
    done: list[Action] = []
    for _ in range(ROUNDS):
        under_way = {action.cluster_id for action in done if isinstance(action, OnCluster)}
        actions = [action for action in await make_plan(under_way) if action not in done]
        if not actions:
            break
        await settle_sessions([action for action in actions if isinstance(action, SESSION_ACTIONS)])
        # Looking at guests comes last: it takes longest, and nothing else may wait for a guest.
        others = (*SESSION_ACTIONS, CheckHealth, ForgetSessions)
        await start_work([action for action in actions if not isinstance(action, others)])
        await check_health([action.cluster_id for action in actions if isinstance(action, CheckHealth)])
        await forget([action for action in actions if isinstance(action, ForgetSessions)])
        done += actions
    counts = Counter(type(action).__name__ for action in done)
    message = ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "nothing to do"
    return Completed(message=message)


SESSION_ACTIONS = (Expire, BindPending)
NOT_YET = (CreateMissing, RemoveSurplus, EndWaiting, FinishPoolRemoval)
"""What is planned for a Pool that is a resource, and is left out as long as it is made up here."""


@task(**EFFECT)
async def make_plan(under_way: Collection[str]) -> list[Action]:
    """Read sessions, then clusters, and plan. An outage fails this task; it is never an empty pool.

    `under_way`: clusters for which this run started work already.
    """
    async with connected() as pool:
        sessions = await pool.state.sessions()
        clusters = await pool.state.clusters()
        config = PlanConfig.of(pool.settings)
        observed = Observed.of(await pool.state.pool(), sessions, clusters)
    actions: list[Action] = [one for one in plan(observed, config, utcnow(), under_way) if not isinstance(one, NOT_YET)]
    get_run_logger().info("%d clusters, %d sessions, %d actions", len(clusters), len(sessions), len(actions))
    if actions:
        rows = [{"action": type(action).__name__, "what": str(action)} for action in actions]
        await acreate_table_artifact(rows, key="pool-maintenance", description="What maintenance found to do")
    return actions


@task(**EFFECT)
async def forget(actions: Sequence[ForgetSessions]) -> None:
    """Remove sessions that are over, many at a time."""
    async with connected() as pool:
        for action in actions:
            await at_most(FORGOTTEN_AT_ONCE, pool.state.remove_ended_session, action.sessions)


@task(**EFFECT)
async def settle_sessions(actions: Sequence[Action]) -> None:
    """End what is over, bind who waits, forget what ended long ago. One that fails does not keep the others waiting."""
    async with connected() as pool:
        await _each(actions, lambda action: _settle(pool, action))


async def _settle(pool: Host, action: Action) -> None:
    if isinstance(action, Expire):
        released = await pool.state.expire(action.session_id)
        if released.cluster_id is not None:
            await start_reset(released.cluster_id, released.epoch)
    elif isinstance(action, BindPending):
        await pool.state.serve_queue()


async def _each(actions: Sequence[Action], work: Callable[[Action], Awaitable[None]]) -> None:
    """Carry out all actions, then raise the first failure. What is gone meanwhile needs nothing any more."""
    logger = get_run_logger()
    failures: list[Exception] = []
    for action in actions:
        logger.info("%s", action)
        try:
            await work(action)
        except (UnknownSession, UnknownCluster) as error:
            logger.info("gone meanwhile: %s", error)
        except Exception as error:  # noqa: BLE001 - raised below, after the others had their turn
            logger.error("%s: %s", action, error)
            failures.append(error)
    if failures:
        raise failures[0]


async def epoch_of(cluster_id: str) -> int:
    """The cluster's epoch now."""
    async with connected() as pool:
        return (await pool.state.cluster(cluster_id)).status.epoch


async def start_work(actions: Sequence[Action]) -> None:
    """Start a flow run for each cluster that needs one; fail for good what is stuck for good."""
    this_run = str(runtime.flow_run.id)

    async def start(action: Action) -> None:
        match action:
            case MarkError():
                await mark_error(action.cluster_id, action.kind, action.reason)
            case TakeOver():
                parameters = _parameters(action.kind, action.cluster_id)
                await start_run(
                    OF_KIND[action.kind], parameters, f"{action.cluster_id}:takeover:{action.stale_run}:{this_run}"
                )
            case StartReset():
                reason = f"maintenance:{this_run}"
                epoch = await epoch_of(action.cluster_id)
                await start_reset(action.cluster_id, epoch, reason, waiting=action.waiting)
            case StartBootstrap():
                parameters = _parameters(OperationKind.BOOTSTRAP, action.cluster_id)
                await start_run("bootstrap-pool", parameters, f"{action.cluster_id}:{this_run}")
            case StartGolden():
                parameters = _parameters(OperationKind.GOLDEN, action.cluster_id)
                await start_run("create-golden-snapshots", parameters, f"{action.cluster_id}:{this_run}")
            case StartRebuild():
                parameters = _parameters(OperationKind.REBUILD, action.cluster_id)
                await start_run("rebuild-cluster", parameters, f"{action.cluster_id}:{this_run}")
            case StartTeardown():
                parameters = _parameters(OperationKind.TEARDOWN, action.cluster_id)
                await start_run("teardown-pool", parameters, f"{action.cluster_id}:{this_run}")
            case ReportBroken():
                get_run_logger().warning(
                    "%s, held by %s, is unhealthy: %s", action.cluster_id, action.session_id, action.message
                )

    await _each(actions, start)


@task(**EFFECT, task_run_name="mark-error-{cluster_id}")
async def mark_error(cluster_id: str, kind: OperationKind, reason: str) -> None:
    """Take over an operation whose attempts are used up, and fail it for good."""
    async with connected() as pool:
        operation = (await pool.state.cluster(cluster_id)).status.operation
        grace = timedelta(seconds=pool.settings.operation_grace)
        if operation is None or operation.kind is not kind or utcnow() - operation.heartbeat_at < grace:
            get_run_logger().info("%s moved on meanwhile", cluster_id)
            return
        try:
            handle = await pool.state.begin(cluster_id, kind, str(runtime.flow_run.id))
        except (OperationInProgress, IllegalTransition) as error:
            get_run_logger().info("%s moved on meanwhile: %s", cluster_id, error)
            return
        await handle.fail("Stuck", reason, final=True)


def _parameters(kind: OperationKind, cluster_id: str) -> dict[str, Any]:
    if kind is OperationKind.RESET:
        # The silent run may have come to life, and to its end, before this one begins.
        return {"cluster_id": cluster_id, "if_waiting": True}
    if kind is OperationKind.REBUILD:
        return {"cluster_id": cluster_id}
    if kind is OperationKind.TEARDOWN:
        return {"cluster_ids": [cluster_id], "confirm": "teardown"}
    return {"cluster_ids": [cluster_id]}
