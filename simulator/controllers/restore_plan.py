"""What a VirtualMachineRestore puts where: names, claims, the VM's new spec. Pure.

(KubeVirt: pkg/storage/snapshot/restore.go.)
"""

from __future__ import annotations

import copy
import hashlib
import uuid
from collections.abc import Mapping, Sequence
from enum import StrEnum

from simulator.api.quantities import quantity
from simulator.client import Obj
from simulator.controllers.meta import annotation, owner

RESTORE_NAME = "restore.kubevirt.io/name"
LAST_RESTORE = "restore.kubevirt.io/lastRestoreUID"
STRIPPED_PREFIXES = ("pv.kubernetes.io", "volume.beta.kubernetes.io", "cdi.kubevirt.io", "volume.kubernetes.io")
STRIPPED = ("k8s.io/CloneRequest", "k8s.io/CloneOf")
CONTENT_TYPE = "cdi.kubevirt.io/storage.contentType"
LEGACY_UUIDS = uuid.UUID("6a1a24a1-4061-4607-8bf4-a3963d0c5895")
"""Namespace of the firmware UUIDs that KubeVirt once derived from VM names."""
LONGEST_NAME = 63


class VolumePolicy(StrEnum):
    RANDOMIZE_NAMES = "RandomizeNames"
    IN_PLACE = "InPlace"
    PREFIX_TARGET_NAME = "PrefixTargetName"


def restore_id(restore: Obj) -> str:
    """The mark of this restore on what it made: `<name>-<uid>`."""
    return f"{restore['metadata']['name']}-{restore['metadata']['uid']}"


def policy_of(restore: Obj) -> VolumePolicy:
    return VolumePolicy(restore["spec"].get("volumeRestorePolicy") or VolumePolicy.RANDOMIZE_NAMES)


def restored_name(restore: Obj, backup: Obj) -> str:
    """The claim that a volume is restored to; the first rule that matches."""
    volume = backup["volumeName"]
    override = overrides_of(restore, volume).get("restoreName")
    if override:
        return str(override)
    policy = policy_of(restore)
    if policy is VolumePolicy.IN_PLACE:
        return str(backup["persistentVolumeClaim"]["metadata"]["name"])
    if policy is VolumePolicy.PREFIX_TARGET_NAME:
        name = f"{restore['spec']['target']['name']}-{volume}"
        return name if len(name) <= LONGEST_NAME else f"{name[:54]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return f"restore-{restore['metadata']['uid']}-{volume}"


def overrides_of(restore: Obj, volume: str) -> Obj:
    for override in restore["spec"].get("volumeRestoreOverrides") or []:
        if override.get("volumeName") == volume:
            return dict(override)
    return {}


def restores_of(restore: Obj, content: Obj) -> list[Obj]:
    """`status.restores` at the start."""
    return [
        {
            "volumeName": backup["volumeName"],
            "persistentVolumeClaim": restored_name(restore, backup),
            "volumeSnapshotName": backup["volumeSnapshotName"],
        }
        for backup in content["spec"].get("volumeBackups") or []
    ]


def restored_claim(restore: Obj, vm: Obj | None, content: Obj, backup: Obj, snapshot: Obj) -> Obj:
    """The claim that brings a volume backup back from its VolumeSnapshot."""
    original = backup["persistentVolumeClaim"]
    source_vm = content["spec"]["source"]["virtualMachine"]["metadata"]
    override = overrides_of(restore, backup["volumeName"])
    spec = {key: value for key, value in original["spec"].items() if key != "volumeName"}
    data = {
        "apiGroup": "snapshot.storage.k8s.io",
        "kind": "VolumeSnapshot",
        "name": backup["volumeSnapshotName"],
    }
    requests = spec.get("resources", {}).get("requests", {})
    size = _larger(requests.get("storage", "0"), (snapshot.get("status") or {}).get("restoreSize", "0"))
    spec |= {"dataSource": data, "dataSourceRef": data, "resources": {"requests": {**requests, "storage": size}}}
    meta: Obj = {
        "name": restored_name(restore, backup),
        "namespace": restore["metadata"]["namespace"],
        "labels": {
            **(original["metadata"].get("labels") or {}),
            "restore.kubevirt.io/source-vm-name": source_vm["name"],
            "restore.kubevirt.io/source-vm-namespace": source_vm["namespace"],
            **(override.get("labels") or {}),
        },
        "annotations": {
            **_kept_annotations(original["metadata"].get("annotations") or {}),
            RESTORE_NAME: restore["metadata"]["name"],
            LAST_RESTORE: restore_id(restore),
            **(override.get("annotations") or {}),
        },
    }
    if vm is not None and restore["spec"].get("volumeOwnershipPolicy", "Vm") != "None":
        meta["ownerReferences"] = [owner(vm)]
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}


def _larger(one: str, other: str) -> str:
    return one if quantity(one) >= quantity(other) else other


def _kept_annotations(annotations: Mapping[str, str]) -> dict[str, str]:
    return {
        key: value
        for key, value in annotations.items()
        if key == CONTENT_TYPE or not (key in STRIPPED or key.startswith(STRIPPED_PREFIXES))
    }


def template_volumes(spec: Obj) -> dict[str, str]:
    """Volume name to DataVolume name, for volumes that come from dataVolumeTemplates."""
    templates = {template["metadata"]["name"] for template in spec.get("dataVolumeTemplates") or []}
    return {
        volume["name"]: volume["dataVolume"]["name"]
        for volume in spec["template"]["spec"].get("volumes") or []
        if "dataVolume" in volume and volume["dataVolume"]["name"] in templates
    }


def restored_data_volume(restore: Obj, content: Obj, volume: str, name: str) -> Obj:
    """The DataVolume around a restored claim, from its template. No owner: the VM adopts it later."""
    spec = content["spec"]["source"]["virtualMachine"]["spec"]
    original = template_volumes(spec)[volume]
    template = next(one for one in spec["dataVolumeTemplates"] if one["metadata"]["name"] == original)
    meta = template["metadata"]
    return {
        "apiVersion": "cdi.kubevirt.io/v1beta1",
        "kind": "DataVolume",
        "metadata": {
            "name": name,
            "namespace": restore["metadata"]["namespace"],
            "labels": dict(meta.get("labels") or {}),
            "annotations": {
                **(meta.get("annotations") or {}),
                RESTORE_NAME: restore["metadata"]["name"],
                "cdi.kubevirt.io/storage.prePopulated": "true",
                "cdi.kubevirt.io/allowClaimAdoption": "true",
            },
        },
        "spec": template["spec"],
    }


def replaced_data_volumes(vm: Obj, restores: Sequence[Obj]) -> list[str]:
    """DataVolumes of the VM's present templates that the restored ones take the place of."""
    now_used = template_volumes(vm["spec"])
    new = {one["volumeName"]: one.get("dataVolumeName") for one in restores}
    return [name for volume, name in now_used.items() if new.get(volume) not in (None, name)]


def restored_spec(vm: Obj | None, content: Obj, restore: Obj) -> Obj:
    """The VM's spec after the restore: the snapshot's, on the restored disks, with the VM's own run strategy."""
    source = content["spec"]["source"]["virtualMachine"]
    spec: Obj = copy.deepcopy(source["spec"])
    current: Obj = vm["spec"] if vm is not None else {"runStrategy": "Halted", "template": {"spec": {}}}
    templated = template_volumes(spec)
    by_volume = {one["volumeName"]: one for one in restore["status"]["restores"]}
    spec.pop("running", None)
    spec.pop("runStrategy", None)
    spec |= {"runStrategy": current["runStrategy"]} if "runStrategy" in current else {"running": False}
    volumes, templates = [], {one["metadata"]["name"]: one for one in spec.get("dataVolumeTemplates") or []}
    for volume in spec["template"]["spec"].get("volumes") or []:
        if "memoryDump" in volume:
            continue
        restored = by_volume.get(volume["name"])
        if restored is None:
            volumes.append(_kept_volume(volume, current, templates))
        else:
            volumes.append(_moved_volume(volume, restored, templated, templates))
    spec["template"]["spec"]["volumes"] = volumes
    used = [volume["dataVolume"]["name"] for volume in volumes if "dataVolume" in volume]
    kept = [templates[name] for name in used if name in templates]
    spec.pop("dataVolumeTemplates", None)
    if kept:
        spec["dataVolumeTemplates"] = kept
    firmware = spec["template"]["spec"].setdefault("domain", {}).setdefault("firmware", {})
    # Another VM than the one of the snapshot gets an identity of its own.
    if not firmware.get("uuid") and source["metadata"]["name"] == restore["spec"]["target"]["name"]:
        firmware["uuid"] = str(uuid.uuid5(LEGACY_UUIDS, source["metadata"]["name"]))
    return spec


def _kept_volume(volume: Obj, current: Obj, templates: dict[str, Obj]) -> Obj:
    """A volume that was not in the snapshot keeps the disk that it has now."""
    for one in current["template"]["spec"].get("volumes") or []:
        if one["name"] == volume["name"] and ("dataVolume" in one or "persistentVolumeClaim" in one):
            templates |= {entry["metadata"]["name"]: entry for entry in current.get("dataVolumeTemplates") or []}
            return dict(one)
    return dict(volume)


def _moved_volume(volume: Obj, restored: Obj, templated: Mapping[str, str], templates: dict[str, Obj]) -> Obj:
    """A volume on its restored claim; one that referred to a DataVolume without template becomes a claim volume."""
    name = restored["persistentVolumeClaim"]
    original = templated.get(volume["name"])
    if original is None:
        return {"name": volume["name"], "persistentVolumeClaim": {"claimName": name}}
    template = templates[original]
    templates[name] = {**template, "metadata": {**template["metadata"], "name": name}}
    return {"name": volume["name"], "dataVolume": {"name": name}}


def already_restored(vm: Obj, restore: Obj) -> bool:
    return annotation(vm, LAST_RESTORE) == restore_id(restore)
