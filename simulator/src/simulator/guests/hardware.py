"""What a guest is given from outside: its identity, its network, its cloud-init data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network

MASQUERADE_CIDR = "10.0.2.0/24"
"""KubeVirt's default for `vmNetworkCIDR`."""


@dataclass(frozen=True)
class Hardware:
    """A virtual machine instance as its guest meets it.

    `address` is the pod's; `labels` are the pod's, by which Services find it; `mac_address` is the pod's unless the VM
    has one of its own; `network_cidr` is that behind the NAT of a masquerade interface, empty without one;
    `config_drive`: cloud-init's data is on a ConfigDrive instead of NoCloud.
    """

    namespace: str
    name: str
    uid: str
    address: str
    labels: Mapping[str, str]
    firmware_uuid: str
    userdata: str
    networkdata: str
    mac_address: str
    network_cidr: str
    config_drive: bool = False

    @property
    def own_address(self) -> str:
        """The address of the first interface as the guest sees it: behind a NAT that of the network's second host."""
        return str(ip_network(self.network_cidr, strict=False)[2]) if self.network_cidr else self.address

    @property
    def instance_id(self) -> str:
        """By which cloud-init tells a first boot. (KubeVirt: pkg/cloud-init.)"""
        return f"{self.name}.{self.namespace}" if self.config_drive else self.firmware_uuid
