"""Whether a namespace may be a cluster's: asked of all of them before anything is made in any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pool.core.clusters import POOL_UID_LABEL
from pool.core.errors import Forbidden, NamespaceNotOurs, NotFound
from pool.core.pools import Pool
from pool.core.settings import Settings
from pool.kube.client import Kube, Object
from pool.kube.faults import NO_SUCH_KIND
from pool.kube.gather import gather
from pool.kube.resources import (
    CONFIG_MAPS,
    CRON_JOBS,
    DAEMON_SETS,
    DATA_VOLUMES,
    DEPLOYMENTS,
    INGRESSES,
    JOBS,
    LEASES,
    LIMIT_RANGES,
    NAMESPACES,
    NETWORK_POLICIES,
    PODS,
    POOLED_CLUSTERS,
    POOLS,
    PVCS,
    REPLICA_SETS,
    RESOURCE_QUOTAS,
    ROLE_BINDINGS,
    ROLES,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    SESSIONS,
    STATEFUL_SETS,
    VM_RESTORES,
    VM_SNAPSHOTS,
    VMIS,
    VMS,
    VOLUME_SNAPSHOTS,
    Resource,
)
from pool.kubevirt.cluster import CLUSTER_LABEL, Cluster
from pool.kubevirt.ownership import labels_of, whose

TELLING: tuple[Resource, ...] = (
    *(PODS, DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS, DAEMON_SETS, JOBS, CRON_JOBS, SERVICES, INGRESSES),
    *(PVCS, DATA_VOLUMES, VMS, VMIS, VM_SNAPSHOTS, VM_RESTORES, VOLUME_SNAPSHOTS),
    *(SECRETS, CONFIG_MAPS, SERVICE_ACCOUNTS, ROLES, ROLE_BINDINGS, LEASES),
    *(NETWORK_POLICIES, RESOURCE_QUOTAS, LIMIT_RANGES, POOLS, POOLED_CLUSTERS, SESSIONS),
)
"""Kinds of which a single object makes a namespace somebody's."""

GIVEN: dict[str, frozenset[str]] = {
    "ServiceAccount": frozenset({"default", "builder", "deployer"}),
    "ConfigMap": frozenset({"kube-root-ca.crt", "openshift-service-ca.crt"}),
    "RoleBinding": frozenset({"system:deployers", "system:image-builders", "system:image-pullers"}),
}
"""What Kubernetes, or OpenShift, puts into every namespace."""
GIVEN_SECRETS = ("kubernetes.io/service-account-token", "kubernetes.io/dockercfg")
"""Types of the Secrets that come with those ServiceAccounts."""


@dataclass(frozen=True)
class Wanted:
    """A namespace that is to be a cluster's."""

    name: str
    cluster_id: str
    pool_uid: str

    @classmethod
    def by(cls, cluster: Cluster) -> Wanted:
        """That of the cluster."""
        return cls(cluster.namespace, cluster.id, cluster.pool_uid)


async def check_cluster_namespaces(kube: Kube, pool: Pool, names: Sequence[str], settings: Settings) -> None:
    """Raise NamespaceNotOurs if a namespace for a cluster of one of these names is somebody else's. Changes nothing.

    Ask this of all clusters before making any: so a pool is not made by half.
    """
    await gather(checked(kube, Wanted(name, name, pool.metadata.uid), settings) for name in names)


async def checked(kube: Kube, wanted: Wanted, settings: Settings) -> Object | None:
    """The namespace as it is, ours or empty; None if there is none. Raises NamespaceNotOurs."""
    reserved = _reserved(wanted.name, settings)
    if reserved:
        raise NamespaceNotOurs(wanted.name, reserved, cure="choose another spec.clusterPrefix for the Pool")
    found = await kube.find(NAMESPACES, wanted.name)
    if found is None or is_of(found, wanted):
        return found
    if POOL_UID_LABEL in labels_of(found) or CLUSTER_LABEL in labels_of(found):
        raise NamespaceNotOurs(wanted.name, f"the namespace of {whose(found)}")
    if found["metadata"].get("deletionTimestamp"):
        raise NamespaceNotOurs(wanted.name, "a namespace that is being deleted", cure="wait until it is gone")
    words = await contents(kube, wanted.name)
    if words:
        raise NamespaceNotOurs(wanted.name, words)
    return found


def is_of(namespace: Object, wanted: Wanted) -> bool:
    """Whether the namespace was made for the cluster, or an earlier one of its name and pool."""
    labels = labels_of(namespace)
    return labels.get(POOL_UID_LABEL) == wanted.pool_uid and labels.get(CLUSTER_LABEL) == wanted.cluster_id


async def contents(kube: Kube, namespace: str) -> str:
    """What is in the namespace beyond what Kubernetes puts into each one, in words; empty if it is.

    What may not be looked at counts too: the pool's own identity may list no Secrets, and then only what it made
    itself is sure to be nobody's.
    """
    seen = await gather(_listed(kube, resource, namespace) for resource in TELLING)
    words = [f"{kind} {', '.join(sorted(names)[:3])}" for kind, names in seen if names]
    if words:
        return "; ".join(words)
    hidden = [kind for kind, names in seen if names is None]
    return f"{', '.join(hidden)}, perhaps: listing them is forbidden" if hidden else ""


async def _listed(kube: Kube, resource: Resource, namespace: str) -> tuple[str, list[str] | None]:
    """Kind and names of the objects that somebody made; None if they may not be listed."""
    try:
        found = await kube.list(resource, namespace)
    except Forbidden:
        return resource.kind, None
    except NotFound as error:
        if error.reason != NO_SUCH_KIND:
            raise
        return resource.kind, []  # a kind that the cluster does not have has no objects in it
    return resource.kind, [one["metadata"]["name"] for one in found if not _given(resource, one)]


def _given(resource: Resource, obj: Object) -> bool:
    if resource is SECRETS:
        return obj.get("type") in GIVEN_SECRETS
    return obj["metadata"]["name"] in GIVEN.get(resource.kind, ())


def _reserved(name: str, settings: Settings) -> str:
    """Why no cluster may ever have this namespace, else empty."""
    if name == settings.namespace:
        return "the namespace of the Pools themselves"
    if name == settings.templates_namespace:
        return "the namespace of the golden images"
    return "a namespace of Kubernetes' own" if name == "default" or name.startswith("kube-") else ""
