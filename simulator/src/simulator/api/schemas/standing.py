"""Fields of built-in kinds that Go always writes: structs held by value, lists without `omitempty`.

Who fills such a field owns what is in it, but not the field itself: it was there before (`metadata.managedFields`).
Source: the Go types of k8s.io/api.
"""

from __future__ import annotations

from typing import Any

Obj = dict[str, Any]
_OF_OBJECTS = ("metadata", "spec", "status")
_FIELDS: dict[str, tuple[str, ...]] = {
    "V1PodTemplateSpec": ("metadata", "spec"),
    "V1JobTemplateSpec": ("metadata", "spec"),
    "V1PersistentVolumeClaimTemplate": ("metadata", "spec"),
    "V1DeploymentSpec": ("template", "strategy"),
    "V1ReplicaSetSpec": ("template",),
    "V1StatefulSetSpec": ("template", "updateStrategy"),
    "V1DaemonSetSpec": ("template", "updateStrategy"),
    "V1JobSpec": ("template",),
    "V1CronJobSpec": ("jobTemplate",),
    "V1Container": ("resources",),
    "V1PersistentVolumeClaimSpec": ("resources",),
    "V1ServiceStatus": ("loadBalancer",),
    "V1IngressStatus": ("loadBalancer",),
    "V1NodeStatus": ("daemonEndpoints", "nodeInfo"),
    "V1NodeDaemonEndpoints": ("kubeletEndpoint",),
    "V1CustomResourceDefinitionSpec": ("names",),
    "V1CustomResourceDefinitionStatus": ("acceptedNames",),
    "CoreV1Event": ("metadata", "source"),
}
_LISTS: dict[str, tuple[str, ...]] = {
    "V1PodSpec": ("containers",),
    "V1CustomResourceDefinitionStatus": ("conditions",),
}


def standing(name: str, source: Obj) -> Obj:
    """Those of the type `name`, with what they are when nobody has set them; `source`: its OpenAPI schema."""
    properties = source.get("properties") or {}
    fields = _FIELDS.get(name, ())
    if "apiVersion" in properties and "metadata" in properties:
        fields = tuple({*fields, *(field for field in _OF_OBJECTS if field in properties)})
    return {field: {} for field in fields} | {field: [] for field in _LISTS.get(name, ())}
