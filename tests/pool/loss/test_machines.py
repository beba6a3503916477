"""The same on machines, disks and guests: what a learner left on a disk is on nothing that is handed out.

All begin with a pool of one cluster that was made once; each has a copy of its own of that past.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from pool.kube.resources import NAMESPACES, POOLED_CLUSTERS, POOLS, SECRETS, SESSIONS
from pool.work.upkeep.health import look
from tests.pool.kubectl import Kubectl, needed
from tests.pool.loss.page import commands
from tests.pool.loss.test_losses import begin_anew
from tests.pool.loss.world import World, keep, set_back, world_in

pytestmark = [pytest.mark.xdist_group("losses"), pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pool of one cluster, which is available, as it stood before anything happened."""
    folder = tmp_path_factory.mktemp("past")

    async def make() -> None:
        async with world_in(folder) as world:
            await world.make(1)

    asyncio.run(make())
    return folder


@pytest.fixture
def folder(past: Path, tmp_path: Path) -> Path:
    shutil.copytree(past / "data", tmp_path / "data")
    return tmp_path


@pytest.fixture
async def world(folder: Path) -> AsyncIterator[World]:
    async with world_in(folder) as opened:
        await opened.boot()
        yield opened


def kubectl(folder: Path) -> Kubectl:
    return Kubectl(folder / "kubeconfig", "cks-pool", folder)


@needed
async def test_a_used_cluster_that_a_host_set_back_says_is_clean_is_not_handed_out_once_the_pool_is_begun_anew(
    folder: Path,
) -> None:
    keep(folder)
    async with world_in(folder) as world:
        await world.boot()
        await world.bench.state.assign("bob")
        await world.use("cluster1")
    set_back(folder)
    async with world_in(folder) as world:
        await world.boot()
        # Nothing that the host knows tells it: this is why a person comes before the programs (ADR 0029).
        assert await world.free() == ["cluster1"]
        assert await world.used("cluster1")
        await begin_anew(kubectl(folder))
        assert await world.free() == []
        await world.settle()
        assert await world.free() == ["cluster1"]
        await world.check()


@needed
async def test_restored_without_status_the_machines_go_on_for_who_uses_them_until_the_pool_is_begun_anew(
    folder: Path, world: World
) -> None:
    kube = world.bench.kube
    await world.bench.state.assign("alice")
    await world.use("cluster1")
    dumps = [await kubectl(folder)(*command[:-2]) for command in commands("What to keep")[:2]]
    for kind in (POOLS, POOLED_CLUSTERS, SESSIONS):
        for obj in await kube.list(kind, "cks-pool"):
            await kube.patch(kind, obj["metadata"]["name"], {"metadata": {"finalizers": None}}, "cks-pool")
            await kube.delete(kind, obj["metadata"]["name"], "cks-pool")
    for dump in dumps:
        await kubectl(folder)("apply", "--validate=false", "-f", "-", given=dump)
    await world.settle()
    broken = (await world.clusters())["cluster1"]
    assert broken.phase == "error"
    assert broken.status.failure is not None
    assert "one of an earlier Pool of that name" in broken.status.failure.message
    assert await world.used("cluster1"), "its learner's machines run on"
    assert await world.free() == []
    before = await kube.get(NAMESPACES, "cluster1")
    await begin_anew(kubectl(folder))
    # Its bootstrap has just failed, so its teardown waits for a while.
    world.bench.ahead = timedelta(minutes=15)
    await world.settle()
    assert (await kube.get(NAMESPACES, "cluster1"))["metadata"]["uid"] != before["metadata"]["uid"]
    assert await world.free() == ["cluster1"]
    await world.check()


async def test_a_cluster_whose_secrets_are_gone_is_made_anew_by_itself(world: World) -> None:
    world.bench.configured(provision_timeout=0.3, health_timeout=0.3, reset_attempts=1)
    for secret in await world.bench.kube.list(SECRETS, "cluster1"):
        await world.bench.kube.delete(SECRETS, secret["metadata"]["name"], "cluster1")
    await look(world.bench.host(), "cluster1")
    assert await world.free() == []
    await world.keep_up()
    (reset,) = world.started.values()
    await world.do(reset)
    assert (await world.clusters())["cluster1"].phase == "error"
    world.bench.configured(provision_timeout=20.0, health_timeout=20.0)
    world.started.clear()
    await world.settle()
    assert await world.free() == ["cluster1"]
    await world.check()
