"""What Services and NetworkPolicies have to be (Kubernetes: pkg/apis/{core,networking}/validation)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Any

from simulator.api.errors import Cause, required, unsupported
from simulator.api.names import key_causes, label_causes, name_causes
from simulator.api.values import shown

Obj = dict[str, Any]
PORTS = range(1, 65536)
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")


def service(obj: Obj, old: Obj | None) -> list[Cause]:
    """What is wrong with a Service."""
    spec = obj["spec"]
    ports = spec.get("ports") or []
    causes: list[Cause] = []
    if not ports and spec.get("clusterIP") != "None" and spec["type"] != "ExternalName":
        causes.append(required("spec.ports"))
    if spec["type"] == "ExternalName" and not spec.get("externalName"):
        causes.append(required("spec.externalName"))
    for index, port in enumerate(ports):
        causes += _service_port(port, f"spec.ports[{index}]", alone=len(ports) == 1)
    causes += _twice(ports)
    causes += label_causes(spec.get("selector") or {}, "spec.selector")
    if spec.get("sessionAffinity") not in ("ClientIP", "None"):
        causes.append(unsupported("spec.sessionAffinity", spec.get("sessionAffinity"), ("ClientIP", "None")))
    if spec["type"] not in _TYPES:
        causes.append(unsupported("spec.type", spec["type"], _TYPES))
    before = (old or {}).get("spec") or {}
    if spec["type"] == before.get("type") and spec.get("clusterIP") != before.get("clusterIP"):
        causes.append(Cause("spec.clusterIP", f"Invalid value: {shown(spec.get('clusterIP'))}: field is immutable"))
    return causes


def _service_port(port: Obj, path: str, *, alone: bool) -> Iterator[Cause]:
    if port.get("name"):
        yield from name_causes(port["name"], "label", f"{path}.name")
    elif not alone:
        yield required(f"{path}.name")
    yield from port_causes(port.get("port") or 0, f"{path}.port")
    if port["protocol"] not in _PROTOCOLS:
        yield unsupported(f"{path}.protocol", port["protocol"], _PROTOCOLS)
    yield from port_causes(port.get("targetPort") or 0, f"{path}.targetPort")


def port_causes(port: int | str, path: str) -> Iterator[Cause]:
    """What is wrong with a port, be it a number or the name of a container's."""
    if isinstance(port, int):
        if port not in PORTS:
            yield Cause(path, f"Invalid value: {port}: must be between 1 and 65535, inclusive")
    elif len(port) > 15:
        yield Cause(path, f"Invalid value: {shown(port)}: must be no more than 15 characters")
    elif not _PORT_NAME.fullmatch(port):
        said = "must contain only alpha-numeric characters (a-z, 0-9), and hyphens ('-')"
        yield Cause(path, f"Invalid value: {shown(port)}: {said}")


def _twice(ports: list[Obj]) -> Iterator[Cause]:
    names: set[str] = set()
    numbers: set[tuple[str, int]] = set()
    for index, port in enumerate(ports):
        name, number = port.get("name"), (port["protocol"], port.get("port") or 0)
        if name and name in names:
            yield Cause(f"spec.ports[{index}].name", f"Duplicate value: {shown(name)}", "FieldValueDuplicate")
        if number in numbers:
            key = {"protocol": number[0], "port": number[1], "targetPort": 0}
            yield Cause(f"spec.ports[{index}]", f"Duplicate value: {shown(key)}", "FieldValueDuplicate")
        names |= {name} if name else set()
        numbers.add(number)


def network_policy(obj: Obj, _old: Obj | None) -> list[Cause]:
    """What is wrong with a NetworkPolicy."""
    spec = obj["spec"]
    causes = list(_selector(spec.get("podSelector") or {}, "spec.podSelector"))
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction) or []):
            path = f"spec.{direction}[{index}]"
            for number, port in enumerate(rule.get("ports") or []):
                causes += _policy_port(port, f"{path}.ports[{number}]")
            for number, peer in enumerate(rule.get(peers) or []):
                causes += _peer(peer, f"{path}.{peers}[{number}]")
    for index, type_ in enumerate(spec.get("policyTypes") or []):
        if type_ not in ("Ingress", "Egress"):
            causes.append(unsupported(f"spec.policyTypes[{index}]", type_, ("Egress", "Ingress")))
    return causes


def _policy_port(port: Obj, path: str) -> Iterator[Cause]:
    protocol = port.get("protocol", "TCP")
    if protocol not in _PROTOCOLS:
        yield unsupported(f"{path}.protocol", protocol, _PROTOCOLS)
    if port.get("port") is not None:
        yield from port_causes(port["port"], f"{path}.port")
    if port.get("endPort") is not None and isinstance(port.get("port"), int) and port["endPort"] < port["port"]:
        said = f"Invalid value: {port['endPort']}: must be greater than or equal to `port`"
        yield Cause(f"{path}.endPort", said)


def _peer(peer: Obj, path: str) -> Iterator[Cause]:
    block = peer.get("ipBlock")
    if block is not None and ("podSelector" in peer or "namespaceSelector" in peer):
        said = "Forbidden: may not specify both ipBlock and another peer"
        yield Cause(path, said, "FieldValueForbidden")
    if not any(field in peer for field in ("ipBlock", "podSelector", "namespaceSelector")):
        yield required(path, "must specify a peer")
    for field in ("podSelector", "namespaceSelector"):
        yield from _selector(peer.get(field) or {}, f"{path}.{field}")
    if block is not None:
        yield from _block(block, f"{path}.ipBlock")


def _block(block: Obj, path: str) -> Iterator[Cause]:
    if not block.get("cidr"):
        yield required(f"{path}.cidr")
        return
    fields = [("cidr", block["cidr"])]
    fields += [(f"except[{index}]", one) for index, one in enumerate(block.get("except") or [])]
    for field, text in fields:
        if _network(text) is None:
            said = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
            yield Cause(f"{path}.{field}", f"Invalid value: {shown(text)}: {said}")
    whole = _network(block["cidr"])
    for index, text in enumerate(block.get("except") or []):
        part = _network(text)
        if whole is not None and part is not None and not _inside(part, whole):
            said = f"must be a strict subset of `cidr` ({block['cidr']!r})".replace("'", '"')
            yield Cause(f"{path}.except[{index}]", f"Invalid value: {shown(text)}: {said}")


_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _network(text: str) -> _Network | None:
    try:
        return ipaddress.ip_network(text, strict=False) if "/" in text else None
    except ValueError:
        return None


def _inside(part: _Network, whole: _Network) -> bool:
    if isinstance(part, ipaddress.IPv4Network) and isinstance(whole, ipaddress.IPv4Network):
        return part != whole and part.subnet_of(whole)
    if isinstance(part, ipaddress.IPv6Network) and isinstance(whole, ipaddress.IPv6Network):
        return part != whole and part.subnet_of(whole)
    return False


def _selector(selector: Obj, path: str) -> Iterator[Cause]:
    yield from label_causes(selector.get("matchLabels") or {}, f"{path}.matchLabels")
    for index, one in enumerate(selector.get("matchExpressions") or []):
        at = f"{path}.matchExpressions[{index}]"
        operator, values = one.get("operator", ""), one.get("values") or []
        if operator in ("In", "NotIn") and not values:
            said = "Required value: must be specified when `operator` is 'In' or 'NotIn'"
            yield Cause(f"{at}.values", said, "FieldValueRequired")
        elif operator in ("Exists", "DoesNotExist") and values:
            said = "Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            yield Cause(f"{at}.values", said, "FieldValueForbidden")
        elif operator not in ("In", "NotIn", "Exists", "DoesNotExist"):
            yield Cause(f"{at}.operator", f"Invalid value: {shown(operator)}: not a valid selector operator")
        yield from key_causes(one.get("key") or "", f"{at}.key")
