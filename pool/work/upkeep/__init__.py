"""Keeping a pool as it is wanted: observe, plan, act, a few rounds at most.

The plan is `pool.core.planner`'s. Every action looks again before it changes anything, so that any number of runs side
by side do what one would: what is created has a name of its own, what is written is a compare-and-swap, and work on a
cluster is started by its wish, of which there is one run whoever wished it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence

from pool.core.errors import PoolError, UnknownPool
from pool.core.planner import Observed, PlanConfig, plan
from pool.core.planner.actions import Action, Expire, ForgetSessions, OnCluster, RemoveSurplus, StartTeardown
from pool.core.planner.removals import torn_down
from pool.core.pools import Pool
from pool.core.resource import Metadata
from pool.kube.gather import gather
from pool.kubevirt.cluster import Cluster
from pool.work.images import remove_unused_images
from pool.work.namespaces.isolation import keep_isolated
from pool.work.steps import Host
from pool.work.upkeep.acting import Keeper, carry_out
from pool.work.upkeep.status import note_pool_status, prefix_taken

ROUNDS = 3
"""Plans made in one run at most: what a round did shows in the next, and anything later is the next run's."""

Planned = Callable[[Pool, Sequence[Action]], Awaitable[None]]
"""Told each plan that has something to do, before it is carried out."""


async def _unheard(_pool: Pool, _actions: Sequence[Action]) -> None:
    """Nobody wants to know."""


async def keep_up(keeper: Keeper, name: str, planned: Planned = _unheard) -> list[Action]:
    """Do what the Pool of that name needs now. Returns what was done, as planned.

    The first failure is raised in the end. Raises UnknownPool; an outage is an error, never an empty pool.
    """
    host = keeper.host
    done: list[Action] = []
    failures: list[Exception] = []
    for _ in range(ROUNDS):
        try:
            pool = await host.state.hold_pool(name)
        except UnknownPool:
            if not done:
                raise
            return done  # Its removal is finished.
        actions = [action for action in await make_plan(host, pool, _under_way(done)) if action not in done]
        if not actions:
            break
        await planned(pool, actions)
        failures += await carry_out(keeper, pool, actions)
        done += actions
    for tidy in (_remove_unused_images, _keep_isolated):
        try:
            await tidy(host, pool)
        except PoolError as untidy:
            failures.append(untidy)
    await note_pool_status(host, name)
    await host.state.note_maintenance(name)
    if failures:
        raise failures[0]
    return done


async def _remove_unused_images(host: Host, pool: Pool) -> None:
    await remove_unused_images(host.kube, host.state, pool)


async def _keep_isolated(host: Host, pool: Pool) -> None:
    clusters = [Cluster.of(one) for one in await host.state.clusters(pool.name) if not one.removing]
    await keep_isolated(host.kube, clusters, host.settings)


async def keep_all_up(keeper: Keeper, planned: Planned = _unheard) -> list[Action]:
    """Do what every Pool of the namespace needs, side by side: none waits for another's guests.

    The first failure is raised in the end.
    """
    names = await keeper.host.state.pool_names()

    async def kept(name: str) -> tuple[list[Action], list[Exception]]:
        try:
            return await keep_up(keeper, name, planned), []
        except UnknownPool as gone:
            keeper.host.warn(str(gone))
            return [], []
        except Exception as error:  # noqa: BLE001 - raised below: the other pools are kept up all the same
            keeper.host.warn(f"pool {name}: {error}")
            return [], [error]

    ends = await gather(kept(name) for name in names)
    failures = [error for _, failed in ends for error in failed] + await _remove_abandoned(keeper, names)
    if failures:
        raise failures[0]
    return [action for done, _ in ends for action in done]


async def _remove_abandoned(keeper: Keeper, names: Collection[str]) -> list[Exception]:
    """Carry on the removal of clusters whose Pool is gone before them, by force; returns what went wrong."""
    host = keeper.host
    gone = Pool(metadata=Metadata(name="gone"))
    try:
        abandoned = [cluster for cluster in await host.state.clusters() if cluster.spec.pool not in names]
        actions = list(torn_down(Observed(gone, [], abandoned, host.state.silent(abandoned)), host.now()))
        return await carry_out(keeper, gone, actions)
    except PoolError as unseen:
        return [unseen]


async def make_plan(host: Host, pool: Pool, under_way: Collection[str] = frozenset()) -> list[Action]:
    """Read sessions, then clusters, and plan. For a pool whose prefix is another's things only end."""
    sessions = await host.state.sessions(pool.name)
    clusters = await host.state.clusters(pool.name)
    observed = Observed.of(pool, sessions, clusters, host.state.silent(clusters))
    actions = plan(observed, PlanConfig.of(host.settings), host.now(), under_way)
    if pool.removing or not await prefix_taken(host, pool):
        return actions
    return [action for action in actions if isinstance(action, Expire | ForgetSessions | StartTeardown)]


def _under_way(done: Sequence[Action]) -> frozenset[str]:
    """The clusters for which work was started already; one that was only deleted is still to be torn down."""
    started = [action for action in done if isinstance(action, OnCluster) and not isinstance(action, RemoveSurplus)]
    return frozenset(action.cluster_id for action in started)
