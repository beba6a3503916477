"""Columns of the built-in kinds' tables, as kubectl users know them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simulator.api.builtin import cells
from simulator.api.kinds import Column

Obj = dict[str, Any]
AGE = Column("Age", "date", ".metadata.creationTimestamp", "Time since the object was created.")


def _text(name: str, cell: Callable[[Obj], Any] | str, *, wide: bool = False, type_: str = "string") -> Column:
    if isinstance(cell, str):
        return Column(name, type_, cells.at(cell), priority=int(wide))
    return Column(name, type_, cell, priority=int(wide))


_BINDING = (
    _text("Role", cells.role_ref),
    AGE,
    _text("Users", cells.subjects("User"), wide=True),
    _text("Groups", cells.subjects("Group"), wide=True),
    _text("ServiceAccounts", cells.subjects("ServiceAccount"), wide=True),
)
_CREATED = Column("Created At", "string", lambda obj: obj["metadata"].get("creationTimestamp", ""))
_TEMPLATE = (
    _text("Containers", cells.containers("name"), wide=True),
    _text("Images", cells.containers("image"), wide=True),
)
_SELECTED = _text("Selector", cells.label_selector, wide=True)
_RBAC = "rbac.authorization.k8s.io"
_EVENT_TIME = ".lastTimestamp"

COLUMNS: dict[tuple[str, str], tuple[Column, ...]] = {
    ("", "Namespace"): (_text("Status", ".status.phase"), AGE),
    ("", "Pod"): (
        _text("Ready", cells.pod_ready),
        _text("Status", cells.pod_status),
        _text("Restarts", cells.pod_restarts),
        AGE,
        _text("IP", cells.or_none(".status.podIP"), wide=True),
        _text("Node", cells.or_none(".spec.nodeName"), wide=True),
        _text("Nominated Node", cells.or_none(".status.nominatedNodeName"), wide=True),
        _text("Readiness Gates", lambda obj: cells.NONE, wide=True),
    ),
    ("", "Secret"): (_text("Type", ".type"), _text("Data", cells.count(".data"), type_="integer"), AGE),
    ("", "ConfigMap"): (_text("Data", cells.count(".data"), type_="integer"), AGE),
    ("", "Service"): (
        _text("Type", ".spec.type"),
        _text("Cluster-IP", cells.or_none(".spec.clusterIP")),
        _text("External-IP", cells.service_external),
        _text("Port(s)", cells.service_ports),
        AGE,
        _text("Selector", cells.selector(".spec.selector"), wide=True),
    ),
    ("", "Endpoints"): (_text("Endpoints", cells.endpoints), AGE),
    ("", "Event"): (
        Column("Last Seen", "date", _EVENT_TIME),
        _text("Type", ".type"),
        _text("Reason", ".reason"),
        _text("Object", cells.event_object),
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
        _text("Object", cells.event_object),
        _text("Message", ".message"),
    ),
    ("", "ServiceAccount"): (_text("Secrets", cells.count(".secrets"), type_="integer"), AGE),
    ("", "PersistentVolume"): (
        _text("Capacity", ".spec.capacity.storage"),
        _text("Access Modes", lambda obj: cells.modes(obj, "spec")),
        _text("Reclaim Policy", ".spec.persistentVolumeReclaimPolicy"),
        _text("Status", cells.phase),
        _text("Claim", cells.claim_of),
        _text("StorageClass", ".spec.storageClassName"),
        _text("VolumeAttributesClass", lambda obj: "<unset>"),
        _text("Reason", ".status.reason"),
        AGE,
        _text("VolumeMode", ".spec.volumeMode", wide=True),
    ),
    ("", "PersistentVolumeClaim"): (
        _text("Status", cells.phase),
        _text("Volume", ".spec.volumeName"),
        _text("Capacity", cells.bound(".status.capacity.storage")),
        _text("Access Modes", lambda obj: cells.modes(obj, "status") if obj["spec"].get("volumeName") else ""),
        _text("StorageClass", ".spec.storageClassName"),
        _text("VolumeAttributesClass", lambda obj: "<unset>"),
        AGE,
        _text("VolumeMode", ".spec.volumeMode", wide=True),
    ),
    ("", "ResourceQuota"): (AGE, _text("Request", cells.quota("requests")), _text("Limit", cells.quota("limits"))),
    ("", "LimitRange"): (_CREATED,),
    ("", "Node"): (
        _text("Status", cells.node_status),
        _text("Roles", cells.node_roles),
        AGE,
        _text("Version", ".status.nodeInfo.kubeletVersion"),
        _text("Internal-IP", cells.node_address("InternalIP"), wide=True),
        _text("External-IP", cells.node_address("ExternalIP"), wide=True),
        _text("OS-Image", cells.at(".status.nodeInfo.osImage"), wide=True),
        _text("Kernel-Version", cells.at(".status.nodeInfo.kernelVersion"), wide=True),
        _text("Container-Runtime", cells.at(".status.nodeInfo.containerRuntimeVersion"), wide=True),
    ),
    ("coordination.k8s.io", "Lease"): (_text("Holder", ".spec.holderIdentity"), AGE),
    ("discovery.k8s.io", "EndpointSlice"): (
        _text("AddressType", ".addressType"),
        _text("Ports", lambda obj: cells.some([str(one.get("port")) for one in obj.get("ports") or []])),
        _text("Endpoints", lambda obj: cells.some([a for one in obj.get("endpoints") or [] for a in one["addresses"]])),
        AGE,
    ),
    (_RBAC, "Role"): (_CREATED,),
    (_RBAC, "ClusterRole"): (_CREATED,),
    (_RBAC, "RoleBinding"): _BINDING,
    (_RBAC, "ClusterRoleBinding"): _BINDING,
    ("networking.k8s.io", "NetworkPolicy"): (
        _text("Pod-Selector", cells.selector(".spec.podSelector.matchLabels")),
        AGE,
    ),
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
        _text("Ready", cells.replicas),
        _text("Up-to-date", cells.number(".status.updatedReplicas"), type_="integer"),
        _text("Available", cells.number(".status.availableReplicas"), type_="integer"),
        AGE,
        *_TEMPLATE,
        _SELECTED,
    ),
    ("apps", "StatefulSet"): (_text("Ready", cells.replicas), AGE, *_TEMPLATE),
    ("batch", "Job"): (
        _text("Status", cells.job_status),
        _text("Completions", cells.job_completions),
        _text("Duration", lambda obj: ""),
        AGE,
        *_TEMPLATE,
        _SELECTED,
    ),
    ("batch", "CronJob"): (
        _text("Schedule", ".spec.schedule"),
        _text("Timezone", cells.or_none(".spec.timeZone")),
        _text("Suspend", cells.flag(".spec.suspend")),
        _text("Active", cells.count(".status.active"), type_="integer"),
        Column("Last Schedule", "date", ".status.lastScheduleTime"),
        AGE,
    ),
    ("networking.k8s.io", "Ingress"): (
        _text("Class", cells.or_none(".spec.ingressClassName")),
        _text("Hosts", cells.ingress_hosts),
        _text("Address", lambda obj: ""),
        _text("Ports", lambda obj: "80, 443" if obj["spec"].get("tls") else "80"),
        AGE,
    ),
    ("policy", "PodDisruptionBudget"): (
        _text("Min Available", cells.or_not(".spec.minAvailable")),
        _text("Max Unavailable", cells.or_not(".spec.maxUnavailable")),
        _text("Allowed Disruptions", cells.number(".status.disruptionsAllowed"), type_="integer"),
        AGE,
    ),
    ("apps", "DaemonSet"): (
        _text("Desired", cells.number(".status.desiredNumberScheduled"), type_="integer"),
        _text("Current", cells.number(".status.currentNumberScheduled"), type_="integer"),
        _text("Ready", cells.number(".status.numberReady"), type_="integer"),
        _text("Up-to-date", cells.number(".status.updatedNumberScheduled"), type_="integer"),
        _text("Available", cells.number(".status.numberAvailable"), type_="integer"),
        _text("Node Selector", cells.selector(".spec.template.spec.nodeSelector")),
        AGE,
        *_TEMPLATE,
        _SELECTED,
    ),
    ("apps", "ReplicaSet"): (
        _text("Desired", cells.number(".spec.replicas"), type_="integer"),
        _text("Current", cells.number(".status.replicas"), type_="integer"),
        _text("Ready", cells.number(".status.readyReplicas"), type_="integer"),
        AGE,
        *_TEMPLATE,
        _SELECTED,
    ),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): (_CREATED,),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): (
        _text("Validations", cells.count(".spec.validations"), type_="integer"),
        _text("ParamKind", lambda obj: "<unset>"),
        AGE,
    ),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): (
        _text("PolicyName", ".spec.policyName"),
        _text("ParamRef", lambda obj: "<unset>"),
        AGE,
    ),
}
"""By group and kind; the name comes before them all (after, where a cell replaces it)."""

NAMELESS = {("", "Event"), ("events.k8s.io", "Event")}
"""Kinds whose name is not shown first: nobody reads the names of events."""

NAMES: dict[tuple[str, str], Callable[[Obj], str]] = {("storage.k8s.io", "StorageClass"): cells.storage_class_name}
"""Kinds whose name is shown with something beside it."""
