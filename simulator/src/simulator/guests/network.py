"""A guest's own network set-up, from systemd-networkd units: addresses and WireGuard links. Pure."""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

UNITS = "/etc/systemd/network/"

Section = tuple[str, dict[str, list[str]]]


@dataclass(frozen=True)
class Peer:
    """A [WireGuardPeer]."""

    public_key: str
    endpoint: str
    allowed: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]

    def routes(self, address: str) -> bool:
        """Whether traffic to `address` goes to this peer."""
        return any(ipaddress.ip_address(address) in network for network in self.allowed)


@dataclass(frozen=True)
class Network:
    """What the units say: static addresses, the WireGuard public key (empty without a link) and its peers."""

    addresses: frozenset[str]
    public_key: str
    peers: tuple[Peer, ...]


def read(files: Mapping[str, str]) -> Network:
    """The network that a disk's networkd units describe. What is malformed is not there, as in networkd."""
    addresses: set[str] = set()
    public_key = ""
    peers: list[Peer] = []
    for path, text in sorted(files.items()):
        if not path.startswith(UNITS):
            continue
        for name, values in sections(text):
            if path.endswith(".network"):
                addresses.update(value.split("/")[0] for value in values.get("Address", []))
            elif name == "WireGuard":
                public_key = public_key_of(_private_key(values, files))
            elif name == "WireGuardPeer":
                peers.append(_peer(values))
    return Network(frozenset(addresses), public_key, tuple(peers))


def sections(text: str) -> Iterator[Section]:
    """The sections of a unit file; a key given more than once has all its values."""
    current: Section | None = None
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        if line.startswith("[") and line.endswith("]"):
            if current is not None:
                yield current
            current = (line[1:-1], {})
        elif current is not None and "=" in line:
            key, value = line.split("=", 1)
            current[1].setdefault(key.strip(), []).append(value.strip())
    if current is not None:
        yield current


def public_key_of(private_key: str) -> str:
    """The WireGuard public key (base64) of a private one; empty when that is none."""
    try:
        raw = base64.b64decode(private_key, validate=True)
        key = X25519PrivateKey.from_private_bytes(raw)
    except (binascii.Error, ValueError):
        return ""
    return base64.b64encode(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def _private_key(values: Mapping[str, list[str]], files: Mapping[str, str]) -> str:
    if "PrivateKey" in values:
        return values["PrivateKey"][-1]
    return files.get(values.get("PrivateKeyFile", [""])[-1], "").strip()


def _peer(values: Mapping[str, list[str]]) -> Peer:
    allowed = []
    for value in values.get("AllowedIPs", []):
        for part in value.split(","):
            try:
                allowed.append(ipaddress.ip_network(part.strip(), strict=False))
            except ValueError:
                continue
    return Peer(values.get("PublicKey", [""])[-1], values.get("Endpoint", [""])[-1], tuple(allowed))
