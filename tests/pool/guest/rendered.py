"""The rendered cloud-init of both roles, as files to read: `python -m tests.pool.guest.rendered` writes them anew.

Secrets are made for the moment, and stand in the files by name.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from pool.core.pools import Network
from pool.guest import pki
from pool.guest.cloudinit import user_data
from pool.guest.identity import Identity, make_identity
from pool.kubevirt.cluster import Role
from tests.pool import builders

FOLDER = Path(__file__).with_name("rendered")
PEER = "10.96.7.7:51820"
KINDS = [(role, network) for network in Network for role in Role]


@cache
def placeholder_identity() -> Identity:
    """An identity of the moment."""
    return make_identity(datetime(2026, 3, 1, 12, 0, tzinfo=UTC))


def path(role: Role, network: Network) -> Path:
    return FOLDER / f"{role}-{network}.yaml"


def text(role: Role, network: Network) -> str:
    """The user data of a cluster's VM, with names for secrets."""
    cluster = builders.member()
    machine = cluster.control_plane if role is Role.CONTROL_PLANE else cluster.worker
    identity = placeholder_identity()
    made = user_data(cluster, machine, identity, PEER, builders.pool(network=network))
    ca = identity.ca
    secrets = {
        ca.certificate.decode().rstrip("\n").replace("\n", "\n      "): "(the CA's certificate)",
        ca.key.decode().rstrip("\n").replace("\n", "\n      "): "(the CA's key)",
        pki.discovery_hash(ca.certificate): "(hash of the CA's public key)",
        identity.bootstrap_token: "(bootstrap token)",
    }
    for of, key in identity.wireguard.items():
        secrets |= {key: f"(the {of}'s private key)", pki.wireguard_public(key): f"(the {of}'s public key)"}
    for secret, name in secrets.items():
        made = made.replace(secret, name)
    return made


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for kind in KINDS:
        path(*kind).write_text(text(*kind))
