"""No two Pools of a host have one prefix, in whatever namespaces: the one that was there first has it."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from pool.core.errors import InvalidInput
from pool.core.pools import DEFAULT_POOL, Pool
from pool.core.resource import Metadata
from pool.kube.resources import NAMESPACES, POOLS
from pool.state import PoolState
from pool.work.namespaces.prefixes import check_prefix
from pool.work.pools import ensure_pool
from tests.pool.lab import Lab

SECOND = timedelta(seconds=1)


@pytest.fixture
async def second(lab: Lab) -> PoolState:
    """Another namespace of Pools on the host."""
    await lab.kube.create(NAMESPACES, NAMESPACES.manifest("second"))
    settings = lab.settings.model_copy(update={"namespace": "second"})
    return PoolState(lab.kube, settings, now=lab.clock)


def as_if(pool: Pool, *, name: str = "late", made: datetime | None = None, uid: str = "") -> Pool:
    """A pool of the same prefix in another namespace, made then."""
    meta = Metadata(name=name, namespace="second", uid=uid, creation_timestamp=made)
    return pool.changed(metadata=meta)


async def test_the_younger_one_is_refused_and_told_who_has_the_prefix(lab: Lab) -> None:
    first = await lab.state.pool()
    made = first.metadata.creation_timestamp
    assert made is not None
    await check_prefix(lab.kube, first)
    await check_prefix(lab.kube, as_if(first, made=made - SECOND, uid="z"))
    with pytest.raises(InvalidInput, match="that of Pool cks-pool/default; make the Pool anew with another"):
        await check_prefix(lab.kube, as_if(first, made=made + SECOND, uid="a"))


async def test_of_two_made_in_the_same_second_the_smaller_uid_has_it(lab: Lab) -> None:
    first = await lab.state.pool()
    made = first.metadata.creation_timestamp
    await check_prefix(lab.kube, as_if(first, made=made, uid="!"))
    with pytest.raises(InvalidInput):
        await check_prefix(lab.kube, as_if(first, made=made, uid="~"))


async def test_pools_of_one_namespace_are_no_exception(lab: Lab) -> None:
    await lab.state.pool()
    with pytest.raises(InvalidInput, match="prefix cluster of Pool cks-pool/other"):
        await ensure_pool(lab.kube, lab.state, "other")
    assert await lab.state.pool_names() == ["default"]


async def test_another_prefix_is_nobodys_business(lab: Lab, second: PoolState) -> None:
    spec = (await lab.state.pool()).spec.changed(cluster_prefix="exam")
    await second.ensure_pool(DEFAULT_POOL, spec)
    assert (await ensure_pool(lab.kube, second)).spec.cluster_prefix == "exam"


async def test_a_pool_whose_prefix_is_taken_is_not_made(lab: Lab, second: PoolState) -> None:
    await lab.state.pool()
    with pytest.raises(InvalidInput, match="prefix cluster of Pool second/default"):
        await ensure_pool(lab.kube, second, size=1)
    assert await lab.kube.list(POOLS, "second") == []


async def test_one_on_its_way_out_has_its_prefix_until_it_is_gone(lab: Lab, second: PoolState) -> None:
    await lab.kube.delete(POOLS, DEFAULT_POOL, "cks-pool")
    assert (await lab.state.pool()).metadata.deletion_timestamp is not None
    with pytest.raises(InvalidInput):
        await ensure_pool(lab.kube, second)


async def test_a_size_that_is_asked_for_is_written_and_others_are_left(lab: Lab) -> None:
    assert (await ensure_pool(lab.kube, lab.state)).spec.size == 3
    assert (await ensure_pool(lab.kube, lab.state, size=5)).spec.size == 5
    assert (await ensure_pool(lab.kube, lab.state)).spec.size == 5
    assert (await lab.state.pool()).metadata.generation == 2
