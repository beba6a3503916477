"""Whose an object is, by its labels: asked before anything is adopted, changed or removed.

Names say nothing: another pool may use the same ones, and so did an earlier cluster of this name.
"""

from __future__ import annotations

from enum import StrEnum

from pool.core.clusters import POOL_LABEL, POOL_UID_LABEL
from pool.core.errors import Conflict, FormerCluster, NotOurs
from pool.kube.client import Kube, Object
from pool.kube.resources import Resource
from pool.kubevirt.cluster import CLUSTER_LABEL, CLUSTER_UID_LABEL, Cluster


class Owner(StrEnum):
    """Whose an object is, seen from a cluster."""

    CLUSTER = "cluster"
    """This very cluster's."""
    FORMER = "former"
    """An earlier cluster's of this name and pool: to be removed, never to be used."""
    OTHERS = "others"
    """Another pool's, another cluster's, or nobody's of whom the pool knows: never to be touched."""


def owner(obj: Object, cluster: Cluster) -> Owner:
    """Whose the object is."""
    labels = labels_of(obj)
    if labels.get(POOL_UID_LABEL) != cluster.pool_uid or labels.get(CLUSTER_LABEL) != cluster.id:
        return Owner.OTHERS
    return Owner.CLUSTER if labels.get(CLUSTER_UID_LABEL) == cluster.uid else Owner.FORMER


def owned(obj: Object, cluster: Cluster) -> Object:
    """The object, if it is this very cluster's. Raises NotOurs, FormerCluster."""
    removable(obj, cluster)
    if owner(obj, cluster) is Owner.FORMER:
        raise FormerCluster(
            f"{named(obj)} is left of an earlier {cluster.id}",
            expected=f"label {CLUSTER_UID_LABEL}={cluster.uid}",
            actual=labels_of(obj).get(CLUSTER_UID_LABEL, "none"),
            cure="run bootstrap-pool, which removes what is left and makes the cluster anew",
        )
    return obj


def removable(obj: Object, cluster: Cluster) -> Object:
    """The object, if it was made for this cluster or an earlier one of its name. Raises NotOurs."""
    if owner(obj, cluster) is Owner.OTHERS:
        raise NotOurs(
            f"{named(obj)} is not of {cluster.id} of pool {cluster.pool}",
            expected=f"labels {CLUSTER_LABEL}={cluster.id}, {POOL_UID_LABEL}={cluster.pool_uid}",
            actual=whose(obj),
            cure="it is left alone; remove it or choose another spec.clusterPrefix for the Pool",
        )
    return obj


def whose(obj: Object) -> str:
    """Whose the object says it is, in words."""
    labels = labels_of(obj)
    if POOL_UID_LABEL not in labels:
        return "no pool's"
    cluster = f"cluster {labels[CLUSTER_LABEL]} of " if CLUSTER_LABEL in labels else ""
    return f"{cluster}pool {labels.get(POOL_LABEL, 'without a name')} (UID {labels[POOL_UID_LABEL]})"


async def remove_exactly(kube: Kube, resource: Resource, obj: Object, *, propagation: str = "Background") -> bool:
    """Remove this very object; False if it is gone, even if another one has its name by now."""
    meta = obj["metadata"]
    try:
        return await kube.delete(
            resource, meta["name"], meta.get("namespace"), uid=meta["uid"], propagation=propagation
        )
    except Conflict:
        return False


def labels_of(obj: Object) -> dict[str, str]:
    """The object's labels."""
    return obj["metadata"].get("labels") or {}


def named(obj: Object) -> str:
    """Kind and name of the object, as in messages."""
    meta = obj["metadata"]
    where = f"{meta['namespace']}/" if meta.get("namespace") else ""
    return f"{obj.get('kind', 'object')} {where}{meta['name']}"
