"""What is known of a cluster that went wrong, for whoever looks later: objects, conditions, events. No secrets."""

from __future__ import annotations

from typing import Any

from pool.errors import ApiError
from pool.kube.client import Kube, Object
from pool.kube.resources import (
    DATA_VOLUMES,
    EVENTS,
    PODS,
    PVCS,
    VM_RESTORES,
    VM_SNAPSHOTS,
    VMIS,
    VMS,
    VOLUME_SNAPSHOTS,
    Resource,
)
from pool.kubevirt.cluster import Cluster

SHOWN: tuple[Resource, ...] = (VMS, VMIS, PODS, DATA_VOLUMES, PVCS, VM_SNAPSHOTS, VOLUME_SNAPSHOTS, VM_RESTORES)
"""Kinds that are shown. Secrets are not among them, and VMs only refer to theirs."""
EVENTS_KEPT = 200
"""The newest events: a day of a quiet cluster, the last attempts of a broken one."""


async def bundle(kube: Kube, cluster: Cluster) -> dict[str, Any]:
    """Everything at once, by kind, ready for JSON. A kind that cannot be listed says why in its place."""
    shown: dict[str, Any] = {"cluster": cluster.id, "namespace": cluster.namespace}
    for resource in SHOWN:
        shown[resource.plural] = await _listed(kube, resource, cluster)
    try:
        events = await kube.list(EVENTS, cluster.namespace)
    except ApiError as error:
        shown["events"] = f"not listed: {error}"
    else:
        shown["events"] = [event_line(event) for event in sorted(events, key=_when)[-EVENTS_KEPT:]]
    return shown


def brief(obj: Object) -> Object:
    """An object without what nobody reads: managed fields and the copy that kubectl keeps in an annotation."""
    meta = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    annotations = {
        key: value
        for key, value in (meta.get("annotations") or {}).items()
        if key != "kubectl.kubernetes.io/last-applied-configuration"
    }
    meta |= {"annotations": annotations} if annotations else {}
    return {"metadata": meta, "spec": obj.get("spec"), "status": obj.get("status")}


def event_line(event: Object) -> str:
    """An event as kubectl shows it: when, type, reason, object, message, how often."""
    about = event.get("involvedObject") or {}
    count = f" (x{event['count']})" if (event.get("count") or 1) > 1 else ""
    where = f"{about.get('kind', '')}/{about.get('name', '')}"
    return f"{_when(event)} {event.get('type')} {event.get('reason')} {where}: {event.get('message', '')}{count}"


async def _listed(kube: Kube, resource: Resource, cluster: Cluster) -> list[Object] | str:
    try:
        return [brief(obj) for obj in await kube.list(resource, cluster.namespace)]
    except ApiError as error:
        # Half a bundle beats none: it is made when things are broken, perhaps the API itself.
        return f"not listed: {error}"


def _when(event: Object) -> str:
    seen = event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp")
    return str(seen or "")
