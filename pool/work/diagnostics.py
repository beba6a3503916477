"""What is known of a cluster that went wrong, for whoever looks later: objects, conditions, events, timings, consoles.

No secrets: kinds that hold them are not read, and the others only refer to theirs. What guests say is cut and cleaned.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pool.core.errors import ApiError
from pool.guest.words import cleaned
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
from pool.kubevirt.cluster import Cluster, Machine
from pool.kubevirt.console import console_of

SHOWN: tuple[Resource, ...] = (VMS, VMIS, PODS, DATA_VOLUMES, PVCS, VM_SNAPSHOTS, VOLUME_SNAPSHOTS, VM_RESTORES)
"""Kinds that are shown. Secrets are not among them, and VMs only refer to theirs."""
EVENTS_KEPT = 200
"""The newest events: a day of a quiet cluster, the last attempts of a broken one."""
LINES_KEPT = 200
"""The last lines of each console: a first boot prints some fifty, what its scripts install the rest."""
OF_GUESTS = ("guestOSInfo", "interfaces", "fsFreezeStatus")
"""Fields of a VMI's status that KubeVirt fills with what the guest's agent says. So are conditions of the agent."""
INTERFACES_KEPT = 20
"""A node with a few pods has fewer."""


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
    shown["consoles"] = {machine.name: await _console(kube, machine) for machine in cluster.machines}
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
    """An object without what nobody reads: managed fields and the copy that kubectl keeps in an annotation.

    What a guest's agent says is cleaned.
    """
    meta = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    annotations = {
        key: value
        for key, value in (meta.get("annotations") or {}).items()
        if key != "kubectl.kubernetes.io/last-applied-configuration"
    }
    meta |= {"annotations": annotations} if annotations else {}
    return {"metadata": meta, "spec": obj.get("spec"), "status": _cleaned_status(obj.get("status"))}


def _cleaned_status(status: Object | None) -> Object | None:
    if status is None:
        return None
    said = {name: _cleaned(status[name]) for name in OF_GUESTS if name in status}
    of_agent = [
        _cleaned(one) if str(one.get("type")).startswith("Agent") else one for one in status.get("conditions") or []
    ]
    return status | said | ({"conditions": of_agent} if of_agent else {})


def _cleaned(value: Any) -> Any:
    """A guest's words wherever they stand in it."""
    if isinstance(value, dict):
        return {key: _cleaned(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_cleaned(one) for one in value[:INTERFACES_KEPT]]
    return cleaned(value) if isinstance(value, str) else value


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


async def _console(kube: Kube, machine: Machine) -> list[str] | str:
    try:
        printed = await console_of(kube, machine)
    except ApiError as error:
        return f"not read: {error}"
    lines = [cleaned(line) for line in printed.splitlines()]
    return [line for line in lines if line][-LINES_KEPT:]


def _when(event: Object) -> str:
    seen = event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp")
    return str(seen or "")
