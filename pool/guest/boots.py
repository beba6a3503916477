"""Boot IDs of a guest's nodes, kept where a reset does not reach: they tell a new boot from golden time."""

from __future__ import annotations

from pool.kube.client import Kube
from pool.kube.resources import NODES
from pool.kubevirt.cluster import Machine

BOOT_ANNOTATION = "cks.io/boot-id"
"""On a VM and its golden snapshot: the node's boot ID before it was stopped for the snapshot."""


async def boot_id(guest: Kube, machine: Machine) -> str:
    """The boot ID that a node reports. Raises pool.errors.NotFound if it never joined."""
    node = await guest.get(NODES, machine.name)
    return str(node["status"]["nodeInfo"]["bootID"])
