"""What a PersistentVolumeClaim says: its class, its source, who uses it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from simulator.client import Obj
from simulator.client.meta import annotation

IMPORT_ENDPOINT = "cdi.kubevirt.io/storage.import.endpoint"
CLONE_REQUEST = "k8s.io/CloneRequest"
SOURCE_NAMESPACE = "cdi.kubevirt.io/dataSourceNamespace"
"""Where the source of a clone is, if not in the claim's own namespace."""
POPULATED_FOR = "cdi.kubevirt.io/storage.populatedFor"
IMPORT_SOURCE = "cdi.kubevirt.io/storage.import.source"
IMPORT_SECRET = "cdi.kubevirt.io/storage.import.secretName"
"""Name of the Secret with the user and the password for the import."""
BIND_IMMEDIATE = "cdi.kubevirt.io/storage.bind.immediate.requested"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


class Source(StrEnum):
    """Where a claim's first content comes from."""

    BLANK = "blank"
    IMAGE = "image"
    CLONE = "clone"
    SNAPSHOT = "snapshot"
    OTHER = "other"
    """Something that storage does not know, and leaves to whoever does: CDI's own populators, say."""


def source_of(claim: Obj) -> tuple[Source, str]:
    """The kind of source and its `namespace/name`: of a PVC or a VolumeSnapshot, else empty."""
    if annotation(claim, IMPORT_ENDPOINT) is not None:
        return Source.IMAGE, ""
    clone = annotation(claim, CLONE_REQUEST)
    if clone is not None:
        return Source.CLONE, clone
    data = claim["spec"].get("dataSourceRef") or claim["spec"].get("dataSource")
    namespace = annotation(claim, SOURCE_NAMESPACE) or claim["metadata"]["namespace"]
    if data and data["kind"] == "VolumeSnapshot":
        return Source.SNAPSHOT, f"{namespace}/{data['name']}"
    if data and data["kind"] == "PersistentVolumeClaim":
        return Source.CLONE, f"{namespace}/{data['name']}"
    return (Source.OTHER, data["name"]) if data else (Source.BLANK, "")


def bound(claim: Obj) -> bool:
    return bool(claim.get("status", {}).get("phase") == "Bound")


def request(claim: Obj) -> str:
    """The storage quantity asked for."""
    quantity: str = claim["spec"].get("resources", {}).get("requests", {}).get("storage", "1Gi")
    return quantity


def class_of(claim: Obj, classes: Iterable[Obj]) -> Obj | None:
    """The StorageClass of a claim: the named one, else the default."""
    name = claim["spec"].get("storageClassName")
    for candidate in classes:
        if candidate["metadata"]["name"] == name if name else annotation(candidate, DEFAULT_CLASS) == "true":
            return candidate
    return None


def waits_for_consumer(storage_class: Obj | None) -> bool:
    return storage_class is not None and storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"


def waits(claim: Obj, storage_class: Obj | None) -> bool:
    """Whether the claim is left alone until a pod that uses it has a node. CDI can be asked not to wait."""
    asked = annotation(claim, SELECTED_NODE) is not None or annotation(claim, BIND_IMMEDIATE) is not None
    return waits_for_consumer(storage_class) and not asked


def slowness(storage_class: Obj | None) -> float:
    """How many times as long as others the class takes: its parameter `slowness`."""
    return float(((storage_class or {}).get("parameters") or {}).get("slowness", 1))


def claims_of_pod(pod: Obj) -> list[str]:
    """Names of the claims that a pod mounts."""
    volumes = pod["spec"].get("volumes") or []
    return [volume["persistentVolumeClaim"]["claimName"] for volume in volumes if "persistentVolumeClaim" in volume]


def users(claim: str, pods: Iterable[Obj]) -> list[Obj]:
    """Pods that hold a claim: all that mount it but those that Succeeded (Failed ones count, as in KubeVirt)."""
    return [pod for pod in pods if claim in claims_of_pod(pod) and pod.get("status", {}).get("phase") != "Succeeded"]
