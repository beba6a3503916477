"""kubeadm's configuration as found on a disk, and what kubeadm would refuse. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

VERSIONS = ("kubeadm.k8s.io/v1beta4", "kubeadm.k8s.io/v1beta3")
TOKEN = re.compile(r"[a-z0-9]{6}\.[a-z0-9]{16}")


class Refused(ValueError):
    """kubeadm stops with this text."""


@dataclass(frozen=True)
class Init:
    """A control plane to be."""

    node: str
    advertise_address: str
    port: int
    endpoint: str
    cert_sans: tuple[str, ...]
    tokens: tuple[str, ...]
    version: str
    service_address: str
    """The first address of the service network, which is the `kubernetes` Service's."""
    repository: str
    """Where the control plane's images are."""


@dataclass(frozen=True)
class Join:
    """A worker to be."""

    node: str
    host: str
    port: int
    token: str
    ca_hashes: tuple[str, ...]
    patience: float
    """Seconds that it waits for the cluster."""


def documents(text: str) -> dict[str, dict[str, Any]]:
    """The documents of a kubeadm configuration by kind. Raises Refused."""
    try:
        loaded = [document for document in yaml.load_all(text, Loader=yaml.CSafeLoader) if document]
    except yaml.YAMLError as error:
        raise Refused(f"error unmarshaling configuration: {error}") from error
    found = {}
    for document in loaded:
        kind, version = document.get("kind", ""), document.get("apiVersion", "")
        if kind in ("InitConfiguration", "ClusterConfiguration", "JoinConfiguration") and version not in VERSIONS:
            raise Refused(f"your configuration file uses an unsupported API spec: {version!r} of {kind}")
        found[kind] = document
    return found


def read_init(text: str, hostname: str, addresses: Collection[str]) -> Init:
    """The control plane that a configuration describes, on a node with these addresses. Raises Refused."""
    found = documents(text)
    init = found.get("InitConfiguration")
    if init is None and "ClusterConfiguration" not in found:
        raise Refused("no InitConfiguration or ClusterConfiguration in the configuration file")
    init = init or {}
    cluster = found.get("ClusterConfiguration") or {}
    local = init.get("localAPIEndpoint") or {}
    address = local.get("advertiseAddress") or next(iter(sorted(addresses)))
    if address not in addresses:
        raise Refused(
            f"advertiseAddress {address} is none of this node's addresses ({', '.join(sorted(addresses))}): "
            "etcd and the API server cannot listen on it"
        )
    tokens = tuple(str(entry.get("token", "")) for entry in init.get("bootstrapTokens") or [])
    for token in tokens:
        if not TOKEN.fullmatch(token):
            raise Refused(f"bootstrap token {token[:6]}... is not of the form [a-z0-9]{{6}}.[a-z0-9]{{16}}")
    node = (init.get("nodeRegistration") or {}).get("name") or hostname
    sans = tuple(str(name) for name in (cluster.get("apiServer") or {}).get("certSANs") or [])
    return Init(
        node=node,
        advertise_address=address,
        port=int(local.get("bindPort", 6443)),
        endpoint=str(cluster.get("controlPlaneEndpoint") or ""),
        cert_sans=sans,
        tokens=tokens,
        version=str(cluster.get("kubernetesVersion") or "v1.34.1"),
        service_address=_first_address(str((cluster.get("networking") or {}).get("serviceSubnet") or "10.96.0.0/12")),
        repository=str(cluster.get("imageRepository") or "registry.k8s.io"),
    )


def _first_address(subnet: str) -> str:
    try:
        return str(ipaddress.ip_network(subnet)[1])
    except (ValueError, IndexError) as error:
        raise Refused(f"networking.serviceSubnet: couldn't parse subnet {subnet!r}") from error


def read_join(text: str, hostname: str) -> Join:
    """The worker that a configuration describes. Raises Refused."""
    join = documents(text).get("JoinConfiguration")
    if join is None:
        raise Refused("no JoinConfiguration in the configuration file")
    discovery = join.get("discovery") or {}
    bootstrap = discovery.get("bootstrapToken") or {}
    token = str(discovery.get("tlsBootstrapToken") or bootstrap.get("token") or "")
    if not TOKEN.fullmatch(str(bootstrap.get("token") or "")):
        raise Refused("discovery.bootstrapToken.token: the bootstrap token is invalid")
    hashes = tuple(str(entry) for entry in bootstrap.get("caCertHashes") or [])
    if not hashes and not bootstrap.get("unsafeSkipCAVerification"):
        raise Refused("discovery.bootstrapToken: using token-based discovery without caCertHashes is unsafe")
    host, _, port = str(bootstrap.get("apiServerEndpoint") or "").rpartition(":")
    if not host or not port.isdigit():
        raise Refused("discovery.bootstrapToken.apiServerEndpoint: must be of the form HOST:PORT")
    node = (join.get("nodeRegistration") or {}).get("name") or hostname
    patience = _seconds(str((join.get("timeouts") or {}).get("discovery") or "5m0s"))
    return Join(node, host.strip("[]"), int(port), token, hashes, patience)


def _seconds(duration: str) -> float:
    """A duration of Go: `1h2m3s`."""
    units = {"h": 3600, "m": 60, "s": 1, "ms": 0.001}
    return sum(float(value) * units[unit] for value, unit in re.findall(r"([\d.]+)(ms|[hms])", duration))


def hosts(files: Mapping[str, str]) -> dict[str, str]:
    """Names in /etc/hosts."""
    names = {}
    for line in files.get("/etc/hosts", "").splitlines():
        words = line.split("#")[0].split()
        for name in words[1:]:
            names[name] = words[0]
    return names
