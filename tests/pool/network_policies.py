"""What a NetworkPolicy lets through, as Kubernetes' documentation says it: a small evaluator for one policy's spec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

Obj = dict[str, Any]


@dataclass(frozen=True)
class Peer:
    """The other end of a connection: an address, and the pod it belongs to, if it is one."""

    address: str
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


def lets_out(spec: Obj, peer: Peer, port: int, protocol: str = "TCP", *, own: str) -> bool:
    """Whether a pod of namespace `own` may connect to the peer."""
    return any(_matches(rule, "to", peer, port, protocol, own) for rule in spec["egress"])


def lets_in(spec: Obj, peer: Peer, port: int, protocol: str = "TCP", *, own: str) -> bool:
    """Whether the peer may connect to a pod of namespace `own`."""
    return any(_matches(rule, "from", peer, port, protocol, own) for rule in spec["ingress"])


def _matches(rule: Obj, side: str, peer: Peer, port: int, protocol: str, own: str) -> bool:
    peers, ports = rule.get(side), rule.get("ports")
    return (not peers or any(_is(one, peer, own) for one in peers)) and (
        not ports or any(_covers(one, port, protocol) for one in ports)
    )


def _covers(wanted: Obj, port: int, protocol: str) -> bool:
    first = wanted.get("port")
    if wanted.get("protocol", "TCP") != protocol:
        return False
    return first is None or first <= port <= wanted.get("endPort", first)


def _is(wanted: Obj, peer: Peer, own: str) -> bool:
    if "ipBlock" in wanted:
        address, block = ip_address(peer.address), wanted["ipBlock"]
        return address in ip_network(block["cidr"]) and not any(
            address in ip_network(one) for one in block.get("except", ())
        )
    if not peer.namespace:
        return False
    if "namespaceSelector" in wanted:
        if not _selects(wanted["namespaceSelector"], {"kubernetes.io/metadata.name": peer.namespace}):
            return False
    elif peer.namespace != own:
        return False
    return _selects(wanted.get("podSelector", {}), peer.labels)


def _selects(selector: Obj, labels: Mapping[str, str]) -> bool:
    assert not selector.get("matchExpressions"), "not evaluated here"
    return selector.get("matchLabels", {}).items() <= labels.items()
