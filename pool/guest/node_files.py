"""The files of a node: what first boot runs, what it makes the cluster of, and the units of every later boot."""

from __future__ import annotations

from typing import Any

from pool.core.pools import Network, Pool
from pool.guest import pki
from pool.guest.addons import Addons, addon_files
from pool.guest.answers import BOOTS_ANNOTATION, FIRST_BOOT_ANNOTATION
from pool.guest.file import File
from pool.guest.identity import Identity
from pool.kubevirt.cluster import API_PORT, WIREGUARD_PORT, Cluster, Machine, Role
from pool.kubevirt.templates import render

POD_NETWORK, SERVICE_NETWORK, LINK_NETWORK = "10.60.0.0/16", "10.61.0.0/16", "10.99.0.0/30"
NO_PROXY = f"localhost,127.0.0.0/8,{POD_NETWORK},{SERVICE_NETWORK},{LINK_NETWORK},.svc,.cluster.local"
"""What nodes reach without the Pool's proxy."""
MTU = 1370
"""Of the link and of pods: WireGuard's 60 to 80 bytes and a host's own overlay fit into 1500."""

POLICIES_IMAGE = "registry.k8s.io/networking/kube-network-policies:v1.1.1"
"""As install.yaml of github.com/kubernetes-sigs/kube-network-policies names it since release v1.1.1 (ee995c5)."""
POLICIES_QUEUE = 98
"""Of nfnetlink: it judges the packets in there."""

STEPS = "/usr/local/lib/cks/first-boot.d"
UNITS = "/etc/systemd/system"


def files(
    cluster: Cluster, machine: Machine, identity: Identity, peer_endpoint: str, pool: Pool, addons: Addons
) -> list[File]:
    """The files of a VM, the same for the same arguments. `peer_endpoint`: the other VM's link from here, "ip:port"."""
    values = _values(cluster, machine, identity, peer_endpoint, pool)
    brought = addon_files(machine, addons)
    return [
        *_configuration(machine, identity, values),
        *_network(values),
        *_every_boot(values),
        *_first_boot(values, steps(pool, brought)),
        *brought,
    ]


def steps(pool: Pool, brought: list[File]) -> list[str]:
    """The steps of first boot that this VM has something to do in, in their order."""
    folders = {file.path.split("/")[3] for file in brought}
    found = ["10-kernel", "20-link", "30-clock", "40-packages", "45-images", "50-version", "60-cluster"]
    found += ["70-network"] * (pool.spec.network is Network.BUILTIN)
    found += ["80-addons"] * ("addons" in folders)
    found += ["90-prepare"] * ("prepare" in folders)
    return found


def kubelet_units(pool: Pool) -> list[str]:
    """The units that start with the kubelet, whenever it does."""
    return ["cks-certificates.service"] + ["cks-masquerade.service"] * (pool.spec.network is Network.BUILTIN)


def _values(cluster: Cluster, machine: Machine, identity: Identity, peer_endpoint: str, pool: Pool) -> dict[str, Any]:
    """What the templates are filled in with."""
    control_plane = machine.role is Role.CONTROL_PLANE
    peer = cluster.worker if control_plane else cluster.control_plane
    image = pool.spec.image
    minor = ".".join(image.kubernetes_version.split(".")[:2])
    return {
        "cluster": cluster,
        "machine": machine,
        "control_plane": control_plane,
        "peer": peer,
        "identity": identity,
        "ca_hash": pki.discovery_hash(identity.ca.certificate),
        "private_key": identity.wireguard[machine.role],
        "peer_public_key": pki.wireguard_public(identity.wireguard[peer.role]),
        "peer_endpoint": peer_endpoint,
        "wireguard_port": WIREGUARD_PORT,
        "api_port": API_PORT,
        "api_address": "127.0.0.1" if control_plane else cluster.control_plane.wireguard_address,
        "pod_network": POD_NETWORK,
        "service_network": SERVICE_NETWORK,
        "link_network": LINK_NETWORK,
        "mtu": MTU,
        "builtin": pool.spec.network is Network.BUILTIN,
        "kubernetes_version": image.kubernetes_version,
        "version": image.kubernetes_version.removeprefix("v"),
        "packages": f"{image.packages.repository}{minor}/deb/",
        "key_fingerprint": image.packages.key_fingerprint,
        "proxy": image.packages.proxy,
        "no_proxy": NO_PROXY,
        "policies_image": POLICIES_IMAGE,
        "policies_queue": POLICIES_QUEUE,
        "boots_annotation": BOOTS_ANNOTATION,
        "first_boot_annotation": FIRST_BOOT_ANNOTATION,
    }


def _configuration(machine: Machine, identity: Identity, values: dict[str, Any]) -> list[File]:
    """What the cluster is made of. The CA is not where kubeadm looks: there, `kubeadm reset` removes it."""
    kubeadm = "kubeadm-init.yaml.j2" if values["control_plane"] else "kubeadm-join.yaml.j2"
    modules = "overlay\nbr_netfilter\nwireguard\n" + ("nfnetlink_queue\nnft_queue\n" if values["builtin"] else "")
    made = [
        File("/etc/cks/kubeadm.yaml", render(kubeadm, **values), "0600"),
        File("/etc/modules-load.d/cks.conf", modules),
        File("/etc/sysctl.d/90-cks.conf", render("sysctl.conf.j2")),
    ]
    if machine.role is Role.CONTROL_PLANE:
        made += [
            File("/etc/cks/pki/ca.crt", identity.ca.certificate.decode()),
            File("/etc/cks/pki/ca.key", identity.ca.key.decode(), "0600"),
        ]
    return made


def _network(values: dict[str, Any]) -> list[File]:
    """The link between the nodes, and the built-in network plugin."""
    # systemd-networkd's user may read the key; first boot gives it the group, which not every image has.
    made = [
        File("/etc/systemd/network/50-wg0.netdev", render("wg0.netdev.j2", **values), "0640"),
        File("/etc/systemd/network/50-wg0.network", render("wg0.network.j2", **values)),
    ]
    if values["builtin"]:
        made += [
            File("/etc/cni/net.d/10-cks.conflist", render("network/10-cks.conflist.j2", **values)),
            File("/usr/local/sbin/cks-masquerade", render("network/masquerade.sh.j2", **values), "0755"),
            File(f"{UNITS}/cks-masquerade.service", render("network/masquerade.service.j2", **values)),
        ]
    if values["builtin"] and values["control_plane"]:
        made.append(File("/etc/cks/network/policies.yaml", render("network/policies.yaml.j2", **values)))
    return made


def _every_boot(values: dict[str, Any]) -> list[File]:
    return [
        File(f"{UNITS}/cks-boots-count.service", render("boots-count.service.j2", **values)),
        File(f"{UNITS}/cks-boots-say.service", render("boots-say.service.j2", **values)),
        File("/usr/local/sbin/cks-boots", render("boots.sh.j2", **values), "0755"),
        File(f"{UNITS}/cks-certificates.service", render("certificates.service.j2", **values)),
        File("/usr/local/sbin/cks-certificates", render("certificates.sh.j2", **values), "0755"),
    ]


def _first_boot(values: dict[str, Any], names: list[str]) -> list[File]:
    return [
        File(f"{UNITS}/cks-first-boot.service", render("first-boot.service.j2", **values)),
        File("/usr/local/sbin/cks-first-boot", render("first-boot.sh.j2", **values), "0755"),
        File("/usr/local/lib/cks/first-boot.sh", render("first-boot-lib.sh.j2")),
        *(File(f"{STEPS}/{name}", render(f"first-boot.d/{name}.sh.j2", **values), "0755") for name in names),
    ]
