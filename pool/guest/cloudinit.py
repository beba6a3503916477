"""What a VM finds at its first boot: cloud-init's user and network data, and the Secret that carries them."""

from __future__ import annotations

import base64
import hashlib

from pool.core.errors import AlreadyExists, GuestUnhealthy
from pool.core.pools import Pool
from pool.guest.addons import NO_ADDONS, Addons
from pool.guest.identity import Identity
from pool.guest.node_files import files, kubelet_units
from pool.kube.client import Kube, Object
from pool.kube.resources import SECRETS, VMS
from pool.kubevirt.cluster import Cluster, Machine
from pool.kubevirt.ownership import owned
from pool.kubevirt.templates import render

IDENTITY_ANNOTATION = "cks.io/identity"
"""On a cloud-init Secret: hash of the CA it was made with."""


def user_data(
    cluster: Cluster, machine: Machine, identity: Identity, peer_endpoint: str, pool: Pool, addons: Addons = NO_ADDONS
) -> str:
    """The `#cloud-config` of a VM. `peer_endpoint` is the other VM's WireGuard address from here, "ip:port"."""
    made = files(cluster, machine, identity, peer_endpoint, pool, addons)
    return render("user-data.yaml.j2", machine=machine, files=made, kubelet_units=kubelet_units(pool))


def network_data(machine: Machine) -> str:
    """cloud-init's network configuration, version 2: DHCP on the NIC with the VM's fixed MAC address."""
    return render("network-data.yaml.j2", machine=machine)


async def ensure_cloud_init(
    kube: Kube,
    cluster: Cluster,
    machine: Machine,
    identity: Identity,
    peer_endpoint: str,
    pool: Pool,
    addons: Addons = NO_ADDONS,
) -> None:
    """The VM's cloud-init Secret, made of this identity.

    As long as the cluster has no VM it is written anew, so that what the Pool says takes effect, for both. Then it
    stays: the guest booted with it, and cloud-init Secrets must not change between two starts (KubeVirt: they are not
    part of a snapshot). Raises GuestUnhealthy if an existing VM was made with another identity, NotOurs, FormerCluster.
    """
    wanted = secret(machine, identity, user_data(cluster, machine, identity, peer_endpoint, pool, addons))
    found = await kube.find(SECRETS, machine.cloud_init_secret, machine.namespace)
    booted = any([await kube.find(VMS, one.name, one.namespace) for one in cluster.machines])
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
            f"VM {machine.namespace}/{machine.name} is to boot with another CA than the cluster's",
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
