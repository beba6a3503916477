"""What is put into a cluster's namespace, and beside the golden image for it, before VMs come."""

from __future__ import annotations

from pool.core.clusters import POOL_NAMESPACE_LABEL
from pool.core.pools import Pool
from pool.core.quantities import times
from pool.core.settings import Settings
from pool.kube.client import Object
from pool.kube.resources import RESOURCE_QUOTAS, ROLE_BINDINGS
from pool.kubevirt.cluster import Cluster

CLONE_ROLE = "cks-pool-clone-golden-image"
INSIDE = {"cks-pool": "cks-pool-cluster", "cks-pool-gateway": "cks-pool-access"}
"""ServiceAccounts of the pool, and the ClusterRole that each has inside a cluster's namespace: `deployments/rbac`."""


def guarded_labels(cluster: Cluster, settings: Settings) -> dict[str, str]:
    """On what the admission policies (`deployments/rbac`) let the worker change: the cluster's labels, and where its
    Pool is.
    """
    return cluster.labels | {POOL_NAMESPACE_LABEL: settings.namespace}


def clone_binding_name(cluster: Cluster) -> str:
    """Name of the RoleBinding in the templates' namespace that lets the cluster's namespace clone."""
    return f"clone-{cluster.namespace}"


def clone_binding(cluster: Cluster, settings: Settings) -> Object:
    """RoleBinding that lets a cluster's namespace clone the golden image.

    KubeVirt checks the right of the namespace's `default` ServiceAccount, whoever made the VM.
    """
    subject = {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "Group",
        "name": f"system:serviceaccounts:{cluster.namespace}",
    }
    labels = guarded_labels(cluster, settings)
    return _binding(clone_binding_name(cluster), settings.templates_namespace, "Role", CLONE_ROLE, subject, labels)


def pool_bindings(cluster: Cluster, settings: Settings) -> list[Object]:
    """RoleBindings that let the pool's ServiceAccounts do their part in a cluster's namespace, and only there."""
    labels = guarded_labels(cluster, settings)

    def binding(account: str, role: str) -> Object:
        subject = {"kind": "ServiceAccount", "name": account, "namespace": settings.namespace}
        return _binding(account, cluster.namespace, "ClusterRole", role, subject, labels)

    return [binding(account, role) for account, role in INSIDE.items()]


def quota(cluster: Cluster, pool: Pool) -> Object:
    """ResourceQuota with room for what a reset needs at most: each VM's old disk and its new one, side by side.

    What an aborted reset left is removed before the next one restores anything. A quarter is added for CDI's file
    system overhead (6% unless set otherwise) and for storage that rounds sizes up; claims are not short.
    """
    disks = 2 * len(cluster.machines)
    hard = {
        "requests.storage": times(pool.spec.machines.disk, disks + disks // 4),
        "persistentvolumeclaims": str(2 * disks),
    }
    return RESOURCE_QUOTAS.manifest("cks-pool-disks", cluster.namespace, labels=cluster.labels, spec={"hard": hard})


def _binding(name: str, namespace: str, kind: str, role: str, subject: Object, labels: dict[str, str]) -> Object:
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role}
    return ROLE_BINDINGS.manifest(name, namespace, labels=labels, roleRef=reference, subjects=[subject])
