"""Lists of built-in kinds that merge by key: for strategic merge patch and for server-side apply.

Source: the `x-kubernetes-patch-merge-key` and `x-kubernetes-list-map-keys` of Kubernetes' OpenAPI document.
"""

from __future__ import annotations

from typing import Any, NamedTuple

Obj = dict[str, Any]


class MergeList(NamedTuple):
    """The key of strategic merge (None: a set of plain values), the keys of server-side apply."""

    key: str | None
    map_keys: tuple[str, ...] = ()
    atomic_for_apply: bool = False


def _by(key: str, *map_keys: str) -> MergeList:
    return MergeList(key, map_keys or (key,))


SET = MergeList(None)

KEYS: dict[tuple[str, str], MergeList] = {
    ("V1ObjectMeta", "finalizers"): SET,
    ("V1ObjectMeta", "ownerReferences"): _by("uid"),
    ("V1ServiceSpec", "ports"): _by("port", "port", "protocol"),
    ("V1ServiceStatus", "conditions"): _by("type"),
    ("V1ServiceAccount", "secrets"): _by("name"),
    ("V1ServiceAccount", "imagePullSecrets"): _by("name"),
    ("V1PodSpec", "containers"): _by("name"),
    ("V1PodSpec", "initContainers"): _by("name"),
    ("V1PodSpec", "ephemeralContainers"): _by("name"),
    ("V1PodSpec", "volumes"): _by("name"),
    ("V1PodSpec", "imagePullSecrets"): _by("name"),
    ("V1PodSpec", "hostAliases"): _by("ip"),
    ("V1PodSpec", "topologySpreadConstraints"): _by("topologyKey", "topologyKey", "whenUnsatisfiable"),
    ("V1PodStatus", "conditions"): _by("type"),
    ("V1PodStatus", "podIPs"): _by("ip"),
    ("V1Container", "ports"): _by("containerPort", "containerPort", "protocol"),
    ("V1Container", "env"): _by("name"),
    ("V1Container", "volumeMounts"): _by("mountPath"),
    ("V1Container", "volumeDevices"): _by("devicePath"),
    ("V1NodeSpec", "podCIDRs"): SET,
    ("V1NodeSpec", "taints"): MergeList("key", (), True),
    ("V1NodeStatus", "addresses"): _by("type"),
    ("V1NodeStatus", "conditions"): _by("type"),
    ("V1NamespaceStatus", "conditions"): _by("type"),
    ("V1PersistentVolumeClaimStatus", "conditions"): _by("type"),
    ("V1DeploymentStatus", "conditions"): _by("type"),
    ("V1DaemonSetStatus", "conditions"): _by("type"),
    ("V1ReplicaSetStatus", "conditions"): _by("type"),
    ("V1CustomResourceDefinitionStatus", "conditions"): _by("type"),
    ("V1ValidatingAdmissionPolicySpec", "matchConditions"): _by("name"),
    ("V1ValidatingAdmissionPolicySpec", "variables"): _by("name"),
    ("V1ValidatingAdmissionPolicyStatus", "conditions"): _by("type"),
    ("V1ValidatingAdmissionPolicyBindingSpec", "validationActions"): SET,
}


ATOMIC_TYPES = (
    "V1LabelSelector",
    "V1LocalObjectReference",
    "V1ObjectReference",
    "V1RoleRef",
    "V1ObjectFieldSelector",
    "V1ResourceFieldSelector",
    "V1SecretKeySelector",
    "V1ConfigMapKeySelector",
    "V1SecretReference",
    "V1TypedLocalObjectReference",
    "V1NodeSelector",
    "V1NodeSelectorTerm",
    "V1Subject",
    "V1OwnerReference",
    "V1MatchResources",
    "V1NamedRuleWithOperations",
    "V1ParamKind",
    "V1ParamRef",
)
"""Structs that server-side apply takes as one value (`x-kubernetes-map-type: atomic`)."""


ATOMIC_FIELDS = (("V1ServiceSpec", "selector"), ("V1PodSpec", "nodeSelector"))
"""Maps that it takes as one value."""


def extensions(merge: MergeList) -> Obj:
    """The marks that an OpenAPI document carries for such a list."""
    marks: Obj = {"x-kubernetes-patch-strategy": "merge"}
    if merge.key:
        marks["x-kubernetes-patch-merge-key"] = merge.key
    if merge.atomic_for_apply:
        marks["x-kubernetes-list-type"] = "atomic"
    elif merge.key:
        marks |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(merge.map_keys)}
    else:
        marks["x-kubernetes-list-type"] = "set"
    return marks
