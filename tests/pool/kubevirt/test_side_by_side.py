"""Many clusters at once over one connection: watches are shared, nothing gets into another's way."""

from __future__ import annotations

from pool.kube.gather import gather
from pool.kube.resources import VM_RESTORES, VMIS, VMS
from pool.kubevirt.cluster import Cluster
from pool.work import golden as golden_steps
from pool.work import namespaces, provision, reset
from tests.pool.builders import member
from tests.pool.kubevirt.conftest import Bench, now

CLUSTERS = [member(f"cluster{number}") for number in range(1, 5)]


async def live(bench: Bench, cluster: Cluster) -> reset.Attestation:
    where = (bench.kube, bench.watching, cluster)
    await namespaces.ensure_cluster_namespace(bench.kube, bench.watching, cluster, bench.pool, bench.settings)
    await provision.ensure_cluster(*where, bench.pool, bench.settings, now=now)
    golden = await golden_steps.take_golden(*where, bench.settings, generation=1, now=now)
    await reset.reset_cluster(*where, golden, bench.settings, run_id=f"one-{cluster.id}")
    return await reset.reset_cluster(*where, golden, bench.settings, run_id=f"two-{cluster.id}")


async def test_clusters_live_side_by_side_on_shared_watches(bench: Bench) -> None:
    await bench.prepare()
    attestations = await gather(live(bench, cluster) for cluster in CLUSTERS)

    assert {one.cluster_id for one in attestations} == {cluster.id for cluster in CLUSTERS}
    assert len(await bench.kube.list(VMS)) == 2 * len(CLUSTERS)
    assert await bench.kube.list(VM_RESTORES) == []
    for resource in (VMS, VMIS, VM_RESTORES):
        assert bench.wire.calls["watch", resource.plural] == 1, resource.plural


async def test_each_guest_has_an_authority_of_its_own(bench: Bench) -> None:
    await bench.prepare()
    for cluster in CLUSTERS[:2]:
        await namespaces.ensure_cluster_namespace(bench.kube, bench.watching, cluster, bench.pool, bench.settings)
        await provision.ensure_secrets(bench.kube, cluster, bench.pool, now())
    identities = [await provision.ensure_identity(bench.kube, cluster, now()) for cluster in CLUSTERS[:2]]
    assert identities[0].ca != identities[1].ca
    assert identities[0].bootstrap_token != identities[1].bootstrap_token
