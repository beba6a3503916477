"""Which clusters a flow is about, as parameters of its form."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, TypeVar, cast

from pydantic import Field

from flows.progress import side_by_side
from pool.core.clusters import PooledCluster
from pool.core.errors import InvalidInput, UnknownCluster
from pool.core.fields import ClusterId, PoolName
from pool.core.pools import Pool
from pool.kube.gather import gather

S = TypeVar("S")
T = TypeVar("T")

Size = Annotated[
    Annotated[int, Field(ge=1, le=500)] | None,
    Field(description="How many clusters the Pool has from now on, 1 to 500; as it has it if left out."),
]
ClusterIds = Annotated[
    list[ClusterId] | None,
    # None of them at all is no way to say all of them: a teardown would take that for the whole pool.
    Field(
        min_length=1,
        max_length=500,
        description="Only these clusters, by name (cluster1, for example); all of the pool if left out.",
    ),
]
IfDue = Annotated[bool, Field(description="Do nothing that is not due any more, and nothing to a cordoned cluster.")]
OfPool = Annotated[PoolName, Field(description="The Pool, by name.")]
AnyPool = Annotated[PoolName | None, Field(description="Only this Pool, by name; all of the namespace if left out.")]
OneCluster = Annotated[ClusterId, Field(description="The cluster's name, for example cluster1.")]


def named(pool: Pool, cluster_ids: Sequence[str] | None) -> list[str]:
    """The clusters that are wanted: those named, else PREFIX1 .. PREFIXn. A cluster's namespace has its name.

    Raises InvalidInput for a name that is none of the Pool's.
    """
    names = [pool.cluster_name(number) for number in range(1, pool.spec.size + 1)]
    others = [name for name in cluster_ids or () if name not in names]
    if others:
        raise InvalidInput(
            f"cluster names {', '.join(others)}",
            expected=f"names of Pool {pool.name}: {names[0]} to {names[-1]}"
            if names
            else f"none, {pool.name} is empty",
            actual=others[0],
            cure=f"a larger size makes more of them: kubectl scale pool {pool.name}",
        )
    return list(dict.fromkeys(names if cluster_ids is None else cluster_ids))


def existing(clusters: Sequence[PooledCluster], pool: str, cluster_ids: Sequence[str] | None) -> list[PooledCluster]:
    """The Pool's clusters of these names, all of them if none are named. Raises UnknownCluster."""
    by_name = {cluster.name: cluster for cluster in clusters if cluster.spec.pool == pool}
    missing = [name for name in cluster_ids or () if name not in by_name]
    if missing:
        raise UnknownCluster(
            f"no cluster {', '.join(missing)} in pool {pool}",
            expected=f"one of {', '.join(by_name) or 'none; the pool is empty'}",
            cure="see pool-status for the pool's clusters; bootstrap-pool makes missing ones",
        )
    return [by_name[name] for name in (by_name if cluster_ids is None else cluster_ids)]


async def at_most(limit: int, work: Callable[[S], Awaitable[T]], items: Sequence[S]) -> list[T]:
    """`work` for every item, at most `limit` at once. All come to their end, then the first failure is raised.

    Who is cancelled meanwhile cancels them all, and waits until they have stopped.
    """
    gate = asyncio.Semaphore(limit)

    async def one(item: S) -> tuple[T | None, Exception | None]:
        async with gate:
            try:
                return await work(item), None
            except Exception as error:  # noqa: BLE001 - raised below, when the others are done
                return None, error

    ends = await gather(one(item) for item in items)
    for _, error in ends:
        if error is not None:
            raise error
    return [cast(T, result) for result, _ in ends]


async def each_of(pool: str, limit: int, work: Callable[[str], Awaitable[T]], names: Sequence[str]) -> list[T]:
    """`at_most`, of clusters of the pool: how far they are is shown as the artifact `clusters-POOL`.

    `work` returns False if another run does it.
    """

    if len(names) < 2:
        return await at_most(limit, work, names)
    async with side_by_side(pool, len(names)) as progress:

        async def one(name: str) -> T:
            with progress.step(name) as step:
                result = await work(name)
                step.left = result is False
                return result

        return await at_most(limit, one, names)
