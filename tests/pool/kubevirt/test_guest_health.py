"""A guest's health as seen from outside, over the Service's address and with the pool's certificate."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pool.core.errors import GuestUnhealthy, NotFound
from pool.guest.client import connect_guest
from pool.guest.health import LEASE_NAMESPACE, check_healthy
from pool.guest.identity import make_identity
from pool.guest.kubeconfig import ensure_kubeconfig
from pool.kube.resources import CLUSTER_ROLE_BINDINGS, LEASES, SECRETS, SERVICES
from pool.kubevirt.machines import stop, wait_stopped
from tests.pool.bench import Bench, now


@pytest.fixture
async def running(bench: Bench) -> Bench:
    await bench.bootstrap()
    return bench


async def test_a_healthy_cluster_is_said_to_be(running: Bench) -> None:
    nodes = await check_healthy(running.kube, running.cluster, now(), timeout=10)
    assert [node.name for node in nodes] == ["cp-cluster1", "wk-cluster1"]
    assert all(node.boot_id != "unknown" for node in nodes)


async def test_a_clock_that_differs_does_not_make_a_cluster_ill(running: Bench) -> None:
    """The pool's clock is an hour ahead of the guest's: a lease renewed while it looks is proof enough."""
    await check_healthy(running.kube, running.cluster, now() + timedelta(hours=1), timeout=10)


async def test_a_stopped_worker_is_named(running: Bench) -> None:
    await stop(await running.taken(), running.cluster.worker)
    await wait_stopped(running.watching, running.cluster.worker, timeout=10)
    async with running.guest() as guest:
        ago = {"spec": {"renewTime": f"{now() - timedelta(minutes=2):%FT%T.%fZ}"}}
        await guest.patch(LEASES, "wk-cluster1", ago, LEASE_NAMESPACE)
    with pytest.raises(GuestUnhealthy, match="wk-cluster1"):
        await check_healthy(running.kube, running.cluster, now(), timeout=0)


async def test_a_look_that_has_begun_when_time_is_up_is_finished(running: Bench) -> None:
    await check_healthy(running.kube, running.cluster, now(), timeout=0)


async def test_a_stopped_control_plane_does_not_answer(running: Bench) -> None:
    await stop(await running.taken(), running.cluster.control_plane)
    await wait_stopped(running.watching, running.cluster.control_plane, timeout=10)
    with pytest.raises(GuestUnhealthy, match="does not answer"):
        await check_healthy(running.kube, running.cluster, now(), timeout=0)


async def test_another_cluster_at_the_address_is_not_believed(running: Bench) -> None:
    """The kubeconfig trusts another CA than that of whoever answers."""
    await running.kube.delete(SECRETS, "admin-kubeconfig", "cluster1")
    await ensure_kubeconfig(running.kube, running.cluster, make_identity(now()), now())
    with pytest.raises(GuestUnhealthy, match="not who it should be"):
        await check_healthy(running.kube, running.cluster, now(), timeout=0)


async def test_without_its_binding_the_pool_has_no_rights_in_the_guest(running: Bench) -> None:
    async with running.guest() as guest:
        await guest.delete(CLUSTER_ROLE_BINDINGS, "kubeadm:cluster-admins")
    with pytest.raises(GuestUnhealthy, match="cannot get"):
        await check_healthy(running.kube, running.cluster, now(), timeout=0)


async def test_a_cluster_without_its_service_or_secret_is_no_outage(running: Bench) -> None:
    await running.kube.delete(SERVICES, "cp", "cluster1")
    with pytest.raises(NotFound):
        async with connect_guest(running.kube, running.cluster):
            pass


async def test_the_end_of_the_certificates_is_read_from_the_server(running: Bench) -> None:
    async with connect_guest(running.kube, running.cluster) as guest:
        await guest.read("/version")
        ends = guest.certificate_ends()
    assert timedelta(days=360) < ends - now() < timedelta(days=370)
