"""Making a cluster: its identity, Services and both VMs at once, until the guest inside is healthy.

Every step is an *ensure*: it creates what is missing and adopts what is there, so whoever runs it after an
interruption carries on. Nothing is ever made twice with different secrets.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from pool.core.clusters import ClonedImage
from pool.core.errors import AlreadyExists
from pool.core.pools import Pool
from pool.core.settings import Settings
from pool.guest.boots import boots_of
from pool.guest.cloudinit import ensure_cloud_init
from pool.guest.health import NodeHealth, wait_healthy
from pool.guest.identity import ensure_identity
from pool.guest.kubeconfig import ensure_kubeconfig
from pool.kube.client import Kube, Object
from pool.kube.gather import gather
from pool.kube.resources import DATA_VOLUMES, PVCS, SECRETS, SERVICES, VM_SNAPSHOTS, VMS
from pool.kube.watching import Watching
from pool.kubevirt.clones import slow_clones
from pool.kubevirt.cluster import (
    API_PORT,
    CA_SECRET,
    CLUSTER_LABEL,
    KUBECONFIG_SECRET,
    WIREGUARD_PORT,
    Cluster,
    Machine,
)
from pool.kubevirt.machines import delete_vm, ensure_vm, start, wait_running
from pool.kubevirt.ownership import Owner, owner, removable, remove, remove_exactly
from pool.kubevirt.restores import delete_restores, restores_of
from pool.kubevirt.snapshots import delete_snapshot
from pool.work.images import ensure_cluster_image


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


async def ensure_secrets(kube: Kube, cluster: Cluster, pool: Pool, now: datetime) -> None:
    """The cluster's identity, the pool's kubeconfig for it, and both VMs' cloud-init data.

    Needs the Services, whose addresses the VMs are told. Raises GuestUnhealthy when existing VMs were made
    with another identity.
    """
    identity = await ensure_identity(kube, cluster, now)
    await ensure_kubeconfig(kube, cluster, identity, now)
    found = await ensure_services(kube, cluster)
    control_plane, worker = cluster.machines
    for machine, peer in ((control_plane, worker), (worker, control_plane)):
        endpoint = f"{found[peer.wireguard_service]['spec']['clusterIP']}:{WIREGUARD_PORT}"
        await ensure_cloud_init(kube, cluster, machine, identity, endpoint, pool)


async def ensure_vms(kube: Kube, cluster: Cluster, pool: Pool, image: ClonedImage, settings: Settings) -> None:
    """Both VMs, made at once and told to run. Raises NotOurs or FormerCluster if one of that name is another's."""

    async def ensure(machine: Machine) -> None:
        vm = await ensure_vm(kube, machine, pool, image, settings)
        if vm["spec"].get("runStrategy") != "Always":
            await start(kube, machine)

    await gather(ensure(machine) for machine in cluster.machines)


async def wait_vms(kube: Kube, watching: Watching, cluster: Cluster, settings: Settings) -> list[str]:
    """Wait until both VMs run. Returns warnings about the storage, for people to read: what will be slow each time.

    Raises VMFailed naming the reason, or WaitTimeout.
    """
    timeout = settings.provision_timeout
    await gather(wait_running(kube, watching, machine, timeout=timeout) for machine in cluster.machines)
    slow = await slow_clones(kube, cluster.namespace, cluster.id)
    cure = "let the golden image's storage class clone or snapshot for the disks' class"
    return [f"PVC {cluster.namespace}/{name} was copied byte by byte: {why}; {cure}" for name, why in slow.items()]


async def wait_guest(kube: Kube, cluster: Cluster, settings: Settings) -> tuple[NodeHealth, ...]:
    """Wait until the guest of VMs at their first boot is healthy. Raises GuestUnhealthy."""
    boots = await boots_of(kube, cluster)
    return await wait_healthy(kube, cluster, boots, timeout=settings.boot_timeout)


async def ensure_cluster(
    kube: Kube, watching: Watching, cluster: Cluster, pool: Pool, settings: Settings, *, now: Callable[[], datetime]
) -> tuple[NodeHealth, ...]:
    """All steps: from a namespace to a healthy cluster without golden snapshots."""
    image = await ensure_cluster_image(kube, watching, cluster, pool, settings)
    await ensure_secrets(kube, cluster, pool, now())
    await ensure_vms(kube, cluster, pool, image, settings)
    await wait_vms(kube, watching, cluster, settings)
    return await wait_guest(kube, cluster, settings)


async def demolish(kube: Kube, watching: Watching, cluster: Cluster, settings: Settings) -> None:
    """Remove a cluster's VMs, snapshots, restores, disks and secrets, so that it can be made anew from the image.

    Its namespace and Services stay. A learner may have read the old CA's key, so the next cluster gets a new one.
    """
    timeout = settings.delete_timeout
    await delete_restores(kube, watching, cluster, await restores_of(kube, cluster), timeout=timeout)
    await gather(delete_vm(kube, watching, machine, timeout=timeout) for machine in cluster.machines)
    for found in await kube.list(VM_SNAPSHOTS, cluster.namespace, labels=cluster.selector):
        source = found["spec"]["source"]["name"]
        machine = next((one for one in cluster.machines if one.name == source), cluster.control_plane)
        await delete_snapshot(kube, watching, machine, found["metadata"]["name"], timeout=timeout)
    for resource in (DATA_VOLUMES, PVCS):
        for found in await kube.list(resource, cluster.namespace, labels=cluster.selector):
            await remove_exactly(kube, resource, found)
            await _gone(watching, cluster, found, timeout)
    for name in (*(machine.cloud_init_secret for machine in cluster.machines), KUBECONFIG_SECRET, CA_SECRET):
        await remove(kube, SECRETS, name, cluster)


async def exists(kube: Kube, cluster: Cluster) -> bool:
    """Whether both VMs of the cluster exist."""
    found = await gather(kube.find(VMS, one.name, one.namespace) for one in cluster.machines)
    return all(vm is not None for vm in found)


async def _gone(watching: Watching, cluster: Cluster, found: Object, timeout: float) -> None:
    resource = DATA_VOLUMES if found["kind"] == DATA_VOLUMES.kind else PVCS
    name, uid = found["metadata"]["name"], found["metadata"]["uid"]
    await watching.until(
        resource,
        name,
        cluster.namespace,
        lambda seen: True if seen is None or seen["metadata"]["uid"] != uid else None,
        timeout=timeout,
        what=f"{found['kind']} {cluster.namespace}/{name} to be deleted",
        labels=CLUSTER_LABEL,
    )


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
