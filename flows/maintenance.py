"""Every five minutes, and when something is wanted of a Pool: observe, plan, act. The work is `pool.work.upkeep`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import acreate_table_artifact
from prefect.states import Completed

from flows.clusters import AnyPool
from flows.dispatch import run_once, start_work
from flows.names import run_named
from flows.runtime import connected
from flows.tables import plan_rows
from flows.tasks import EFFECT, run_id, stopwatch
from pool.core.planner.actions import Action
from pool.core.pools import Pool
from pool.work.upkeep import keep_all_up, keep_up
from pool.work.upkeep.acting import Keeper


@flow(name="pool-maintenance", flow_run_name=run_named("pool-maintenance"))
async def pool_maintenance(pool: AnyPool = None) -> Any:
    """Size, image, health, expiry, stuck operations, leftovers, the queue: what the plan says, a few rounds at most.

    Args:
        pool: Only this Pool, by name; all of the namespace if left out.
    """
    took = stopwatch()
    async with connected() as host:
        keeper = Keeper(host, start_work, run_id())
        done = await (keep_all_up(keeper, show_plan) if pool is None else keep_up(keeper, pool, show_plan))
    counts = Counter(type(action).__name__ for action in done)
    message = ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "nothing to do"
    whose = f"pool {pool}" if pool else "all pools"
    return Completed(message=f"{whose}: {message}, in {took()}")


async def maintain(pool: str, reason: str) -> None:
    """Have a maintenance run of the Pool started, one for the same reason. As pool.work.upkeep.standby.Maintain."""
    await run_once("pool-maintenance", {"pool": pool}, reason)


async def show_plan(pool: Pool, actions: Sequence[Action]) -> None:
    """Keep what is to be done as the artifact `pool-maintenance`, and in the run's log."""
    await keep_plan(pool.name, plan_rows(actions))


@task(**EFFECT, task_run_name="plan-{pool}")
async def keep_plan(pool: str, rows: list[dict[str, Any]]) -> None:
    """Log the plan and keep it; a table of bounded size."""
    for row in rows:
        get_run_logger().info("%s", row["what"])
    await acreate_table_artifact(rows, key="pool-maintenance", description=f"What there was to do for pool {pool}")
