"""Many clusters at once over one connection: watches are shared, nothing gets into another's way."""

from __future__ import annotations

import pytest

from pool.guest.identity import Identity, ensure_identity
from pool.kube.gather import gather
from pool.kube.resources import VM_RESTORES, VMIS, VMS
from pool.kubevirt.cluster import Cluster
from pool.work.attestation import Attestation
from pool.work.bootstrap import bootstrap
from pool.work.golden import take
from pool.work.reset import reset
from tests.pool.bench import Bench, now

CLUSTERS = [f"cluster{number}" for number in range(1, 5)]


async def live(bench: Bench, cluster: str) -> Attestation:
    host = bench.host()
    await host.state.ensure_cluster(bench.pool, cluster)
    await bootstrap(host, cluster, run_id="made")
    await take(host, cluster, run_id="snapshotted")
    await reset(host, cluster, run_id="one")
    attestation = await reset(host, cluster, run_id="two")
    assert attestation is not None
    return attestation


async def test_clusters_live_side_by_side_on_shared_watches(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pool.kube.watching.LINGER", 600.0)
    await bench.prepare()
    attestations = await gather(live(bench, cluster) for cluster in CLUSTERS)

    assert {one.cluster_id for one in attestations} == set(CLUSTERS)
    assert len(await bench.kube.list(VMS)) == 2 * len(CLUSTERS)
    assert await bench.kube.list(VM_RESTORES) == []
    for resource in (VMS, VMIS, VM_RESTORES):
        assert bench.wire.calls["watch", resource.plural] == 1, resource.plural


async def test_each_guest_has_an_authority_of_its_own(bench: Bench) -> None:
    await bench.prepare()
    identities: list[Identity] = []
    for cluster in CLUSTERS[:2]:
        found = await bench.state.ensure_cluster(bench.pool, cluster)
        await bootstrap(bench.host(), cluster, run_id="made")
        identities.append(await ensure_identity(bench.kube, Cluster.of(found), now()))
    assert identities[0].ca != identities[1].ca
    assert identities[0].bootstrap_token != identities[1].bootstrap_token
