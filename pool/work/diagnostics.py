"""What is known of a cluster that went wrong, for whoever looks later: objects, conditions, events, timings.

No secrets: kinds that hold them are not read, and the others only refer to theirs.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pool.core.errors import ApiError
from pool.kube.client import Kube, Object
from pool.kube.resources import (
    DATA_VOLUMES,
    EVENTS,
    PODS,
    POOLED_CLUSTERS,
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


async def bundle(kube: Kube, cluster: Cluster, pool_namespace: str) -> dict[str, Any]:
    """Everything at once, by kind, ready for JSON. What cannot be read says why in its place."""
    shown: dict[str, Any] = {"cluster": cluster.id, "namespace": cluster.namespace}
    try:
        shown["pooledcluster"] = brief(await kube.get(POOLED_CLUSTERS, cluster.id, pool_namespace))
    except ApiError as error:
        shown["pooledcluster"] = f"not read: {error}"
    shown["history"] = await _events(kube, pool_namespace, f"involvedObject.name={cluster.id}")
    objects: list[tuple[str, Object]] = []
    for resource in SHOWN:
        shown[resource.plural] = found = await _listed(kube, resource, cluster)
        objects += [(resource.kind, one) for one in found] if isinstance(found, list) else []
    shown["timings"] = timings(objects)
    shown["events"] = await _events(kube, cluster.namespace)
    return shown


def timings(objects: Iterable[tuple[str, Object]]) -> list[str]:
    """What happened when, over all objects (with their kinds): made, conditions changed, phases reached; oldest first.

    `2026-01-31T12:00:03Z +3s VirtualMachineRestore/cp-reset: Ready=False (Waiting for new PVCs)`: the seconds are since
    the object was made. KubeVirt: a VMI keeps the time of each phase in `phaseTransitionTimestamps`.
    """
    lines = []
    for kind, obj in objects:
        meta, status = obj["metadata"], obj.get("status") or {}
        made = str(meta.get("creationTimestamp") or "")
        happened = [(made, "made")]
        for one in status.get("conditions") or []:
            text = one.get("reason") or one.get("message") or ""
            happened.append((str(one.get("lastTransitionTime") or ""), f"{one['type']}={one['status']} ({text})"))
        phases = status.get("phaseTransitionTimestamps") or []
        happened += [(str(one["phaseTransitionTimestamp"]), f"phase {one['phase']}") for one in phases]
        lines += [
            f"{at} +{_seconds(made, at):g}s {kind}/{meta['name']}: {what}" for at, what in happened if at and made
        ]
    return sorted(lines)


def _seconds(since: str, at: str) -> float:
    return (datetime.fromisoformat(at) - datetime.fromisoformat(since)).total_seconds()


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


async def _events(kube: Kube, namespace: str, fields: str = "") -> list[str] | str:
    try:
        found = await kube.list(EVENTS, namespace, fields=fields)
    except ApiError as error:
        return f"not listed: {error}"
    return [event_line(event) for event in sorted(found, key=_when)[-EVENTS_KEPT:]]


async def _listed(kube: Kube, resource: Resource, cluster: Cluster) -> list[Object] | str:
    try:
        return [brief(obj) for obj in await kube.list(resource, cluster.namespace)]
    except ApiError as error:
        # Half a bundle beats none: it is made when things are broken, perhaps the API itself.
        return f"not listed: {error}"


def _when(event: Object) -> str:
    seen = event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp")
    return str(seen or "")
