"""Namespaces and what every one of them needs: rights to clone, isolation, quotas, the golden image, our own kinds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from pool.core.crds import definitions
from pool.core.errors import AlreadyExists, NamespaceNotOurs, NotFound, VMFailed
from pool.core.settings import Settings
from pool.kube.client import Kube, Object
from pool.kube.faults import NO_SUCH_KIND
from pool.kube.gather import gather
from pool.kube.resources import (
    CRDS,
    DAEMON_SETS,
    DATA_VOLUMES,
    DEPLOYMENTS,
    JOBS,
    NAMESPACES,
    NETWORK_POLICIES,
    PODS,
    PVCS,
    RESOURCE_QUOTAS,
    ROLE_BINDINGS,
    ROLES,
    SERVICES,
    STATEFUL_SETS,
    VMS,
    Resource,
)
from pool.kube.watching import Watching
from pool.kubevirt.cluster import CLUSTER_LABEL, POOL_LABEL, Cluster
from pool.kubevirt.manifests import GOLDEN_IMAGE, golden_image

PART_OF = {"app.kubernetes.io/part-of": "cks-pool"}
CLONE_ROLE = "cks-pool-clone-golden-image"
SERVICE_ACCOUNT = "cks-pool"
CLUSTER_ROLE = "cks-pool-cluster"
"""What the pool may do inside a cluster's namespace: `deployments/rbac`."""

WORKLOADS: tuple[Resource, ...] = (PODS, VMS, DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS, JOBS, PVCS, SERVICES)
"""What makes a namespace somebody's; what Kubernetes puts into each one (a ServiceAccount, a ConfigMap) does not."""

PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16")
"""Where the host, its pods and its metadata services are; a learner who is root in a VM has no business there."""


async def ensure_pool_namespace(kube: Kube, settings: Settings) -> None:
    """The namespace of the pool's own resources; an existing one is adopted."""
    await _ensure_namespace(kube, settings.namespace, PART_OF)


async def ensure_crds(kube: Kube, watching: Watching, *, timeout: float = 30.0) -> None:
    """Our kinds, at the version of this code, and served. Raises WaitTimeout."""

    async def ensure(crd: Object) -> None:
        # Forced: whoever applied an older version, with kubectl perhaps, meant these fields.
        await kube.apply(CRDS, crd, force=True)
        name = crd["metadata"]["name"]
        await watching.until(CRDS, name, None, _established, timeout=timeout, what=f"CRD {name} to be served")

    await gather(ensure(crd) for crd in definitions())


async def ensure_templates_namespace(kube: Kube, settings: Settings) -> None:
    """The golden image's namespace, and the Role that lets its disk be cloned; what exists is adopted."""
    namespace = settings.templates_namespace
    await _ensure_namespace(kube, namespace, PART_OF)
    rules = [{"apiGroups": ["cdi.kubevirt.io"], "resources": ["datavolumes/source"], "verbs": ["create"]}]
    await kube.apply(ROLES, ROLES.manifest(CLONE_ROLE, namespace, labels=PART_OF, rules=rules), force=True)


async def check_cluster_namespaces(kube: Kube, clusters: Sequence[Cluster]) -> None:
    """Raise NamespaceNotOurs if any of the namespaces is somebody else's. Changes nothing.

    Ask this of all clusters before making any: so a pool is not made by half.
    """
    await gather(_check(kube, cluster) for cluster in clusters)


async def ensure_cluster_namespace(kube: Kube, cluster: Cluster, settings: Settings) -> None:
    """A cluster's namespace with all it needs before VMs come; an existing one of ours, or an empty one, is adopted.

    Raises NamespaceNotOurs, before anything was changed.
    """
    await _check(kube, cluster)
    await _ensure_namespace(kube, cluster.namespace, {POOL_LABEL: "true"} | cluster.labels)
    wanted = (
        (ROLE_BINDINGS, clone_binding(cluster, settings)),
        (ROLE_BINDINGS, pool_binding(cluster, settings)),
        (NETWORK_POLICIES, isolation(cluster, settings)),
        (RESOURCE_QUOTAS, quota(cluster, settings)),
    )
    await gather(kube.apply(resource, obj, force=True) for resource, obj in wanted)


async def ensure_golden_image(kube: Kube, watching: Watching, settings: Settings) -> None:
    """The disk that all clusters are cloned from, imported. An existing PVC of that name is taken as it is.

    Raises VMFailed when the import failed, WaitTimeout when it takes too long.
    """
    namespace = settings.templates_namespace
    if await kube.find(DATA_VOLUMES, GOLDEN_IMAGE, namespace) is None:
        if await kube.find(PVCS, GOLDEN_IMAGE, namespace) is not None:
            return
        with suppress(AlreadyExists):
            await kube.create(DATA_VOLUMES, golden_image(settings))
    what = f"golden image {namespace}/{GOLDEN_IMAGE} to be imported"
    await watching.until(DATA_VOLUMES, GOLDEN_IMAGE, namespace, _imported, timeout=settings.import_timeout, what=what)


async def delete_cluster_namespace(kube: Kube, watching: Watching, cluster: Cluster, *, timeout: float) -> None:
    """Remove a cluster's namespace and everything in it, if it is labelled ours, and its right to clone.

    Raises NamespaceNotOurs when it is not labelled ours, WaitTimeout.
    """
    found = await kube.find(NAMESPACES, cluster.namespace)
    if found is None:
        return
    if not _labelled(found, cluster):
        raise NamespaceNotOurs(cluster.namespace, f"labels {found['metadata'].get('labels')}")
    uid = found["metadata"]["uid"]
    await kube.delete(NAMESPACES, cluster.namespace, uid=uid)
    await watching.until(
        NAMESPACES,
        cluster.namespace,
        None,
        lambda seen: True if seen is None or seen["metadata"]["uid"] != uid else None,
        timeout=timeout,
        what=f"namespace {cluster.namespace} to be deleted",
    )


async def remove_clone_binding(kube: Kube, cluster: Cluster, settings: Settings) -> None:
    """Take a cluster's right to clone the golden image back."""
    await kube.delete(ROLE_BINDINGS, f"clone-{cluster.namespace}", settings.templates_namespace)


def clone_binding(cluster: Cluster, settings: Settings) -> Object:
    """RoleBinding that lets a cluster's namespace clone the golden image.

    KubeVirt checks the right of the namespace's `default` ServiceAccount, whoever made the VM.
    """
    subject = {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "Group",
        "name": f"system:serviceaccounts:{cluster.namespace}",
    }
    return _binding(f"clone-{cluster.namespace}", settings.templates_namespace, "Role", CLONE_ROLE, subject, cluster)


def pool_binding(cluster: Cluster, settings: Settings) -> Object:
    """RoleBinding that lets the pool's ServiceAccount work in a cluster's namespace, and only there."""
    subject = {"kind": "ServiceAccount", "name": SERVICE_ACCOUNT, "namespace": settings.namespace}
    return _binding("cks-pool", cluster.namespace, "ClusterRole", CLUSTER_ROLE, subject, cluster)


def isolation(cluster: Cluster, settings: Settings) -> Object:
    """NetworkPolicy: in from the own namespace, the pool's, and that of the golden image (CDI copies disks from there
    over the network where the storage cannot clone); out to the own one, DNS wherever it is, and the internet.
    """

    def namespace(name: str) -> Object:
        return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}

    own: Object = {"podSelector": {}}
    dns = {"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]}
    internet = {"ipBlock": {"cidr": "0.0.0.0/0", "except": list(PRIVATE)}}
    spec = {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [own, namespace(settings.namespace), namespace(settings.templates_namespace)]}],
        "egress": [{"to": [own, internet]}, dns],
    }
    return NETWORK_POLICIES.manifest("cks-pool-isolation", cluster.namespace, labels=cluster.labels, spec=spec)


def quota(cluster: Cluster, settings: Settings) -> Object:
    """ResourceQuota with room for both disks twice, and the file system overhead that CDI adds to each.

    KubeVirt: during a restore the old and the new disk of a VM exist side by side.
    """
    hard = {"requests.storage": times(settings.disk_size, 5), "persistentvolumeclaims": "8"}
    return RESOURCE_QUOTAS.manifest("cks-pool-disks", cluster.namespace, labels=cluster.labels, spec={"hard": hard})


def times(quantity: str, factor: int) -> str:
    """A Kubernetes quantity multiplied: times("20Gi", 5) is "100Gi"."""
    found = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", quantity)
    if found is None:
        raise ValueError(f"{quantity!r} is no quantity")
    return f"{float(found[1]) * factor:g}{found[2]}"


async def _ensure_namespace(kube: Kube, name: str, labels: dict[str, str]) -> None:
    try:
        await kube.create(NAMESPACES, NAMESPACES.manifest(name, labels=labels))
    except AlreadyExists:
        await kube.patch(NAMESPACES, name, {"metadata": {"labels": labels}})


async def _check(kube: Kube, cluster: Cluster) -> None:
    found = await kube.find(NAMESPACES, cluster.namespace)
    if found is None or _labelled(found, cluster):
        return
    owner = (found["metadata"].get("labels") or {}).get(CLUSTER_LABEL)
    if owner:
        raise NamespaceNotOurs(cluster.namespace, f"the namespace of cluster {owner}")
    if found["metadata"].get("deletionTimestamp"):
        raise NamespaceNotOurs(cluster.namespace, "a namespace that is being deleted")
    lists = await gather(_list_installed(kube, resource, cluster.namespace) for resource in WORKLOADS)
    workloads = {
        resource.kind: [obj["metadata"]["name"] for obj in objects]
        for resource, objects in zip(WORKLOADS, lists, strict=True)
    }
    if cluster.namespace == "default":
        workloads["Service"] = [name for name in workloads["Service"] if name != "kubernetes"]
    words = [f"{kind} {', '.join(sorted(names)[:3])}" for kind, names in workloads.items() if names]
    if words:
        raise NamespaceNotOurs(cluster.namespace, "; ".join(words))


async def _list_installed(kube: Kube, resource: Resource, namespace: str) -> list[Object]:
    try:
        return await kube.list(resource, namespace)
    except NotFound as error:
        if error.reason != NO_SUCH_KIND:
            raise
        return []  # a kind that the cluster does not have has no objects in it


def _labelled(namespace: Object, cluster: Cluster) -> bool:
    labels: dict[str, Any] = namespace["metadata"].get("labels") or {}
    return labels.get(POOL_LABEL) == "true" and labels.get(CLUSTER_LABEL) == cluster.id


def _binding(name: str, namespace: str, kind: str, role: str, subject: Object, cluster: Cluster) -> Object:
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role}
    return ROLE_BINDINGS.manifest(name, namespace, labels=cluster.labels, roleRef=reference, subjects=[subject])


def _established(crd: Object | None) -> bool | None:
    conditions = ((crd or {}).get("status") or {}).get("conditions") or []
    return True if any(c["type"] == "Established" and c["status"] == "True" for c in conditions) else None


def _imported(volume: Object | None) -> bool | None:
    phase = ((volume or {}).get("status") or {}).get("phase")
    if phase == "Failed":
        raise VMFailed(
            f"golden image {GOLDEN_IMAGE}",
            reason="ImportFailed",
            expected="phase Succeeded",
            actual="Failed",
            cure="check CKS_POOL_GOLDEN_IMAGE, delete the DataVolume and run create-namespaces again",
        )
    return True if phase == "Succeeded" else None
