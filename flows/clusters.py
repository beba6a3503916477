"""Which clusters a flow is about, as parameters of its form."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, TypeVar, cast

from pydantic import Field

from pool.core import inputs
from pool.core.clusters import PooledCluster
from pool.core.errors import UnknownCluster
from pool.core.fields import ClusterId, PoolName
from pool.core.pools import Pool
from pool.kube.gather import gather

S = TypeVar("S")
T = TypeVar("T")

Size = Annotated[
    Annotated[int, Field(ge=1, le=500)] | None,
    Field(description="How many clusters the pool is to have, 1 to 500; as the Pool says if left out."),
]
ClusterIds = Annotated[
    list[ClusterId] | None,
    Field(max_length=500, description="Only these clusters, by name; all of the pool if left out."),
]
OfPool = Annotated[PoolName, Field(description="The Pool, by name.")]
AnyPool = Annotated[PoolName | None, Field(description="Only this Pool, by name; all of the namespace if left out.")]
OneCluster = Annotated[ClusterId, Field(description="The cluster's name, for example cluster1.")]


def named(pool: Pool, size: int | None, cluster_ids: Sequence[str] | None) -> list[str]:
    """The clusters that are wanted: those named, else PREFIX1 .. PREFIXn. A cluster's namespace has its name."""
    count = size or pool.spec.size
    names = cluster_ids or [pool.cluster_name(number) for number in range(1, count + 1)]
    return [inputs.cluster_id(name) for name in dict.fromkeys(names)]


def existing(clusters: Sequence[PooledCluster], cluster_ids: Sequence[str] | None) -> list[PooledCluster]:
    """The pool's clusters of these names, all of them if none are named. Raises UnknownCluster."""
    by_name = {cluster.name: cluster for cluster in clusters}
    missing = [name for name in cluster_ids or () if name not in by_name]
    if missing:
        raise UnknownCluster(
            f"no cluster {', '.join(missing)}",
            expected=f"one of {', '.join(by_name) or 'none; the pool is empty'}",
            cure="see pool-status for the pool's clusters; bootstrap-pool makes missing ones",
        )
    return [by_name[name] for name in cluster_ids or by_name]


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
