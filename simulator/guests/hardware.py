"""What a guest is given from outside: its identity, its network, its cloud-init data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from simulator.guests.network import MASQUERADE_ADDRESS


@dataclass(frozen=True)
class Hardware:
    """A virtual machine instance as its guest meets it.

    `address` is the pod's; `labels` are the pod's, by which Services find it; `mac_address` is empty when each
    start makes one up.
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
    masquerade: bool

    @property
    def own_address(self) -> str:
        """The address of the first interface as the guest sees it."""
        return MASQUERADE_ADDRESS if self.masquerade else self.address
