"""Cells of the built-in kinds' tables: from an object to what a column shows of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simulator.api.jsonpath import find

Obj = dict[str, Any]
NONE = "<none>"
_ACCESS = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def at(path: str) -> Callable[[Obj], Any]:
    def cell(obj: Obj) -> Any:
        found = find(obj, path)
        return found[0] if found and found[0] is not None else ""

    return cell


def or_none(path: str) -> Callable[[Obj], str]:
    return lambda obj: str(at(path)(obj) or NONE)


def count(path: str) -> Callable[[Obj], int]:
    return lambda obj: len(at(path)(obj) or ())


def pod_ready(obj: Obj) -> str:
    states = (obj.get("status") or {}).get("containerStatuses") or []
    return f"{sum(bool(one.get('ready')) for one in states)}/{len(obj['spec'].get('containers') or ())}"


def pod_status(obj: Obj) -> str:
    status = obj.get("status") or {}
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    for one in status.get("containerStatuses") or []:
        state = one.get("state") or {}
        for kind in ("waiting", "terminated"):
            if (state.get(kind) or {}).get("reason"):
                return str(state[kind]["reason"])
    return str(status.get("reason") or status.get("phase") or "Unknown")


def pod_restarts(obj: Obj) -> str:
    states = (obj.get("status") or {}).get("containerStatuses") or []
    return str(sum(one.get("restartCount", 0) for one in states))


def service_external(obj: Obj) -> str:
    spec = obj["spec"]
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName", ""))
    return ",".join(spec.get("externalIPs") or ()) or NONE


def service_ports(obj: Obj) -> str:
    ports = obj["spec"].get("ports") or []
    return ",".join(f"{one['port']}/{one.get('protocol', 'TCP')}" for one in ports) or NONE


def selector(path: str) -> Callable[[Obj], str]:
    def cell(obj: Obj) -> str:
        labels = at(path)(obj) or {}
        return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or NONE

    return cell


def containers(field: str) -> Callable[[Obj], str]:
    """A field of every container of a workload's template."""

    def cell(obj: Obj) -> str:
        found = at(".spec.template.spec.containers")(obj) or []
        return ",".join(str(one.get(field, "")) for one in found)

    return cell


def label_selector(obj: Obj) -> str:
    """A workload's selector as one line."""
    found = at(".spec.selector")(obj) or {}
    pairs = [f"{key}={value}" for key, value in sorted((found.get("matchLabels") or {}).items())]
    for one in found.get("matchExpressions") or []:
        values = ",".join(one.get("values") or [])
        forms = {"Exists": one["key"], "DoesNotExist": f"!{one['key']}"}
        pairs.append(forms.get(one["operator"], f"{one['key']} {one['operator'].lower()} ({values})"))
    return ",".join(pairs) or NONE


def endpoints(obj: Obj) -> str:
    pairs = [
        f"{address['ip']}:{port['port']}"
        for subset in obj.get("subsets") or []
        for port in subset.get("ports") or []
        for address in subset.get("addresses") or []
    ]
    return some(pairs)


def some(parts: list[str]) -> str:
    if not parts:
        return NONE
    shown = ",".join(parts[:3])
    return shown if len(parts) <= 3 else f"{shown} + {len(parts) - 3} more..."


def phase(obj: Obj) -> str:
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    return str((obj.get("status") or {}).get("phase", ""))


def modes(obj: Obj, *path: str) -> str:
    holder: Any = obj
    for part in path:
        holder = (holder or {}).get(part)
    return ",".join(_ACCESS.get(mode, mode) for mode in (holder or {}).get("accessModes") or ())


def bound(path: str) -> Callable[[Obj], Any]:
    """Capacity and modes are those of the volume, so they show once there is one."""
    return lambda obj: at(path)(obj) if obj["spec"].get("volumeName") else ""


def node_status(obj: Obj) -> str:
    conditions = (obj.get("status") or {}).get("conditions") or []
    ready = next((one for one in conditions if one["type"] == "Ready"), None)
    said = "Unknown" if ready is None else ("Ready" if ready["status"] == "True" else "NotReady")
    return f"{said},SchedulingDisabled" if (obj.get("spec") or {}).get("unschedulable") else said


def node_roles(obj: Obj) -> str:
    prefix = "node-role.kubernetes.io/"
    labels = obj["metadata"].get("labels") or {}
    return ",".join(sorted(key.removeprefix(prefix) for key in labels if key.startswith(prefix))) or NONE


def node_address(type_: str) -> Callable[[Obj], str]:
    def cell(obj: Obj) -> str:
        addresses = (obj.get("status") or {}).get("addresses") or []
        return next((one["address"] for one in addresses if one["type"] == type_), NONE)

    return cell


def claim_of(obj: Obj) -> str:
    reference = obj["spec"].get("claimRef")
    return f"{reference.get('namespace')}/{reference.get('name')}" if reference else ""


def storage_class_name(obj: Obj) -> str:
    annotations = obj["metadata"].get("annotations") or {}
    default = annotations.get("storageclass.kubernetes.io/is-default-class") == "true"
    return f"{obj['metadata']['name']} (default)" if default else str(obj["metadata"]["name"])


def event_object(obj: Obj) -> str:
    about = obj.get("involvedObject") or obj.get("regarding") or {}
    return f"{about.get('kind', '').lower()}/{about.get('name', '')}"


def role_ref(obj: Obj) -> str:
    return f"{obj['roleRef']['kind']}/{obj['roleRef']['name']}"


def subjects(kind: str) -> Callable[[Obj], str]:
    def cell(obj: Obj) -> str:
        found = [one for one in obj.get("subjects") or [] if one.get("kind") == kind]
        if kind == "ServiceAccount":
            return ", ".join(f"{one.get('namespace', '')}/{one['name']}" for one in found)
        return ", ".join(one["name"] for one in found)

    return cell


def replicas(obj: Obj) -> str:
    return f"{(obj.get('status') or {}).get('readyReplicas', 0)}/{obj['spec'].get('replicas', 1)}"


def number(path: str) -> Callable[[Obj], int]:
    return lambda obj: int(at(path)(obj) or 0)


def quota(part: str) -> Callable[[Obj], str]:
    def cell(obj: Obj) -> str:
        hard = (obj.get("status") or {}).get("hard") or obj["spec"].get("hard") or {}
        used = (obj.get("status") or {}).get("used") or {}
        names = [name for name in sorted(hard) if name.startswith("limits.") is (part == "limits")]
        return ", ".join(f"{name}: {used.get(name, '0')}/{hard[name]}" for name in names)

    return cell


def or_not(path: str) -> Callable[[Obj], str]:
    """Numbers and percentages that may be left out."""

    def cell(obj: Obj) -> str:
        found = at(path)(obj)
        return "N/A" if found == "" else str(found)

    return cell


def flag(path: str) -> Callable[[Obj], str]:
    return lambda obj: str(bool(at(path)(obj)))


def job_status(obj: Obj) -> str:
    for one in (obj.get("status") or {}).get("conditions") or []:
        if one["status"] == "True":
            return str(one["type"])
    return "Suspended" if obj["spec"].get("suspend") else "Running"


def job_completions(obj: Obj) -> str:
    wanted = obj["spec"].get("completions") or f"1 of {obj['spec'].get('parallelism', 1)}"
    return f"{(obj.get('status') or {}).get('succeeded', 0)}/{wanted}"


def ingress_hosts(obj: Obj) -> str:
    return ",".join(one["host"] for one in obj["spec"].get("rules") or [] if one.get("host")) or "*"
