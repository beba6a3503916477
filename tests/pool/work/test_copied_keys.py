"""What a reset cannot take back: a learner's copy of the cluster's CA. A rebuild can."""

from __future__ import annotations

import pytest

from pool.core.errors import ApiError
from pool.guest import pki
from pool.guest.identity import identity_of
from pool.kube.client import Kube
from pool.kube.credentials.access import Access, Pair, Server
from pool.kube.resources import NODES, SECRETS, SERVICES
from pool.kubevirt.cluster import API_PORT
from pool.work.rebuild import rebuild
from tests.pool.bench import Bench, now


async def test_a_copied_ca_opens_later_sessions_until_the_cluster_is_rebuilt(bench: Bench) -> None:
    await bench.bootstrap()
    await bench.take_golden()
    copied = identity_of(await bench.kube.get(SECRETS, "cluster-ca", "cluster1")).ca

    await bench.reset()
    assert await nodes_seen_by(bench, copied) == 2

    await rebuild(bench.host(), "cluster1", run_id=bench.run_id())
    assert identity_of(await bench.kube.get(SECRETS, "cluster-ca", "cluster1")).ca != copied
    with pytest.raises(ApiError):
        await nodes_seen_by(bench, copied)


async def nodes_seen_by(bench: Bench, copied: pki.KeyPair) -> int:
    """How many nodes somebody sees in the guest who makes himself a certificate, wherever he can reach it from."""
    minted = pki.make_client(copied, "mallory", pki.BREAK_GLASS, now())
    address = (await bench.kube.get(SERVICES, "cp", "cluster1"))["spec"]["clusterIP"]
    server = Server(f"https://{address}:{API_PORT}", copied.certificate, name=bench.cluster.server_name)
    access = Access("of mallory", server, pair=Pair(minted.certificate, minted.key))
    async with Kube.using(access, patience=0) as guest:
        return len(await guest.list(NODES))
