"""The rendered cloud-init of both roles, as files to read: `python -m tests.pool.guest.rendered` writes them anew.

Secrets are made for the moment, and stand in the files by name. So does what is carried compressed.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import NamedTuple

from pool.core.pools import Network, Pool
from pool.guest import pki
from pool.guest.addons import NO_ADDONS, Addons
from pool.guest.cloudinit import user_data
from pool.guest.file import File
from pool.guest.identity import Identity, make_identity
from pool.guest.node_files import files
from pool.kubevirt.cluster import Cluster, Role
from tests.pool import builders

FOLDER = Path(__file__).with_name("rendered")
PEER = "10.96.7.7:51820"
PROXY = {"packages": {"proxy": "http://proxy.example:3128"}}
ADDONS: Addons = {
    "app.yaml": "kind: App\n",
    "prepare.sh": "#!/bin/bash\ntouch /prepared\n",
    "prepare-control-plane.sh": "#!/bin/bash\n",
}


class Kind(NamedTuple):
    """A node of a Pool with that network; `everything`: and with a proxy, add-ons and preparation."""

    role: Role
    network: Network = Network.BUILTIN
    everything: bool = False

    def __str__(self) -> str:
        return f"{self.role}-{'everything' if self.everything else self.network}"

    @property
    def pool(self) -> Pool:
        return builders.pool(network=self.network, image=PROXY if self.everything else {})

    @property
    def addons(self) -> Addons:
        return ADDONS if self.everything else NO_ADDONS

    @property
    def path(self) -> Path:
        return FOLDER / f"{self}.yaml"

    def files(self, cluster: Cluster) -> list[File]:
        machine = cluster.control_plane if self.role is Role.CONTROL_PLANE else cluster.worker
        return files(cluster, machine, placeholder_identity(), PEER, self.pool, self.addons)


KINDS = [Kind(role, network) for network in Network for role in Role]
KINDS += [Kind(role, everything=True) for role in Role]


@cache
def placeholder_identity() -> Identity:
    """An identity of the moment."""
    return make_identity(datetime(2026, 3, 1, 12, 0, tzinfo=UTC))


def text(kind: Kind) -> str:
    """The user data of a cluster's VM, with names for secrets."""
    cluster = builders.member()
    machine = cluster.control_plane if kind.role is Role.CONTROL_PLANE else cluster.worker
    identity = placeholder_identity()
    made = user_data(cluster, machine, identity, PEER, kind.pool, kind.addons)
    ca = identity.ca
    secrets = {
        ca.certificate.decode().rstrip("\n").replace("\n", "\n      "): "(the CA's certificate)",
        ca.key.decode().rstrip("\n").replace("\n", "\n      "): "(the CA's key)",
        pki.discovery_hash(ca.certificate): "(hash of the CA's public key)",
        identity.bootstrap_token: "(bootstrap token)",
    }
    for of, key in identity.wireguard.items():
        secrets |= {key: f"(the {of}'s private key)", pki.wireguard_public(key): f"(the {of}'s public key)"}
    packed = {
        file.packed: f"({file.path.rpartition('/')[2]}, compressed)" for file in kind.files(cluster) if file.packed
    }
    for secret, name in (secrets | packed).items():
        made = made.replace(secret, name)
    return made


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for kind in KINDS:
        kind.path.write_text(text(kind))
