"""Whom a cluster's VMs reach, and who reaches them: the NetworkPolicy of its namespace.

A learner is root in the VMs. He has their own namespace, the names that the host's DNS knows, the internet, and what
the settings open; he has no business with the host: its API server, kubelets, NodePorts, pods, metadata services.

It is the host's network plugin that holds him to it. One that does not know port ranges (`endPort`) lets less through.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from itertools import pairwise

from pool.core.errors import NotFound
from pool.core.ranges import Network, networks, within
from pool.core.settings import Settings
from pool.kube.client import Kube, Object
from pool.kube.gather import gather
from pool.kube.resources import ENDPOINT_SLICES, NAMESPACES, NETWORK_POLICIES, NODES
from pool.kubevirt.cluster import Cluster
from pool.work.namespaces.checks import Wanted, is_of

ISOLATION = "cks-pool-isolation"

IPV4, IPV6 = IPv4Network("0.0.0.0/0"), IPv6Network("2000::/3")
"""The internet: all of IPv4, and what is given out of IPv6; nothing private, link-local or mapped is in that."""

NO_INTERNET = networks(
    """
    10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10
    0.0.0.0/8 127.0.0.0/8 192.0.0.0/24 192.0.2.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/3
    2002::/16 2001::/32
    """
)
"""Private and shared; special by IANA's registry, of which clouds use some for pods and metadata; IPv4 in IPv6 (6to4,
Teredo)."""

METADATA = networks("169.254.0.0/16 168.63.129.16 fe80::/10 fd00:ec2::254")
"""Where clouds tell their machines who they are: link-local addresses, Azure's, AWS's over IPv6. Nothing opens them."""

NOT_OUT = {"TCP": (25, 53, 465, 587), "UDP": (53,)}
"""Closed also on the internet: a lab's VM sends no mail, and asks the cluster's DNS for names."""

DNS_PODS = (
    ("kube-system", {"k8s-app": "kube-dns"}, 53),
    ("openshift-dns", {"dns.operator.openshift.io/daemonset-dns": "default"}, 5353),
)
"""Namespace, labels and port of the pods that know the cluster's names, by distribution."""


def isolation(cluster: Cluster, settings: Settings, host: Iterable[str]) -> Object:
    """The NetworkPolicy for a cluster of a host that is at these addresses.

    In come the own namespace, the pool's (health checks), and that of the golden images (CDI copies disks from there
    over the network where the storage cannot clone). Nobody else does, the host API server's proxy included.
    """
    own: Object = {"podSelector": {}}
    never = (*METADATA, *(ip_network(address) for address in host))
    not_out = (*NO_INTERNET, *networks(settings.host_ranges), *never)
    egress = [*_out((IPV4, IPV6), not_out), *_out(networks(settings.open_ranges), never)]
    spec = {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [own, _namespace(settings.namespace), _namespace(settings.templates_namespace)]}],
        "egress": [{"to": [own]}, *_to_dns(settings), *egress],
    }
    return NETWORK_POLICIES.manifest(ISOLATION, cluster.namespace, labels=cluster.labels, spec=spec)


async def host_addresses(kube: Kube) -> set[str]:
    """Where the host's nodes, its pods and its API servers are: addresses, and ranges of them."""
    found: set[str] = set()
    for node in await kube.list(NODES):
        # Over IPv6 pods have public addresses, on some hosts.
        found |= set((node.get("spec") or {}).get("podCIDRs") or ())
        told = (node.get("status") or {}).get("addresses") or ()
        found |= {one["address"] for one in told if one["type"] in ("InternalIP", "ExternalIP")}
    servers = await kube.find(ENDPOINT_SLICES, "kubernetes", "default")
    for endpoint in (servers or {}).get("endpoints") or ():
        found |= set(endpoint["addresses"])
    return {str(ip_network(one, strict=False) if "/" in one else ip_address(one)) for one in found}


async def keep_isolated(kube: Kube, clusters: Iterable[Cluster], settings: Settings) -> None:
    """Have the policies of these clusters be what they are to be now: nodes come and go, and people edit."""
    host = await host_addresses(kube)
    await gather(_keep(kube, cluster, isolation(cluster, settings, host)) for cluster in clusters)


async def _keep(kube: Kube, cluster: Cluster, wanted: Object) -> None:
    found = await kube.find(NETWORK_POLICIES, ISOLATION, cluster.namespace)
    if found is not None and found["spec"] == wanted["spec"]:
        return
    namespace = await kube.find(NAMESPACES, cluster.namespace)
    # One that is gone, or another's, is for the cluster's rebuild to see to.
    if namespace is not None and is_of(namespace, Wanted.by(cluster)):
        with suppress(NotFound):
            await kube.apply(NETWORK_POLICIES, wanted, force=True)


def _namespace(name: str) -> Object:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def _to_dns(settings: Settings) -> list[Object]:
    def rule(to: list[Object], port: int) -> Object:
        return {"to": to, "ports": [{"protocol": protocol, "port": port} for protocol in ("UDP", "TCP")]}

    pods = [
        rule([_namespace(name) | {"podSelector": {"matchLabels": labels}}], port) for name, labels, port in DNS_PODS
    ]
    named = [{"ipBlock": {"cidr": str(one)}} for one in networks(settings.dns_ranges)]
    return [*pods, *([rule(named, 53)] if named else [])]


def _out(ranges: Iterable[Network], not_out: tuple[Network, ...]) -> list[Object]:
    """To these ranges, but for what of them is closed, on all ports that are open at all."""
    blocks = []
    for whole in ranges:
        closed = within(whole, not_out)
        if whole not in closed:
            but = {"except": [str(one) for one in closed]} if closed else {}
            blocks.append({"ipBlock": {"cidr": str(whole)} | but})
    ports = [
        {"protocol": protocol, "port": first, "endPort": last}
        for protocol, closed_ports in NOT_OUT.items()
        for first, last in _between(closed_ports)
    ]
    return [{"to": blocks, "ports": ports}] if blocks else []


def _between(closed: tuple[int, ...]) -> list[tuple[int, int]]:
    """The port ranges that leave these out."""
    edges = (0, *closed, 65536)
    return [(low + 1, high - 1) for low, high in pairwise(edges) if low + 1 < high]
