"""Making a cluster: its namespace, identity, Services and both VMs at once, until the guest inside is healthy.

Every step is an *ensure*: it creates what is missing and adopts what is there, so whoever runs it after an
interruption carries on. Nothing is ever made twice with different secrets.
"""

from __future__ import annotations

from pool.core.clusters import ClonedImage, ClusterCondition, ConditionType, OperationKind
from pool.core.pools import Pool
from pool.core.resource import ConditionStatus
from pool.guest.addons import read_addons
from pool.guest.booting import FirstBoots
from pool.guest.boots import boots_of
from pool.guest.cloudinit import ensure_cloud_init
from pool.guest.health import NodeHealth, wait_healthy
from pool.guest.identity import ensure_identity
from pool.guest.kubeconfig import ensure_kubeconfig
from pool.kube.gather import gather
from pool.kubevirt.clones import slow_clones
from pool.kubevirt.cluster import WIREGUARD_PORT, Machine
from pool.kubevirt.machines import ensure_vm, start, wait_running
from pool.work import namespaces
from pool.work.attempts import attempt
from pool.work.demolition import clear_former
from pool.work.images import ensure_cluster_image
from pool.work.services import ensure_services
from pool.work.steps import Host, Job, step

Nodes = tuple[NodeHealth, ...]


async def bootstrap(host: Host, cluster_id: str, *, run_id: str, unless_cordoned: bool = False) -> Nodes:
    """Make a new cluster, with all its attempts: it is healthy at the end, without golden snapshots.

    Raises what the last attempt failed of, or why the cluster is not to be made.
    """
    return await attempt(host, cluster_id, OperationKind.BOOTSTRAP, run_id, steps, unless_cordoned=unless_cordoned)


async def steps(job: Job) -> Nodes:
    """From nothing, or from what an interrupted run left, to a healthy cluster."""
    control_plane, worker = job.cluster.machines
    await check_addons(job)
    await job.operation.update(control_plane_vm=control_plane.name, worker_node_vm=worker.name)
    await ensure_namespace(job)
    await clear_former(job)
    image = await ensure_image(job)
    # Recorded before it is cloned: so nobody removes it meanwhile.
    await job.operation.update(image=image)
    await ensure_machines(job, image)
    await wait_machines(job)
    nodes = await wait_guest(job)
    await note(job, ConditionType.GUEST_HEALTHY, ", ".join(f"{node.name} Ready" for node in nodes))
    await note(job, ConditionType.VMS_READY, "both VMs run")
    return nodes


@step
async def check_addons(job: Job) -> None:
    """The Pool's add-ons can be used, before anything is made. Raises AddonsUnusable."""
    await read_addons(job.kube, await job.pool())


@step
async def ensure_namespace(job: Job) -> None:
    """The cluster's namespace with all it needs before VMs come. Raises NamespaceNotOurs."""
    pool = await job.pool()
    await namespaces.ensure_cluster_namespace(job.kube, job.watching, job.cluster, pool, job.settings)


@step
async def ensure_image(job: Job) -> ClonedImage:
    """The image that the cluster's VMs are cloned from, imported. Raises VMFailed (reason ImportFailed)."""
    return await ensure_cluster_image(job.kube, job.watching, job.cluster, await job.pool(), job.settings)


@step
async def ensure_machines(job: Job, image: ClonedImage) -> None:
    """The cluster's secrets and Services, and both VMs, made at once and told to run."""
    pool = await job.pool()
    await ensure_secrets(job, pool)
    await ensure_vms(job, pool, image)


@step
async def wait_machines(job: Job) -> None:
    """Wait until both VMs run. Warns of storage that will be slow each time.

    Raises VMFailed naming the reason, or WaitTimeout.
    """
    timeout = job.settings.provision_timeout
    await gather(wait_running(job.kube, job.watching, machine, timeout=timeout) for machine in job.cluster.machines)
    slow = await slow_clones(job.kube, job.cluster.namespace, job.cluster.id)
    cure = "let the golden image's storage class clone or snapshot for the disks' class"
    for name, why in slow.items():
        job.host.warn(f"PVC {job.cluster.namespace}/{name} was copied byte by byte: {why}; {cure}")


@step
async def wait_guest(job: Job) -> Nodes:
    """Wait until the guest of VMs at their first boot is healthy. Raises GuestUnhealthy that says how far they got."""
    boots = await boots_of(job.kube, job.cluster, new=True)
    waited = FirstBoots(job.kube, job.cluster, await job.pool(), job.host.warn)
    return await waited.during(wait_healthy(job.kube, job.cluster, boots, timeout=job.settings.boot_timeout))


async def ensure_secrets(job: Job, pool: Pool) -> None:
    """The cluster's identity, the pool's kubeconfig for it, its Services, and both VMs' cloud-init data.

    Raises AddonsUnusable, GuestUnhealthy when existing VMs were made with another identity.
    """
    kube, cluster, now = job.kube, job.cluster, job.host.now()
    addons = await read_addons(kube, pool)
    identity = await ensure_identity(kube, cluster, now)
    await ensure_kubeconfig(kube, cluster, identity, now)
    # Their addresses are told to the VMs.
    found = await ensure_services(kube, cluster)
    control_plane, worker = cluster.machines
    for machine, peer in ((control_plane, worker), (worker, control_plane)):
        endpoint = f"{found[peer.wireguard_service]['spec']['clusterIP']}:{WIREGUARD_PORT}"
        await ensure_cloud_init(kube, cluster, machine, identity, endpoint, pool, addons)


async def ensure_vms(job: Job, pool: Pool, image: ClonedImage) -> None:
    """Both VMs, made at once and told to run. Raises NotOurs or FormerCluster if one of that name is another's."""

    async def ensure(machine: Machine) -> None:
        await ensure_vm(job.fence, machine, pool, image, job.settings)
        await start(job.fence, machine, grace=job.settings.golden_stop_grace)

    await gather(ensure(machine) for machine in job.cluster.machines)


async def note(job: Job, kind: ConditionType, evidence: str) -> None:
    """What was seen of the cluster, as a condition of it."""
    condition = ClusterCondition(
        type=kind,
        status=ConditionStatus.TRUE,
        reason="Bootstrapped",
        message=evidence,
        last_transition_time=job.host.now(),
    )
    await job.operation.note(condition)
