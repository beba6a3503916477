"""What the API server fills into built-in kinds, and what it refuses there."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from simulator.api import policies
from simulator.api.builtin import (
    access_rules,
    contents,
    pod_rules,
    policy_rules,
    record_rules,
    service_rules,
    storage_rules,
    workloads,
)
from simulator.api.definitions import crds
from simulator.api.errors import Cause
from simulator.api.store import Collection
from simulator.api.values import shown

Obj = dict[str, Any]


def _namespace(obj: Obj, old: Obj | None) -> None:
    meta = obj["metadata"]
    meta["labels"] = {**(meta.get("labels") or {}), "kubernetes.io/metadata.name": meta["name"]}
    if old is None:
        obj["spec"] = {"finalizers": ["kubernetes"]}
        obj["status"] = {"phase": "Active"}
    elif not old["metadata"].get("deletionTimestamp") or "spec" not in obj:
        # Only a namespace that is being deleted can be finalized.
        obj["spec"] = old["spec"]


def _pod(obj: Obj, old: Obj | None) -> None:
    spec = obj.setdefault("spec", {})
    workloads.pod_spec(spec)
    spec.setdefault("enableServiceLinks", True)
    spec.setdefault("serviceAccountName", "default")
    if old is None:
        obj["status"] = {"phase": "Pending", "qosClass": "BestEffort"}


def _secret(obj: Obj, old: Obj | None) -> None:
    obj.setdefault("type", "Opaque")
    plain = obj.pop("stringData", None)
    if plain:
        encoded = {key: base64.b64encode(str(value).encode()).decode() for key, value in plain.items()}
        obj["data"] = {**(obj.get("data") or {}), **encoded}


def _claim(obj: Obj, old: Obj | None) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("volumeMode", "Filesystem")
    if old is None:
        obj["status"] = {"phase": "Pending"}
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source and not reference:
        spec["dataSourceRef"] = source
    elif reference and not source and not reference.get("namespace"):
        spec["dataSource"] = reference


def _volume(obj: Obj, old: Obj | None) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("volumeMode", "Filesystem")
    spec.setdefault("persistentVolumeReclaimPolicy", "Retain")
    if old is None:
        obj["status"] = {"phase": "Available"}


def _service(obj: Obj, old: Obj | None) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    spec.setdefault("internalTrafficPolicy", "Cluster")
    spec.setdefault("ipFamilies", ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "SingleStack")
    for port in spec.get("ports") or []:
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))
    if old is None:
        obj["status"] = {"loadBalancer": {}}
    elif old.get("spec", {}).get("clusterIP") and not spec.get("clusterIP"):
        spec["clusterIP"] = old["spec"]["clusterIP"]
        spec["clusterIPs"] = old["spec"].get("clusterIPs", [spec["clusterIP"]])


def _storage_class(obj: Obj, old: Obj | None) -> None:
    obj.setdefault("reclaimPolicy", "Delete")
    obj.setdefault("volumeBindingMode", "Immediate")


def _network_policy(obj: Obj, old: Obj | None) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("policyTypes", ["Ingress", *(["Egress"] if spec.get("egress") else [])])


def _binding(obj: Obj, old: Obj | None) -> None:
    obj.get("roleRef", {}).setdefault("apiGroup", "rbac.authorization.k8s.io")
    for subject in obj.get("subjects") or []:
        if subject.get("kind") in ("User", "Group"):
            subject.setdefault("apiGroup", "rbac.authorization.k8s.io")


PREPARE: dict[Collection, Callable[[Obj, Obj | None], None]] = {
    ("", "namespaces"): _namespace,
    ("", "pods"): _pod,
    ("", "secrets"): _secret,
    ("", "persistentvolumeclaims"): _claim,
    ("", "persistentvolumes"): _volume,
    ("", "services"): _service,
    ("storage.k8s.io", "storageclasses"): _storage_class,
    ("apps", "deployments"): workloads.deployment,
    ("apps", "statefulsets"): workloads.stateful_set,
    ("batch", "jobs"): workloads.job,
    ("batch", "cronjobs"): workloads.cron_job,
    ("networking.k8s.io", "ingresses"): workloads.ingress,
    ("policy", "poddisruptionbudgets"): workloads.budget,
    ("networking.k8s.io", "networkpolicies"): _network_policy,
    ("rbac.authorization.k8s.io", "rolebindings"): _binding,
    ("rbac.authorization.k8s.io", "clusterrolebindings"): _binding,
    policies.POLICIES: policy_rules.prepare,
    policies.BINDINGS: policy_rules.prepare_binding,
    crds.CRDS: crds.prepare,
}


def _secret_faults(obj: Obj, old: Obj | None) -> list[Cause]:
    return [*_immutable(obj, old, "type"), *contents.secret(obj, old)]


def _immutable(obj: Obj, old: Obj | None, *path: str) -> list[Cause]:
    if old is None:
        return []
    now, before = _at(obj, path), _at(old, path)
    if now == before:
        return []
    return [Cause(".".join(path), f"Invalid value: {shown(now)}: field is immutable")]


def _at(obj: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        obj = obj.get(part) if isinstance(obj, dict) else None
    return obj


VALIDATE: dict[Collection, Callable[[Obj, Obj | None], list[Cause]]] = {
    ("", "configmaps"): contents.config_map,
    ("", "secrets"): _secret_faults,
    ("", "services"): service_rules.service,
    ("", "pods"): pod_rules.pod,
    ("", "persistentvolumeclaims"): storage_rules.claim,
    ("", "resourcequotas"): record_rules.quota,
    ("", "events"): record_rules.event,
    ("coordination.k8s.io", "leases"): record_rules.lease,
    ("storage.k8s.io", "storageclasses"): storage_rules.storage_class,
    ("networking.k8s.io", "networkpolicies"): service_rules.network_policy,
    ("apps", "deployments"): workloads.selected_faults,
    ("apps", "statefulsets"): workloads.selected_faults,
    ("batch", "jobs"): workloads.job_faults,
    ("batch", "cronjobs"): workloads.cron_job_faults,
    ("networking.k8s.io", "ingresses"): workloads.ingress_faults,
    ("policy", "poddisruptionbudgets"): workloads.budget_faults,
    ("rbac.authorization.k8s.io", "roles"): access_rules.role,
    ("rbac.authorization.k8s.io", "clusterroles"): access_rules.cluster_role,
    ("rbac.authorization.k8s.io", "rolebindings"): access_rules.role_binding,
    ("rbac.authorization.k8s.io", "clusterrolebindings"): access_rules.cluster_role_binding,
    policies.POLICIES: policy_rules.policy,
    policies.BINDINGS: policy_rules.binding,
    crds.CRDS: crds.faults,
}
