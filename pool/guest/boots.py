"""The boots of a cluster's nodes, as far as the host knows them: they tell a new boot from golden time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from pool.core.errors import GuestUnhealthy
from pool.guest.health import Boot
from pool.guest.kubeconfig import connect_guest
from pool.kube.client import Kube, Object
from pool.kube.gather import gather
from pool.kube.resources import NODES, VMIS
from pool.kubevirt.cluster import Cluster, Machine

BOOT_ANNOTATION = "cks.io/boot-id"
"""On a VM before its golden stop, and on its golden snapshot: the boot ID that its node had on that disk."""


async def boot_ids(kube: Kube, cluster: Cluster) -> dict[str, str]:
    """Boot ID by node, as the guest reports them now. Raises NotFound for a node that never joined."""
    async with connect_guest(kube, cluster) as guest:
        nodes = await gather(guest.get(NODES, machine.name) for machine in cluster.machines)
    return {node["metadata"]["name"]: str(node["status"]["nodeInfo"]["bootID"]) for node in nodes}


async def boots_of(kube: Kube, cluster: Cluster, disks: Mapping[str, Object] | None = None) -> dict[str, Boot]:
    """The present boot of both nodes, by VM name.

    `disks` are the golden snapshots (by VM name) that their disks were restored from or snapshotted into; None for
    VMs at their first boot. Raises GuestUnhealthy if a VM does not run.
    """
    vmis = await gather(_vmi(kube, machine) for machine in cluster.machines)
    return {
        vmi["metadata"]["name"]: Boot(
            datetime.fromisoformat(vmi["metadata"]["creationTimestamp"]),
            earlier_boots(disks[vmi["metadata"]["name"]]) if disks else frozenset(),
        )
        for vmi in vmis
    }


def earlier_boots(snapshot: Object) -> frozenset[str] | None:
    """The boot ID on a golden snapshot's disk; None if it was not noted."""
    noted = (snapshot["metadata"].get("annotations") or {}).get(BOOT_ANNOTATION)
    return frozenset({noted}) if noted else None


async def _vmi(kube: Kube, machine: Machine) -> Object:
    vmi = await kube.find(VMIS, machine.name, machine.namespace)
    if vmi is None:
        raise GuestUnhealthy(
            f"VM {machine.namespace}/{machine.name}", expected="a running VM", actual="no VMI", cure="start it"
        )
    return vmi
