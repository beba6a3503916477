"""A cluster's Services: the guest's API server, and the way of each VM to the other."""

from __future__ import annotations

from pool.core.errors import AlreadyExists
from pool.kube.client import Kube, Object
from pool.kube.gather import gather
from pool.kube.resources import SERVICES
from pool.kubevirt.cluster import API_PORT, WIREGUARD_PORT, Cluster, Machine
from pool.kubevirt.ownership import Owner, owner, removable


async def ensure_services(kube: Kube, cluster: Cluster) -> dict[str, Object]:
    """The cluster's three Services, by name; their addresses stay the same as long as they exist.

    Raises NotOurs.
    """
    found = await gather(_ensure_service(kube, cluster, wanted) for wanted in services(cluster))
    return {service["metadata"]["name"]: service for service in found}


def services(cluster: Cluster) -> list[Object]:
    """The API server's Service and one for each VM's WireGuard port.

    Not-ready addresses are published: the VMs find each other while they boot.
    """

    def service(name: str, machine: Machine, protocol: str, port: int) -> Object:
        ports = [{"name": protocol.lower(), "protocol": protocol, "port": port, "targetPort": port}]
        spec = {"selector": machine.selector, "ports": ports, "publishNotReadyAddresses": True}
        return SERVICES.manifest(name, cluster.namespace, labels=cluster.labels, spec=spec)

    return [
        service("cp", cluster.control_plane, "TCP", API_PORT),
        *(service(one.wireguard_service, one, "UDP", WIREGUARD_PORT) for one in cluster.machines),
    ]


async def _ensure_service(kube: Kube, cluster: Cluster, wanted: Object) -> Object:
    meta = wanted["metadata"]
    found = await kube.find(SERVICES, meta["name"], meta["namespace"])
    if found is None:
        try:
            return await kube.create(SERVICES, wanted)
        except AlreadyExists:
            found = await kube.get(SERVICES, meta["name"], meta["namespace"])
    removable(found, cluster)
    # A Service of an earlier cluster of this name holds nothing but its address, and that may be kept.
    same = found["spec"].get("selector") == wanted["spec"]["selector"] and owner(found, cluster) is Owner.CLUSTER
    if not same:
        change = {"metadata": {"uid": found["metadata"]["uid"], "labels": meta["labels"]}, "spec": wanted["spec"]}
        return await kube.patch(SERVICES, meta["name"], change, meta["namespace"])
    return found
