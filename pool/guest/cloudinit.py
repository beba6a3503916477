"""What a VM finds at its first boot: cloud-init's user and network data, and the Secret that carries them."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from pool.core.errors import AlreadyExists, GuestUnhealthy
from pool.core.pools import Pool
from pool.guest import pki
from pool.guest.answers import BOOTS_ANNOTATION
from pool.guest.identity import Identity
from pool.kube.client import Kube, Object
from pool.kube.resources import SECRETS, VMS
from pool.kubevirt.cluster import API_PORT, WIREGUARD_PORT, Cluster, Machine, Role
from pool.kubevirt.ownership import owned
from pool.kubevirt.templates import render

IDENTITY_ANNOTATION = "cks.io/identity"
"""On a cloud-init Secret: hash of the CA it was made with."""


@dataclass(frozen=True)
class File:
    """A file that cloud-init writes: path, text, mode (octal), owner and group."""

    path: str
    content: str
    mode: str = "0644"
    owner: str = "root:root"


def user_data(cluster: Cluster, machine: Machine, identity: Identity, peer_endpoint: str, pool: Pool) -> str:
    """The `#cloud-config` of a VM. `peer_endpoint` is the other VM's WireGuard address from here, "ip:port"."""
    return render("user-data.yaml.j2", machine=machine, files=files(cluster, machine, identity, peer_endpoint, pool))


def network_data(machine: Machine) -> str:
    """cloud-init's network configuration, version 2: DHCP on the NIC with the VM's fixed MAC address."""
    return render("network-data.yaml.j2", machine=machine)


def files(cluster: Cluster, machine: Machine, identity: Identity, peer_endpoint: str, pool: Pool) -> list[File]:
    """The files of a VM, the same for the same arguments."""
    control_plane = machine.role is Role.CONTROL_PLANE
    peer = cluster.worker if control_plane else cluster.control_plane
    values = {
        "cluster": cluster,
        "machine": machine,
        "peer": peer,
        "identity": identity,
        "kubernetes_version": pool.spec.image.kubernetes_version,
        "boots_annotation": BOOTS_ANNOTATION,
        "api_port": API_PORT,
        "api_address": "127.0.0.1" if control_plane else cluster.control_plane.wireguard_address,
        "ca_hash": pki.discovery_hash(identity.ca.certificate),
        "wireguard_port": WIREGUARD_PORT,
        "private_key": identity.wireguard[machine.role],
        "peer_public_key": pki.wireguard_public(identity.wireguard[peer.role]),
        "peer_endpoint": peer_endpoint,
    }
    kubeadm = "kubeadm-init.yaml.j2" if control_plane else "kubeadm-join.yaml.j2"
    made = [
        File("/etc/cks/kubeadm.yaml", render(kubeadm, **values), "0600"),
        File("/etc/modules-load.d/cks.conf", "overlay\nbr_netfilter\nwireguard\n"),
        File("/etc/sysctl.d/90-cks.conf", render("sysctl.conf.j2")),
        # systemd-networkd runs as its own user and must read the key.
        File("/etc/systemd/network/50-wg0.netdev", render("wg0.netdev.j2", **values), "0640", "root:systemd-network"),
        File("/etc/systemd/network/50-wg0.network", render("wg0.network.j2", **values)),
        File("/etc/systemd/system/cks-boots-count.service", render("boots-count.service.j2", **values)),
        File("/etc/systemd/system/cks-boots-say.service", render("boots-say.service.j2", **values)),
        File("/usr/local/sbin/cks-boots", render("boots.sh.j2", **values), "0755"),
        File("/etc/systemd/system/cks-first-boot.service", render("first-boot.service.j2", **values)),
        File("/usr/local/sbin/cks-first-boot", render("first-boot.sh.j2", **values), "0755"),
    ]
    if control_plane:
        made += [
            File("/etc/kubernetes/pki/ca.crt", identity.ca.certificate.decode()),
            File("/etc/kubernetes/pki/ca.key", identity.ca.key.decode(), "0600"),
        ]
    return made


async def ensure_cloud_init(
    kube: Kube, cluster: Cluster, machine: Machine, identity: Identity, peer_endpoint: str, pool: Pool
) -> None:
    """The VM's cloud-init Secret, made of this identity.

    As long as there is no VM it is written anew, so that what the Pool says takes effect. Then it stays as it is:
    the guest booted with it, and cloud-init Secrets must not change between two starts (KubeVirt: they are not part of
    a snapshot). Raises GuestUnhealthy if an existing VM was made with another identity, NotOurs, FormerCluster.
    """
    wanted = secret(machine, identity, user_data(cluster, machine, identity, peer_endpoint, pool))
    found = await kube.find(SECRETS, machine.cloud_init_secret, machine.namespace)
    booted = await kube.find(VMS, machine.name, machine.namespace) is not None
    if found is None:
        try:
            await kube.create(SECRETS, wanted)
            return
        except AlreadyExists:
            found = await kube.get(SECRETS, machine.cloud_init_secret, machine.namespace)
    owned(found, cluster)
    made_with = (found["metadata"].get("annotations") or {}).get(IDENTITY_ANNOTATION)
    if booted and made_with != wanted["metadata"]["annotations"][IDENTITY_ANNOTATION]:
        raise GuestUnhealthy(
            f"VM {machine.namespace}/{machine.name} booted with another CA than the cluster's",
            expected="the identity in Secret cluster-ca",
            actual="a cloud-init Secret of another one",
            cure="rebuild the cluster",
        )
    if not booted and found.get("data") != wanted["data"]:
        wanted["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"]
        await kube.replace(SECRETS, wanted)


def secret(machine: Machine, identity: Identity, user: str) -> Object:
    """The Secret of a VM's cloud-init data (KubeVirt: keys `userdata` and `networkdata`)."""
    texts = {"userdata": user, "networkdata": network_data(machine)}
    data = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
    made = SECRETS.manifest(
        machine.cloud_init_secret, machine.namespace, labels=machine.labels, type="Opaque", data=data
    )
    made["metadata"]["annotations"] = {IDENTITY_ANNOTATION: hashlib.sha256(identity.ca.certificate).hexdigest()}
    return made
