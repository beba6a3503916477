"""What is written to clusters and Pools at once: cordons and sizes. The worker does what follows from them."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from cks_pool.completion import pools
from cks_pool.formats import say
from cks_pool.hosts import cluster_named, host_at, pool_named
from cks_pool.options import HERE, ClusterName, Where
from pool.core.lifecycle import ClusterPhase


async def cordon(cluster: ClusterName, /, *others: ClusterName, where: Where = HERE) -> None:
    """Keep clusters from new sessions; who holds one keeps it."""
    await _cordon((cluster, *others), cordoned=True, where=where)


async def uncordon(cluster: ClusterName, /, *others: ClusterName, where: Where = HERE) -> None:
    """Let sessions have clusters again."""
    await _cordon((cluster, *others), cordoned=False, where=where)


async def _cordon(names: tuple[str, ...], *, cordoned: bool, where: Where) -> None:
    async with host_at(where) as host:
        before = [await cluster_named(host, name) for name in names]
        for one in before:
            word = "cordoned" if cordoned else "uncordoned"
            if one.spec.cordoned == cordoned:
                say(f"{one.name} is {word} already")
                continue
            after = await host.state.cordon(one.name, cordoned)
            keeps = f"; session {after.status.assigned_session} keeps it" if cordoned and _is_held(after.phase) else ""
            say(f"{one.name} {word}{keeps}")


def _is_held(phase: ClusterPhase) -> bool:
    return phase is ClusterPhase.LOCKED


async def scale(
    pool: Annotated[str, Parameter(help="The Pool, by name.", completer=pools)],
    /,
    *,
    size: Annotated[int, Parameter(name=["--size", "--replicas"], help="How many clusters, 0 to 500.")],
    where: Where = HERE,
) -> None:
    """Set how many clusters a Pool has; a smaller size removes from the top, a held one once its session ends."""
    async with host_at(where) as host:
        before = await pool_named(host, pool)
        after = await host.state.resize(pool, size)
    was = before.spec.size
    rest = f" (it was {was}); the worker makes or removes clusters" if after.spec.size != was else " already"
    say(f"{pool} has size {after.spec.size}{rest}")
