"""What is left of an earlier cluster: a PooledCluster of the same name and pool that was lost, or deleted by force.

Its VMs may have been used by a learner, its snapshots are of disks that nobody vouches for, its CA's key may be known.
None of it is ever adopted: whoever makes the cluster asks here first, and demolishes what there is.
"""

from __future__ import annotations

from pool.kube.client import Kube, Object
from pool.kube.gather import gather
from pool.kube.resources import DATA_VOLUMES, PVCS, SECRETS, VM_RESTORES, VM_SNAPSHOTS, VMS
from pool.kubevirt.cluster import CA_SECRET, CLUSTER_UID_LABEL, KUBECONFIG_SECRET, Cluster
from pool.kubevirt.ownership import Owner, named, owner

KINDS = (VMS, DATA_VOLUMES, PVCS, VM_SNAPSHOTS, VM_RESTORES)


async def left_of_former(kube: Kube, cluster: Cluster) -> list[str]:
    """What is left of earlier clusters of this name, as "Kind namespace/name"; empty if all is this very cluster's."""
    objects = await _labelled(kube, cluster, f"{cluster.selector},{CLUSTER_UID_LABEL}!={cluster.uid}")
    # Secrets are looked up by name: the pool's identity may list none.
    found = await gather(kube.find(SECRETS, name, cluster.namespace) for name in secret_names(cluster))
    secrets = [secret for secret in found if secret is not None and owner(secret, cluster) is Owner.FORMER]
    return [named(obj) for obj in (*objects, *secrets)]


async def made_for(kube: Kube, cluster: Cluster) -> list[str]:
    """The machines and disks that were made for the cluster, or an earlier one of its name, told in the same way."""
    return [named(obj) for obj in await _labelled(kube, cluster, cluster.selector)]


def secret_names(cluster: Cluster) -> tuple[str, ...]:
    """Names of all Secrets of a cluster."""
    return (CA_SECRET, KUBECONFIG_SECRET, *(machine.cloud_init_secret for machine in cluster.machines))


async def _labelled(kube: Kube, cluster: Cluster, labels: str) -> list[Object]:
    lists = await gather(kube.list(kind, cluster.namespace, labels=labels) for kind in KINDS)
    return [obj for objects in lists for obj in objects]
