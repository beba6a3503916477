"""Columns of the built-in kinds' tables, as kubectl users know them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simulator.api.jsonpath import find
from simulator.api.kinds import Column

Obj = dict[str, Any]
AGE = Column("Age", "date", ".metadata.creationTimestamp", "Time since the object was created.")
NONE = "<none>"
_ACCESS = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def _text(name: str, cell: Callable[[Obj], Any] | str, *, wide: bool = False, type_: str = "string") -> Column:
    if isinstance(cell, str):
        return Column(name, type_, _at(cell), priority=int(wide))
    return Column(name, type_, cell, priority=int(wide))


def _at(path: str) -> Callable[[Obj], Any]:
    def cell(obj: Obj) -> Any:
        found = find(obj, path)
        return found[0] if found and found[0] is not None else ""

    return cell


def _or_none(path: str) -> Callable[[Obj], str]:
    return lambda obj: str(_at(path)(obj) or NONE)


def _count(path: str) -> Callable[[Obj], int]:
    return lambda obj: len(_at(path)(obj) or ())


def _pod_ready(obj: Obj) -> str:
    states = (obj.get("status") or {}).get("containerStatuses") or []
    return f"{sum(bool(one.get('ready')) for one in states)}/{len(obj['spec'].get('containers') or ())}"


def _pod_status(obj: Obj) -> str:
    status = obj.get("status") or {}
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    for one in status.get("containerStatuses") or []:
        state = one.get("state") or {}
        for kind in ("waiting", "terminated"):
            if (state.get(kind) or {}).get("reason"):
                return str(state[kind]["reason"])
    return str(status.get("reason") or status.get("phase") or "Unknown")


def _pod_restarts(obj: Obj) -> str:
    states = (obj.get("status") or {}).get("containerStatuses") or []
    return str(sum(one.get("restartCount", 0) for one in states))


def _service_external(obj: Obj) -> str:
    spec = obj["spec"]
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName", ""))
    return ",".join(spec.get("externalIPs") or ()) or NONE


def _service_ports(obj: Obj) -> str:
    ports = obj["spec"].get("ports") or []
    return ",".join(f"{one['port']}/{one.get('protocol', 'TCP')}" for one in ports) or NONE


def _selector(path: str) -> Callable[[Obj], str]:
    def cell(obj: Obj) -> str:
        labels = _at(path)(obj) or {}
        return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or NONE

    return cell


def _endpoints(obj: Obj) -> str:
    pairs = [
        f"{address['ip']}:{port['port']}"
        for subset in obj.get("subsets") or []
        for port in subset.get("ports") or []
        for address in subset.get("addresses") or []
    ]
    return _some(pairs)


def _some(parts: list[str]) -> str:
    if not parts:
        return NONE
    shown = ",".join(parts[:3])
    return shown if len(parts) <= 3 else f"{shown} + {len(parts) - 3} more..."


def _phase(obj: Obj) -> str:
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    return str((obj.get("status") or {}).get("phase", ""))


def _modes(obj: Obj, *path: str) -> str:
    holder: Any = obj
    for part in path:
        holder = (holder or {}).get(part)
    return ",".join(_ACCESS.get(mode, mode) for mode in (holder or {}).get("accessModes") or ())


def _bound(path: str) -> Callable[[Obj], Any]:
    """Capacity and modes are those of the volume, so they show once there is one."""
    return lambda obj: _at(path)(obj) if obj["spec"].get("volumeName") else ""


def _node_status(obj: Obj) -> str:
    conditions = (obj.get("status") or {}).get("conditions") or []
    ready = next((one for one in conditions if one["type"] == "Ready"), None)
    said = "Unknown" if ready is None else ("Ready" if ready["status"] == "True" else "NotReady")
    return f"{said},SchedulingDisabled" if (obj.get("spec") or {}).get("unschedulable") else said


def _node_roles(obj: Obj) -> str:
    prefix = "node-role.kubernetes.io/"
    labels = obj["metadata"].get("labels") or {}
    return ",".join(sorted(key.removeprefix(prefix) for key in labels if key.startswith(prefix))) or NONE


def _node_address(type_: str) -> Callable[[Obj], str]:
    def cell(obj: Obj) -> str:
        addresses = (obj.get("status") or {}).get("addresses") or []
        return next((one["address"] for one in addresses if one["type"] == type_), NONE)

    return cell


def _claim_of(obj: Obj) -> str:
    reference = obj["spec"].get("claimRef")
    return f"{reference.get('namespace')}/{reference.get('name')}" if reference else ""


def _storage_class_name(obj: Obj) -> str:
    annotations = obj["metadata"].get("annotations") or {}
    default = annotations.get("storageclass.kubernetes.io/is-default-class") == "true"
    return f"{obj['metadata']['name']} (default)" if default else str(obj["metadata"]["name"])


def _event_object(obj: Obj) -> str:
    about = obj.get("involvedObject") or obj.get("regarding") or {}
    return f"{about.get('kind', '').lower()}/{about.get('name', '')}"


def _role_ref(obj: Obj) -> str:
    return f"{obj['roleRef']['kind']}/{obj['roleRef']['name']}"


def _subjects(kind: str) -> Callable[[Obj], str]:
    def cell(obj: Obj) -> str:
        found = [one for one in obj.get("subjects") or [] if one.get("kind") == kind]
        if kind == "ServiceAccount":
            return ", ".join(f"{one.get('namespace', '')}/{one['name']}" for one in found)
        return ", ".join(one["name"] for one in found)

    return cell


def _replicas(obj: Obj) -> str:
    return f"{(obj.get('status') or {}).get('readyReplicas', 0)}/{obj['spec'].get('replicas', 1)}"


def _number(path: str) -> Callable[[Obj], int]:
    return lambda obj: int(_at(path)(obj) or 0)


def _quota(part: str) -> Callable[[Obj], str]:
    def cell(obj: Obj) -> str:
        hard = (obj.get("status") or {}).get("hard") or obj["spec"].get("hard") or {}
        used = (obj.get("status") or {}).get("used") or {}
        names = [name for name in sorted(hard) if name.startswith("limits.") is (part == "limits")]
        return ", ".join(f"{name}: {used.get(name, '0')}/{hard[name]}" for name in names)

    return cell


_BINDING = (
    _text("Role", _role_ref),
    AGE,
    _text("Users", _subjects("User"), wide=True),
    _text("Groups", _subjects("Group"), wide=True),
    _text("ServiceAccounts", _subjects("ServiceAccount"), wide=True),
)
_CREATED = Column("Created At", "string", lambda obj: obj["metadata"].get("creationTimestamp", ""))
_RBAC = "rbac.authorization.k8s.io"
_EVENT_TIME = ".lastTimestamp"

COLUMNS: dict[tuple[str, str], tuple[Column, ...]] = {
    ("", "Namespace"): (_text("Status", ".status.phase"), AGE),
    ("", "Pod"): (
        _text("Ready", _pod_ready),
        _text("Status", _pod_status),
        _text("Restarts", _pod_restarts),
        AGE,
        _text("IP", _or_none(".status.podIP"), wide=True),
        _text("Node", _or_none(".spec.nodeName"), wide=True),
        _text("Nominated Node", _or_none(".status.nominatedNodeName"), wide=True),
        _text("Readiness Gates", lambda obj: NONE, wide=True),
    ),
    ("", "Secret"): (_text("Type", ".type"), _text("Data", _count(".data"), type_="integer"), AGE),
    ("", "ConfigMap"): (_text("Data", _count(".data"), type_="integer"), AGE),
    ("", "Service"): (
        _text("Type", ".spec.type"),
        _text("Cluster-IP", _or_none(".spec.clusterIP")),
        _text("External-IP", _service_external),
        _text("Port(s)", _service_ports),
        AGE,
        _text("Selector", _selector(".spec.selector"), wide=True),
    ),
    ("", "Endpoints"): (_text("Endpoints", _endpoints), AGE),
    ("", "Event"): (
        Column("Last Seen", "date", _EVENT_TIME),
        _text("Type", ".type"),
        _text("Reason", ".reason"),
        _text("Object", _event_object),
        _text("Subobject", ".involvedObject.fieldPath", wide=True),
        _text("Source", ".source.component", wide=True),
        _text("Message", lambda obj: str(obj.get("message", "")).strip()),
        Column("First Seen", "date", ".firstTimestamp", priority=1),
        _text("Count", ".count", wide=True),
        _text("Name", ".metadata.name", wide=True),
    ),
    ("events.k8s.io", "Event"): (
        Column("Last Seen", "date", _EVENT_TIME),
        _text("Type", ".type"),
        _text("Reason", ".reason"),
        _text("Object", _event_object),
        _text("Message", ".message"),
    ),
    ("", "ServiceAccount"): (_text("Secrets", _count(".secrets"), type_="integer"), AGE),
    ("", "PersistentVolume"): (
        _text("Capacity", ".spec.capacity.storage"),
        _text("Access Modes", lambda obj: _modes(obj, "spec")),
        _text("Reclaim Policy", ".spec.persistentVolumeReclaimPolicy"),
        _text("Status", _phase),
        _text("Claim", _claim_of),
        _text("StorageClass", ".spec.storageClassName"),
        _text("VolumeAttributesClass", lambda obj: "<unset>"),
        _text("Reason", ".status.reason"),
        AGE,
        _text("VolumeMode", ".spec.volumeMode", wide=True),
    ),
    ("", "PersistentVolumeClaim"): (
        _text("Status", _phase),
        _text("Volume", ".spec.volumeName"),
        _text("Capacity", _bound(".status.capacity.storage")),
        _text("Access Modes", lambda obj: _modes(obj, "status") if obj["spec"].get("volumeName") else ""),
        _text("StorageClass", ".spec.storageClassName"),
        _text("VolumeAttributesClass", lambda obj: "<unset>"),
        AGE,
        _text("VolumeMode", ".spec.volumeMode", wide=True),
    ),
    ("", "ResourceQuota"): (AGE, _text("Request", _quota("requests")), _text("Limit", _quota("limits"))),
    ("", "LimitRange"): (_CREATED,),
    ("", "Node"): (
        _text("Status", _node_status),
        _text("Roles", _node_roles),
        AGE,
        _text("Version", ".status.nodeInfo.kubeletVersion"),
        _text("Internal-IP", _node_address("InternalIP"), wide=True),
        _text("External-IP", _node_address("ExternalIP"), wide=True),
        _text("OS-Image", _at(".status.nodeInfo.osImage"), wide=True),
        _text("Kernel-Version", _at(".status.nodeInfo.kernelVersion"), wide=True),
        _text("Container-Runtime", _at(".status.nodeInfo.containerRuntimeVersion"), wide=True),
    ),
    ("coordination.k8s.io", "Lease"): (_text("Holder", ".spec.holderIdentity"), AGE),
    ("discovery.k8s.io", "EndpointSlice"): (
        _text("AddressType", ".addressType"),
        _text("Ports", lambda obj: _some([str(one.get("port")) for one in obj.get("ports") or []])),
        _text("Endpoints", lambda obj: _some([a for one in obj.get("endpoints") or [] for a in one["addresses"]])),
        AGE,
    ),
    (_RBAC, "Role"): (_CREATED,),
    (_RBAC, "ClusterRole"): (_CREATED,),
    (_RBAC, "RoleBinding"): _BINDING,
    (_RBAC, "ClusterRoleBinding"): _BINDING,
    ("networking.k8s.io", "NetworkPolicy"): (_text("Pod-Selector", _selector(".spec.podSelector.matchLabels")), AGE),
    ("storage.k8s.io", "StorageClass"): (
        _text("Provisioner", ".provisioner"),
        _text("ReclaimPolicy", ".reclaimPolicy"),
        _text("VolumeBindingMode", ".volumeBindingMode"),
        _text("AllowVolumeExpansion", lambda obj: bool(obj.get("allowVolumeExpansion")), type_="boolean"),
        AGE,
    ),
    ("scheduling.k8s.io", "PriorityClass"): (
        _text("Value", ".value", type_="integer"),
        _text("Global-Default", lambda obj: bool(obj.get("globalDefault")), type_="boolean"),
        AGE,
        _text("PreemptionPolicy", lambda obj: obj.get("preemptionPolicy", "PreemptLowerPriority")),
    ),
    ("apps", "Deployment"): (
        _text("Ready", _replicas),
        _text("Up-to-date", _number(".status.updatedReplicas"), type_="integer"),
        _text("Available", _number(".status.availableReplicas"), type_="integer"),
        AGE,
    ),
    ("apps", "DaemonSet"): (
        _text("Desired", _number(".status.desiredNumberScheduled"), type_="integer"),
        _text("Current", _number(".status.currentNumberScheduled"), type_="integer"),
        _text("Ready", _number(".status.numberReady"), type_="integer"),
        AGE,
    ),
    ("apps", "ReplicaSet"): (
        _text("Desired", _number(".spec.replicas"), type_="integer"),
        _text("Current", _number(".status.replicas"), type_="integer"),
        _text("Ready", _number(".status.readyReplicas"), type_="integer"),
        AGE,
    ),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): (_CREATED,),
}
"""By group and kind; the name comes before them all (after, where a cell replaces it)."""

NAMES: dict[tuple[str, str], Callable[[Obj], str]] = {("storage.k8s.io", "StorageClass"): _storage_class_name}
"""Kinds whose name is shown with something beside it."""
