"""Whom a cluster's VMs reach, and who reaches them, judged by evaluating the NetworkPolicy of its namespace.

| out to                                   | port           |                                                        |
|------------------------------------------|----------------|--------------------------------------------------------|
| pods of the own namespace                | any            | yes                                                    |
| the cluster's DNS                        | 53             | yes, nothing else of it                                |
| the internet, IPv4 and IPv6              | any            | yes, but no SMTP (25, 465, 587) and nobody else's DNS  |
| private, link-local, shared, multicast   | any            | no                                                     |
| a node or API server at a public address | any            | no                                                     |
| ranges that the settings close           | any            | no                                                     |
| ranges that the settings open            | any            | as the internet; nothing of the host                   |
| pods of other namespaces, wherever       | any            | no                                                     |
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from pool.core.errors import InvalidInput
from pool.core.settings import Settings, settings_from_environment
from pool.kube.client import Kube
from pool.kube.resources import ENDPOINT_SLICES, NETWORK_POLICIES, NODES
from pool.work.namespaces.isolation import host_addresses, isolation
from simulator.app import Simulator
from tests.pool.builders import member
from tests.pool.network_policies import Peer, lets_in, lets_out

CLUSTER = member()
OWN = CLUSTER.namespace
DNS = Peer("10.244.0.7", "kube-system", {"k8s-app": "kube-dns"})
OPENSHIFT_DNS = Peer("10.128.0.7", "openshift-dns", {"dns.operator.openshift.io/daemonset-dns": "default"})
INTERNET = ("8.8.8.8", "1.1.1.1", "185.199.108.153", "126.255.255.255", "223.255.255.255", "2606:4700::6810:84e5")
OF_THE_HOST = {
    "the API server's Service": "10.96.0.1",
    "a node": "192.168.1.10",
    "a node of a larger network": "172.31.255.254",
    "a pod elsewhere": "10.244.3.4",
    "a cloud's metadata": "169.254.169.254",
    "Azure's": "168.63.129.16",
    "Oracle's": "192.0.0.192",
    "Alibaba's": "100.100.100.200",
    "a carrier's or a tunnel's": "100.64.0.1",
    "a benchmark network": "198.18.0.1",
    "the node itself": "127.0.0.1",
    "this network": "0.0.0.0",
    "multicast": "224.0.0.251",
    "reserved, where some clouds have pods": "240.1.2.3",
    "broadcast": "255.255.255.255",
    "a private IPv6 network": "fd00::1",
    "link-local IPv6": "fe80::1",
    "AWS's metadata over IPv6": "fd00:ec2::254",
    "IPv6 loopback": "::1",
    "IPv4 in IPv6": "::ffff:10.0.0.1",
    "IPv4 behind NAT64": "64:ff9b::a00:1",
    "IPv4 behind 6to4": "2002:a00:1::1",
    "IPv4 behind Teredo": "2001:0:a00:1::1",
    "IPv6 multicast": "ff02::1",
}


def policy(*addresses: str, **settings: Any) -> dict[str, Any]:
    spec: dict[str, Any] = isolation(CLUSTER, Settings(**settings), addresses)["spec"]
    return spec


def out(spec: dict[str, Any], address: str, port: int = 443, protocol: str = "TCP") -> bool:
    return lets_out(spec, Peer(address), port, protocol, own=OWN)


@pytest.mark.parametrize("address", INTERNET)
def test_vms_reach_the_internet(address: str) -> None:
    spec = policy()
    assert out(spec, address, 443)
    assert out(spec, address, 443, "UDP")
    assert out(spec, address, 1)
    assert out(spec, address, 65535)


@pytest.mark.parametrize("address", INTERNET)
@pytest.mark.parametrize("port", [25, 465, 587])
def test_vms_send_no_mail(address: str, port: int) -> None:
    assert not out(policy(), address, port)
    assert out(policy(), address, port - 1)
    assert out(policy(), address, port + 1)


@pytest.mark.parametrize("protocol", ["TCP", "UDP"])
def test_vms_ask_nobody_but_the_clusters_dns_for_names(protocol: str) -> None:
    spec = policy()
    for dns, port in ((DNS, 53), (Peer("169.254.20.10"), 53), (OPENSHIFT_DNS, 5353)):
        assert lets_out(spec, dns, port, protocol, own=OWN)
        for other in {53, 80, 5353, 9153, 10250} - {port}:
            assert not lets_out(spec, dns, other, protocol, own=OWN)
    others = [Peer(address) for address in (*INTERNET, *OF_THE_HOST.values())]
    others += [Peer("10.244.0.8", "kube-system", {"k8s-app": "other"}), Peer("10.244.0.9", "x", dict(DNS.labels))]
    for other in others:
        assert not lets_out(spec, other, 53, protocol, own=OWN)


@pytest.mark.parametrize("what", OF_THE_HOST)
@pytest.mark.parametrize(
    ("port", "protocol"), [(53, "UDP"), (80, "TCP"), (6443, "TCP"), (10250, "TCP"), (30080, "TCP")]
)
def test_vms_reach_nothing_of_the_host(what: str, port: int, protocol: str) -> None:
    assert not out(policy(), OF_THE_HOST[what], port, protocol)


def test_vms_reach_no_node_or_api_server_at_a_public_address() -> None:
    hosts = ("8.8.8.8", "2606:4700::6810:84e5", "10.0.0.5")
    spec = policy(*hosts)
    assert not any(out(spec, host, port) for host in hosts for port in (443, 6443, 10250, 30080))
    assert out(spec, "8.8.8.9")
    assert out(spec, "2606:4700::6810:84e6")


def test_vms_reach_nothing_in_ranges_that_the_settings_name() -> None:
    spec = policy(host_ranges="8.8.8.0/24, 2606:4700::/32 1.1.1.1")
    assert not any(out(spec, address) for address in ("8.8.8.8", "2606:4700::6810:84e5", "1.1.1.1"))
    assert out(spec, "8.8.9.1")


OPEN = "10.20.0.0/24, 192.168.7.7 fd00:7::/64"


@pytest.mark.parametrize("address", ["10.20.0.7", "192.168.7.7", "fd00:7::7"])
def test_vms_reach_private_ranges_that_the_settings_open(address: str) -> None:
    spec = policy(open_ranges=OPEN)
    assert out(spec, address, 3128)
    assert not out(spec, address, 53)
    assert not out(spec, address, 25)
    assert not out(policy(), address, 3128)


def test_an_open_range_opens_nothing_beside_it() -> None:
    spec = policy(open_ranges=OPEN)
    assert not any(out(spec, address) for address in ("10.20.1.1", "192.168.7.8", "fd00:8::7", *OF_THE_HOST.values()))


def test_in_an_open_range_the_host_stays_closed() -> None:
    spec = policy("10.20.0.5", "10.20.0.128/25", open_ranges=OPEN)
    assert not any(out(spec, address, 6443) for address in ("10.20.0.5", "10.20.0.200"))
    assert out(spec, "10.20.0.7")
    spec = policy("192.168.7.7", open_ranges="192.168.7.7")
    assert not out(spec, "192.168.7.7", 3128)


@pytest.mark.parametrize("address", ["169.254.169.254", "168.63.129.16", "fe80::a9fe:a9fe", "fd00:ec2::254"])
def test_no_range_opens_what_tells_machines_of_a_cloud_who_they_are(address: str) -> None:
    assert not out(policy(open_ranges="0.0.0.0/0 ::/0"), address, 80)


def test_without_an_internet_vms_still_reach_what_the_settings_open() -> None:
    spec = policy(host_ranges="0.0.0.0/0 ::/0", open_ranges="10.20.0.7")
    assert out(spec, "10.20.0.7", 3128)
    assert not any(out(spec, address) for address in ("10.20.0.8", *INTERNET))


def test_without_an_internet_vms_have_their_own_namespace_and_names() -> None:
    spec = policy(host_ranges="0.0.0.0/0 ::/0")
    assert not any(out(spec, address) for address in INTERNET)
    assert lets_out(spec, Peer("10.244.1.1", OWN), 6443, own=OWN)
    assert lets_out(spec, DNS, 53, "UDP", own=OWN)


def test_dns_may_be_anywhere_that_the_settings_name() -> None:
    spec = policy(dns_ranges="10.0.0.2")
    assert out(spec, "10.0.0.2", 53, "UDP")
    assert not out(spec, "10.0.0.2", 443)
    assert not out(spec, "169.254.20.10", 53, "UDP")


def test_vms_of_a_cluster_reach_each_other_and_no_other_clusters() -> None:
    spec = policy()
    for port, protocol in ((6443, "TCP"), (51820, "UDP")):
        for check in (lets_out, lets_in):
            assert check(spec, Peer("10.244.1.1", OWN, {"kubevirt.io": "virt-launcher"}), port, protocol, own=OWN)
            assert not check(spec, Peer("10.244.1.2", "cluster2"), port, protocol, own=OWN)


def test_only_the_pool_and_the_golden_images_namespace_reach_the_vms() -> None:
    spec = policy()
    assert lets_in(spec, Peer("10.244.2.1", "cks-pool"), 6443, own=OWN)
    assert lets_in(spec, Peer("10.244.2.2", "vm-templates"), 8443, own=OWN)
    strangers = [Peer("10.244.2.3", "default"), Peer("192.168.1.10"), Peer("8.8.8.8")]
    assert not any(lets_in(spec, stranger, 6443, own=OWN) for stranger in strangers)


def test_the_policy_is_the_same_whatever_order_the_host_names_itself_in() -> None:
    assert policy("8.8.8.8", "1.1.1.1", "8.8.8.8") == policy("1.1.1.1", "8.8.8.8")


@pytest.mark.parametrize("variable", ["CKS_POOL_HOST_RANGES", "CKS_POOL_OPEN_RANGES"])
@pytest.mark.parametrize("text", ["10.0.0.0/33", "10.0.0.1/8", "nodes", "1.2.3", "::1/129"])
def test_a_range_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str, text: str) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(InvalidInput, match=variable):
        settings_from_environment()


@pytest.fixture
async def kube(api_server: Simulator) -> AsyncIterator[Kube]:
    async with Kube.connect(api_server.kubeconfig_path) as connected:
        yield connected


async def test_the_host_is_where_its_nodes_and_its_api_server_are(kube: Kube) -> None:
    addresses = [
        {"type": "Hostname", "address": "node-b"},
        {"type": "InternalIP", "address": "10.0.0.5"},
        {"type": "ExternalIP", "address": "8.8.8.8"},
        {"type": "ExternalIP", "address": "2606:4700::1"},
    ]
    await kube.create(NODES, NODES.manifest("node-b"))
    await kube.patch(NODES, "node-b", {"status": {"addresses": addresses}}, subresource="status")
    endpoints = [{"addresses": ["1.1.1.1"]}]
    slice_ = ENDPOINT_SLICES.manifest("kubernetes", "default", addressType="IPv4", endpoints=endpoints, ports=[])
    await kube.create(ENDPOINT_SLICES, slice_)
    assert await host_addresses(kube) >= {"10.0.0.5", "8.8.8.8", "2606:4700::1", "1.1.1.1"}
    assert "node-b" not in await host_addresses(kube)


async def test_vms_reach_no_pods_at_public_addresses(kube: Kube) -> None:
    await kube.create(NODES, NODES.manifest("node-c", spec={"podCIDRs": ["10.244.9.0/24", "2606:4700:9::/64"]}))
    spec = policy(*await host_addresses(kube))
    assert not out(spec, "2606:4700:9::7")
    assert out(spec, "2606:4700:9:1::7")
    assert lets_out(spec, Peer("2606:4700:9::7", OWN), 6443, own=OWN)


async def test_the_api_server_takes_the_policy(kube: Kube) -> None:
    settings = Settings(namespace="default", open_ranges="10.20.0.0/24, 192.168.7.7")
    made = isolation(CLUSTER, settings, ["8.8.8.8", "2606:4700::1", "10.20.0.5"])
    made["metadata"]["namespace"] = "default"
    found = await kube.apply(NETWORK_POLICIES, made, force=True)
    assert found["spec"] == made["spec"]
