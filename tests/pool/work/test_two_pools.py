"""Several pools on one host, in namespaces of their own: they live side by side and never touch each other's things."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from pool.core.errors import InvalidInput, NamespaceNotOurs
from pool.core.pools import DEFAULT_POOL, PoolSpec
from pool.kube.resources import DATA_VOLUMES, NAMESPACES, POOLED_CLUSTERS, POOLS, ROLE_BINDINGS, VMS
from pool.kubevirt.manifests import wanted_image
from pool.state import PoolState
from pool.work import bootstrap, golden, images, namespaces
from pool.work.pools import ensure_pool
from pool.work.steps import Host
from pool.work.teardown import teardown
from tests.pool.bench import Bench

EXAM = PoolSpec.model_validate(
    {"size": 1, "cluster_prefix": "exam", "image": {"url": "docker://registry.example/exam:1"}}
)


@dataclass
class Second:
    """Another installation of the product on the same host."""

    host: Host
    runs: int = 0

    @property
    def state(self) -> PoolState:
        return self.host.state

    async def make(self, name: str) -> None:
        """A cluster of the default pool, as far as it comes; the image as well."""
        pool = await self.state.pool()
        await self.state.ensure_cluster(pool, name)
        await bootstrap.bootstrap(self.host, name, run_id=self.run_id())
        await golden.take(self.host, name, run_id=self.run_id())

    async def tear_down(self, name: str) -> None:
        await self.state.delete_cluster(await self.state.cluster(name))
        await teardown(self.host, name, run_id=self.run_id())

    def run_id(self) -> str:
        self.runs += 1
        return f"second-{self.runs}"


@pytest.fixture
async def second(bench: Bench) -> Second:
    """Beside a bench with an available cluster."""
    await bench.bootstrap()
    await bench.take_golden()
    settings = bench.settings.model_copy(update={"namespace": "second"})
    await namespaces.ensure_pool_namespace(bench.kube, settings)
    state = PoolState(bench.kube, settings, now=bench.kube.now, watching=bench.watching)
    return Second(Host(settings, bench.kube, bench.watching, state))


async def identities(bench: Bench) -> dict[str, str]:
    """UIDs of what the first pool has, by kind and name."""
    of_cluster = [obj for kind in (VMS, DATA_VOLUMES) for obj in await bench.kube.list(kind, "cluster1")]
    namespace = await bench.kube.get(NAMESPACES, "cluster1")
    record = await bench.kube.get(POOLED_CLUSTERS, "cluster1", "cks-pool")
    rights = await bench.kube.get(ROLE_BINDINGS, "clone-cluster1", "vm-templates")
    image = await bench.kube.get(DATA_VOLUMES, wanted_image(bench.pool).disk, "vm-templates")
    found = [*of_cluster, namespace, record, rights, image]
    return {f"{obj['kind']} {obj['metadata']['name']}": obj["metadata"]["uid"] for obj in found}


async def test_pools_of_different_images_live_side_by_side_and_each_goes_alone(bench: Bench, second: Second) -> None:
    before = await identities(bench)
    pool = await second.state.ensure_pool(DEFAULT_POOL, EXAM)
    await second.make("exam1")

    made = await second.state.cluster("exam1")
    assert made.phase == "available"
    assert made.status.image == wanted_image(pool)
    first = await bench.pooled()
    assert first.status.image == wanted_image(bench.pool)
    assert {vm["metadata"]["labels"]["cks.io/pool-uid"] for vm in await bench.kube.list(VMS, "exam1")} == {
        pool.metadata.uid
    }
    assert [one.name for one in await bench.state.clusters()] == ["cluster1"]

    await second.tear_down("exam1")
    await bench.kube.delete(POOLS, DEFAULT_POOL, "second")
    assert await images.remove_unused_images(bench.kube, second.state, pool) == [wanted_image(pool).disk]
    assert await second.state.clusters() == []
    assert await bench.kube.find(NAMESPACES, "exam1") is None
    assert await identities(bench) == before


async def test_a_second_pool_of_the_same_prefix_gets_nowhere_and_its_removal_takes_nothing_of_the_first(
    bench: Bench, second: Second
) -> None:
    session = await bench.state.assign("alice")
    assert session.status.assigned_cluster == "cluster1"
    await bench.damage()
    before = await identities(bench)
    with pytest.raises(InvalidInput, match="prefix cluster of Pool second/default"):
        await ensure_pool(bench.kube, second.state)
    assert await bench.kube.list(POOLS, "second") == []

    # Somebody makes it all the same, by kubectl; and has its cluster made, whatever maintenance says.
    await second.state.ensure_pool()
    with pytest.raises(NamespaceNotOurs, match="cluster cluster1 of pool default"):
        await second.make("cluster1")
    assert (await second.state.cluster("cluster1")).phase != "available"
    await second.tear_down("cluster1")

    assert await second.state.clusters() == []
    assert await identities(bench) == before
    assert (await bench.pooled()).status.assigned_session == "alice"
    assert await bench.damaged() is not None
