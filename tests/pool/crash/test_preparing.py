"""What is made once, before any cluster: killed at each write as well, and run again by whoever asked for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pool.kube.resources import CONFIG_MAPS
from pool.kubevirt.preflight import PROVED
from tests.pool.crash.census import TEMPLATES, objects
from tests.pool.crash.killing import Killer
from tests.pool.crash.sweep import sweep
from tests.pool.crash.tally import Tally
from tests.pool.crash.world import World, world_at


@pytest.mark.timeout(300)
async def test_namespaces(tmp_path: Path, killer: Killer, tally: Tally) -> None:
    """Kinds, namespaces, rights, quotas, the golden image: all there, nothing twice."""

    async def attempt(at: int | None) -> tuple[int | None, Any]:
        async with world_at(tmp_path, killer, size=2, bare=True) as world:
            return await _twice(world, "create-namespaces", at, size=world.size), objects(world.store)

    await sweep(tally, killer, attempt, least=15, every=3)


async def test_the_proof_of_the_storage(tmp_path: Path, killer: Killer, tally: Tally) -> None:
    """Its volumes and snapshots are removed, whoever made them."""
    async with world_at(tmp_path, killer) as world:

        async def attempt(at: int | None) -> tuple[int | None, Any]:
            await world.kube.delete(CONFIG_MAPS, PROVED, TEMPLATES)
            return await _twice(world, "prove-storage", at, pool="default"), await world.outcome({})

        await sweep(tally, killer, attempt, least=5, every=2)


async def _twice(world: World, flow: str, at: int | None, **parameters: Any) -> int | None:
    writes = await world.child(flow, at, **parameters)
    if writes is None:
        await world.child(flow, **parameters)
    return writes
