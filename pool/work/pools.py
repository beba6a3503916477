"""The Pool that work is for: made if there is none, with a prefix of its own; let go once its clusters are gone."""

from __future__ import annotations

from pool.core.errors import UnknownPool
from pool.core.pools import DEFAULT_POOL, Pool, PoolSpec
from pool.core.resource import Metadata
from pool.kube.client import Kube
from pool.kube.resources import POOLS
from pool.state import PoolState
from pool.work.images import remove_unused_images
from pool.work.namespaces.prefixes import check_prefix
from pool.work.steps import Host


async def ensure_pool(kube: Kube, state: PoolState, name: str = DEFAULT_POOL, *, size: int | None = None) -> Pool:
    """The Pool of that name, made with all defaults if there is none; `size` is what it is to have from now on.

    Raises InvalidInput, before anything is made or changed, if its prefix is another Pool's.
    """
    spec = PoolSpec() if size is None else PoolSpec(size=size)
    try:
        found = await state.pool(name)
    except UnknownPool:
        await check_prefix(kube, Pool(metadata=Metadata(name=name, namespace=state.settings.namespace), spec=spec))
        found = await state.ensure_pool(name, spec)
    # Again for one that was just made: another one may have been made in the same moment.
    await check_prefix(kube, found)
    # One that was applied has no finalizer yet, and deleted without it would leave its clusters to nobody.
    found = await state.hold_pool(name)
    if size in (None, found.spec.size):
        return found
    return Pool.from_object(await kube.patch(POOLS, name, {"spec": {"size": size}}, found.metadata.namespace))


async def let_go(host: Host, pool: Pool) -> None:
    """Remove what is the deleted Pool's own, and let it go; not while a cluster of it is there."""
    clusters = await host.state.clusters()
    if not any(cluster.spec.pool == pool.name for cluster in clusters):
        await remove_unused_images(host.kube, host.state, pool)
        await host.state.let_pool_go(pool.name)
