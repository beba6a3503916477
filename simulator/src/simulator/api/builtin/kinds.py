"""The built-in kinds, in one table."""

from __future__ import annotations

from collections.abc import Iterable

from simulator.api import events
from simulator.api.builtin.columns import AGE, COLUMNS
from simulator.api.builtin.strategies import PREPARE, VALIDATE
from simulator.api.kinds import Kind, Scale, Version
from simulator.api.schemas import name_of, structure

_S, _C = True, False  # namespaced, cluster-scoped


def _kind(
    group: str,
    version: str,
    plural: str,
    kind: str,
    namespaced: bool,
    short: str = "",
    *,
    status: bool = False,
    categories: str = "",
    selectable: str = "",
    **more: object,
) -> Kind:
    made = Kind(
        group,
        plural,
        kind,
        namespaced,
        {version: _version(group, version, kind, status, selectable)},
        version,
        short_names=tuple(short.split()),
        categories=tuple(categories.split()),
        builtin=True,
        unconditional=True,
    )
    made.generation = False
    for name, value in more.items():
        setattr(made, name, value)
    made.prepare = PREPARE.get(made.collection)
    made.validate = VALIDATE.get(made.collection)
    return made


def _version(group: str, version: str, kind: str, status: bool, selectable: str) -> Version:
    columns = COLUMNS.get((group, kind), (AGE,))
    scale = _SCALE if kind in _SCALED else None
    selectors = tuple(selectable.split())
    return Version(version, columns, structure(name_of(group, kind)), status, scale, selectable=selectors)


_SCALE = Scale(("spec", "replicas"), ("status", "replicas"), ("spec", "selector"))
_SCALED = ("Deployment", "ReplicaSet", "StatefulSet")
_RBAC = "rbac.authorization.k8s.io"
_ADMISSION = "admissionregistration.k8s.io"
_EVENT_FIELDS = (
    "involvedObject.kind involvedObject.namespace involvedObject.name involvedObject.uid involvedObject.apiVersion"
    " involvedObject.resourceVersion involvedObject.fieldPath reason reportingComponent source type"
)


def host() -> list[Kind]:
    """The kinds of a cluster that runs virtual machines."""
    return [
        _kind(
            "",
            "v1",
            "namespaces",
            "Namespace",
            _C,
            "ns",
            status=True,
            name_rule="label",
            selectable="status.phase",
            subresources=("finalize",),
            verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
            returns_deleted=True,
        ),
        _kind(
            "",
            "v1",
            "pods",
            "Pod",
            _S,
            "po",
            status=True,
            categories="all",
            graceful=True,
            subresources=("binding", "log"),
            returns_deleted=True,
            selectable="spec.nodeName spec.restartPolicy spec.schedulerName spec.serviceAccountName status.phase"
            " status.podIP status.nominatedNodeName",
        ),
        _kind("", "v1", "secrets", "Secret", _S, selectable="type"),
        _kind("", "v1", "configmaps", "ConfigMap", _S, "cm"),
        _kind(
            "",
            "v1",
            "services",
            "Service",
            _S,
            "svc",
            status=True,
            categories="all",
            name_rule="label1035",
            selectable="spec.clusterIP spec.type",
            returns_deleted=True,
        ),
        _kind("", "v1", "endpoints", "Endpoints", _S, "ep", upsert=True),
        _kind("", "v1", "events", "Event", _S, "ev", selectable=_EVENT_FIELDS, upsert=True),
        _kind("", "v1", "serviceaccounts", "ServiceAccount", _S, "sa", subresources=("token",), returns_deleted=True),
        _kind("", "v1", "persistentvolumes", "PersistentVolume", _C, "pv", status=True, returns_deleted=True),
        _kind(
            "", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", _S, "pvc", status=True, returns_deleted=True
        ),
        _kind("", "v1", "resourcequotas", "ResourceQuota", _S, "quota", status=True, returns_deleted=True),
        _kind("", "v1", "limitranges", "LimitRange", _S, "limits"),
        _kind("", "v1", "nodes", "Node", _C, "no", status=True, selectable="spec.unschedulable"),
        _kind(
            "events.k8s.io",
            "v1",
            "events",
            "Event",
            _S,
            "ev",
            selectable="reason type",
            upsert=True,
            twin=("", "events"),
            storage="",
            conversions={"v1": events.to_new},
            back_conversions={"v1": events.to_core},
        ),
        _kind("coordination.k8s.io", "v1", "leases", "Lease", _S, upsert=True),
        _kind("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", _S, generation=True),
        _kind(_RBAC, "v1", "roles", "Role", _S, name_rule="path", upsert=True),
        _kind(_RBAC, "v1", "rolebindings", "RoleBinding", _S, name_rule="path", upsert=True),
        _kind(_RBAC, "v1", "clusterroles", "ClusterRole", _C, name_rule="path", upsert=True),
        _kind(_RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", _C, name_rule="path", upsert=True),
        _kind("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", _S, "netpol", generation=True),
        _kind("networking.k8s.io", "v1", "ingresses", "Ingress", _S, "ing", status=True, generation=True),
        _kind("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", _S, "pdb", status=True, generation=True),
        _kind("storage.k8s.io", "v1", "storageclasses", "StorageClass", _C, "sc", returns_deleted=True),
        _kind("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", _C, "pc"),
        _kind("apps", "v1", "deployments", "Deployment", _S, "deploy", status=True, categories="all", generation=True),
        _kind("apps", "v1", "daemonsets", "DaemonSet", _S, "ds", status=True, categories="all", generation=True),
        _kind("apps", "v1", "statefulsets", "StatefulSet", _S, "sts", status=True, categories="all", generation=True),
        _kind("batch", "v1", "jobs", "Job", _S, status=True, categories="all", generation=True),
        _kind("batch", "v1", "cronjobs", "CronJob", _S, "cj", status=True, categories="all", generation=True),
        _kind("apps", "v1", "replicasets", "ReplicaSet", _S, "rs", status=True, categories="all", generation=True),
        _kind("apps", "v1", "controllerrevisions", "ControllerRevision", _S),
        _kind(
            _ADMISSION,
            "v1",
            "validatingadmissionpolicies",
            "ValidatingAdmissionPolicy",
            _C,
            status=True,
            categories="api-extensions",
            generation=True,
            unconditional=False,
        ),
        _kind(
            _ADMISSION,
            "v1",
            "validatingadmissionpolicybindings",
            "ValidatingAdmissionPolicyBinding",
            _C,
            categories="api-extensions",
            generation=True,
            unconditional=False,
        ),
        _kind(
            "apiextensions.k8s.io",
            "v1",
            "customresourcedefinitions",
            "CustomResourceDefinition",
            _C,
            "crd crds",
            status=True,
            categories="api-extensions",
            generation=True,
        ),
    ]


_GUEST = [
    "namespaces",
    "pods",
    "secrets",
    "configmaps",
    "services",
    "endpoints",
    "events",
    "serviceaccounts",
    "nodes",
    "leases",
    "roles",
    "rolebindings",
    "clusterroles",
    "clusterrolebindings",
    "networkpolicies",
    "deployments",
    "daemonsets",
    "statefulsets",
    "jobs",
    "cronjobs",
    "ingresses",
    "poddisruptionbudgets",
    "persistentvolumeclaims",
    "persistentvolumes",
    "storageclasses",
    "priorityclasses",
    "resourcequotas",
    "limitranges",
    "replicasets",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "customresourcedefinitions",
]


def guest() -> list[Kind]:
    """The kinds of a small cluster fresh from kubeadm."""
    return only(_GUEST)


def only(plurals: Iterable[str]) -> list[Kind]:
    """Those of the built-in kinds."""
    wanted = set(plurals)
    return [kind for kind in host() if kind.plural in wanted]
