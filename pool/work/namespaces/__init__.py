"""Namespaces and what every one of them needs: rights to clone, isolation, quotas, our own kinds; and their removal."""

from __future__ import annotations

from pool.core.crds import definitions
from pool.core.errors import AlreadyExists, NamespaceNotOurs
from pool.core.pools import Pool
from pool.core.settings import Settings
from pool.kube.client import Kube, Object
from pool.kube.gather import gather
from pool.kube.resources import CRDS, NAMESPACES, NETWORK_POLICIES, RESOURCE_QUOTAS, ROLE_BINDINGS, ROLES
from pool.kube.watching import Watching
from pool.kubevirt.cluster import Cluster
from pool.kubevirt.fence import Fence
from pool.kubevirt.former import made_for
from pool.kubevirt.ownership import Owner, labels_of, owner, removable, remove_exactly, whose
from pool.work.namespaces.checks import Wanted, checked, is_of
from pool.work.namespaces.installed import apply_when_granted, ensure_installed
from pool.work.namespaces.isolation import host_addresses, isolation
from pool.work.namespaces.manifests import (
    CLONE_ROLE,
    clone_binding,
    clone_binding_name,
    guarded_labels,
    pool_bindings,
    quota,
)

PART_OF = {"app.kubernetes.io/part-of": "cks-pool"}


async def ensure_pool_namespace(kube: Kube, settings: Settings) -> None:
    """The namespace of the pool's own resources; an existing one is adopted. Raises Forbidden."""
    await ensure_installed(kube, NAMESPACES, NAMESPACES.manifest(settings.namespace, labels=PART_OF))


async def ensure_crds(kube: Kube, watching: Watching, *, timeout: float = 30.0) -> None:
    """Our kinds, at the version of this code, and served. Raises Forbidden, WaitTimeout."""

    async def ensure(crd: Object) -> None:
        await ensure_installed(kube, CRDS, crd)
        name = crd["metadata"]["name"]
        await watching.until(CRDS, name, None, _established, timeout=timeout, what=f"CRD {name} to be served")

    await gather(ensure(crd) for crd in definitions())


async def ensure_templates_namespace(kube: Kube, settings: Settings) -> None:
    """The golden images' namespace, and the Role that lets their disks be cloned; what exists is adopted.

    Raises Forbidden.
    """
    namespace = settings.templates_namespace
    await ensure_installed(kube, NAMESPACES, NAMESPACES.manifest(namespace, labels=PART_OF))
    rules = [{"apiGroups": ["cdi.kubevirt.io"], "resources": ["datavolumes/source"], "verbs": ["create"]}]
    await ensure_installed(kube, ROLES, ROLES.manifest(CLONE_ROLE, namespace, labels=PART_OF, rules=rules))


async def ensure_cluster_namespace(
    kube: Kube, watching: Watching, cluster: Cluster, pool: Pool, settings: Settings
) -> None:
    """A cluster's namespace with all it needs before VMs come; an existing one of ours, or an empty one, is adopted.

    One of ours that is being deleted is waited for, and made anew. Raises NamespaceNotOurs or NotOurs, before anything
    was changed, and WaitTimeout.
    """
    found = await checked(kube, Wanted.by(cluster), settings)
    binding = await kube.find(ROLE_BINDINGS, clone_binding_name(cluster), settings.templates_namespace)
    if binding is not None:
        removable(binding, cluster)
    if found is not None and found["metadata"].get("deletionTimestamp"):
        await _gone(watching, found, settings.delete_timeout)
        found = None
    await _ensure_labelled(kube, found, cluster, settings)
    bindings = (clone_binding(cluster, settings), *pool_bindings(cluster, settings))
    await gather(kube.apply(ROLE_BINDINGS, one, force=True) for one in bindings)
    wanted = (
        (NETWORK_POLICIES, isolation(cluster, settings, await host_addresses(kube))),
        (RESOURCE_QUOTAS, quota(cluster, pool)),
    )
    await gather(apply_when_granted(kube, resource, obj) for resource, obj in wanted)


async def delete_cluster_namespace(kube: Kube, watching: Watching, cluster: Cluster, *, timeout: float) -> bool:
    """Remove a cluster's namespace and everything in it. Returns whether there was one.

    One that is not the cluster's is left alone: a removal must come to its end also where the namespace was somebody
    else's all along. Raises NamespaceNotOurs if something of the cluster's is in such a one, WaitTimeout.
    """
    found = await kube.find(NAMESPACES, cluster.namespace)
    if found is None:
        return False
    if not is_of(found, Wanted.by(cluster)):
        left = await made_for(kube, cluster)
        if left:
            raise NamespaceNotOurs(
                cluster.namespace,
                f"the namespace of {whose(found)}, with {', '.join(left)} of {cluster.id}",
                cure="remove those, or label the namespace again as the cluster's",
            )
        return False
    await remove_exactly(kube, NAMESPACES, found)
    await _gone(watching, found, timeout)
    return True


async def remove_clone_binding(fence: Fence, cluster: Cluster, settings: Settings) -> bool:
    """Take a cluster's right to clone the golden image back. One that was given to somebody else is left alone."""
    found = await fence.kube.find(ROLE_BINDINGS, clone_binding_name(cluster), settings.templates_namespace)
    if found is None or owner(found, cluster) is Owner.OTHERS:
        return False
    return bool(await fence.remove(ROLE_BINDINGS, found))


async def _ensure_labelled(kube: Kube, found: Object | None, cluster: Cluster, settings: Settings) -> None:
    labels = guarded_labels(cluster, settings)
    if found is None:
        try:
            await kube.create(NAMESPACES, NAMESPACES.manifest(cluster.namespace, labels=labels))
            return
        except AlreadyExists:
            # Our own first try, its answer lost; or somebody else's since we looked.
            found = await checked(kube, Wanted.by(cluster), settings)
    if found is not None and not labels.items() <= labels_of(found).items():
        # Only the very namespace that was looked at: the API server refuses to change a UID.
        meta = {"uid": found["metadata"]["uid"], "labels": labels}
        await kube.patch(NAMESPACES, cluster.namespace, {"metadata": meta})


async def _gone(watching: Watching, found: Object, timeout: float) -> None:
    what = f"namespace {found['metadata']['name']} to be deleted"
    await watching.gone(NAMESPACES, found, timeout=timeout, what=what)


def _established(crd: Object | None) -> bool | None:
    conditions = ((crd or {}).get("status") or {}).get("conditions") or []
    return True if any(c["type"] == "Established" and c["status"] == "True" for c in conditions) else None
