"""What a VirtualMachineRestore puts where: names, claims, the VM's new spec. Pure.

(KubeVirt: pkg/storage/snapshot/restore.go.)
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from enum import StrEnum

from simulator.api.quantities import quantity
from simulator.api.values import copied
from simulator.client import Obj
from simulator.client.meta import annotation, owner
from simulator.controllers.storage.claims import POPULATED_FOR

RESTORE_NAME = "restore.kubevirt.io/name"
LAST_RESTORE = "restore.kubevirt.io/lastRestoreUID"
OWNED_BY_VM = "restore.kubevirt.io/owned-by-vm"
"""On a claim whose VM is made later: which restore gives it to that."""
BACKEND = "persistent-state-for"
"""Label of the claim with a VM's TPM and EFI state."""
STRIPPED_PREFIXES = (
    "pv.kubernetes.io",
    "volume.beta.kubernetes.io",
    "cdi.kubevirt.io",
    "volume.kubernetes.io",
    "k8s.io/CloneRequest",
    "k8s.io/CloneOf",
)
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
        for backup in backups_of(content)
    ]


def backups_of(content: Obj) -> list[Obj]:
    """What is restored of a content: all but memory dumps, which are kept in the snapshot only."""
    volumes = content["spec"]["source"]["virtualMachine"]["spec"]["template"]["spec"].get("volumes") or []
    dumps = {volume["name"] for volume in volumes if "memoryDump" in volume}
    return [one for one in content["spec"].get("volumeBackups") or [] if one["volumeName"] not in dumps]


def restored_claim(restore: Obj, vm: Obj | None, content: Obj, entry: Obj, backup: Obj, snapshot: Obj) -> Obj:
    """The claim that brings a volume backup back from its VolumeSnapshot. `entry`: the one of `status.restores`."""
    original = backup["persistentVolumeClaim"]
    source_vm = content["spec"]["source"]["virtualMachine"]["metadata"]
    override = overrides_of(restore, backup["volumeName"])
    labels = {key: value for key, value in (original["metadata"].get("labels") or {}).items() if key != BACKEND}
    meta: Obj = {
        "name": entry["persistentVolumeClaim"],
        "namespace": restore["metadata"]["namespace"],
        "labels": {
            **labels,
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
    if entry.get("dataVolumeName"):
        # Restored in place: the DataVolume that lost its claim takes this one.
        meta["annotations"][POPULATED_FOR] = entry["dataVolumeName"]
    elif restore["spec"].get("volumeOwnershipPolicy", "Vm") != "None":
        if vm is not None:
            meta["ownerReferences"] = [owner(vm)]
        elif any(one["uid"] == source_vm.get("uid") for one in original["metadata"].get("ownerReferences") or []):
            meta["annotations"][OWNED_BY_VM] = restore["metadata"]["name"]
    spec = _restored_claim_spec(original["spec"], snapshot)
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}


def _restored_claim_spec(original: Obj, snapshot: Obj) -> Obj:
    kept = ("accessModes", "resources", "storageClassName", "volumeMode")
    spec = copied({key: original[key] for key in kept if key in original})
    name = snapshot["metadata"]["name"]
    data = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": name}
    requests = spec.setdefault("resources", {}).setdefault("requests", {})
    restore_size = (snapshot.get("status") or {}).get("restoreSize", "0")
    requests["storage"] = _larger(requests.get("storage", "0"), restore_size)
    return {**spec, "dataSource": data, "dataSourceRef": dict(data)}


def _larger(one: str, other: str) -> str:
    return one if quantity(one) >= quantity(other) else other


def _kept_annotations(annotations: Mapping[str, str]) -> dict[str, str]:
    return {
        key: value for key, value in annotations.items() if key == CONTENT_TYPE or not key.startswith(STRIPPED_PREFIXES)
    }


def template_volumes(spec: Obj) -> dict[str, str]:
    """Volume name to DataVolume name, for volumes that come from dataVolumeTemplates."""
    templates = {template["metadata"]["name"] for template in spec.get("dataVolumeTemplates") or []}
    return {
        volume["name"]: volume["dataVolume"]["name"]
        for volume in spec["template"]["spec"].get("volumes") or []
        if "dataVolume" in volume and volume["dataVolume"]["name"] in templates
    }


def restored_data_volume(restore: Obj, template: Obj) -> Obj:
    """The DataVolume around a restored claim, from its template. No owner: the VM adopts it later."""
    meta = template["metadata"]
    return {
        "apiVersion": "cdi.kubevirt.io/v1beta1",
        "kind": "DataVolume",
        "metadata": {
            "name": meta["name"],
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


def replaced_data_volumes(vm: Obj, spec: Obj) -> list[str]:
    """DataVolumes of the VM's present templates that have no place in its restored spec: also of disks that were added
    since the snapshot."""
    kept = {template["metadata"]["name"] for template in spec.get("dataVolumeTemplates") or []}
    names = [template["metadata"]["name"] for template in vm["spec"].get("dataVolumeTemplates") or []]
    return [name for name in names if name not in kept]


def restored_spec(vm: Obj | None, content: Obj, restore: Obj) -> Obj:
    """The VM's spec after the restore: the snapshot's, on the restored disks, with the VM's own run strategy. A volume
    that was left out of the snapshot is on the disk that it was on then."""
    source = content["spec"]["source"]["virtualMachine"]
    spec: Obj = copied(source["spec"])
    templated = template_volumes(spec)
    by_volume = {one["volumeName"]: one for one in (restore.get("status") or {}).get("restores") or []}
    _switch_off(spec, vm["spec"] if vm is not None else None)
    volumes, renamed = [], {}
    for volume in spec["template"]["spec"].get("volumes") or []:
        restored = by_volume.get(volume["name"])
        if restored is not None and volume["name"] in templated:
            renamed[templated[volume["name"]]] = restored["persistentVolumeClaim"]
        if "memoryDump" not in volume:
            volumes.append(volume if restored is None else _moved(volume, restored, volume["name"] in templated))
    spec["template"]["spec"]["volumes"] = volumes
    for template in spec.get("dataVolumeTemplates") or []:
        meta = template["metadata"]
        meta["name"] = renamed.get(meta["name"], meta["name"])
    firmware = spec["template"]["spec"].setdefault("domain", {}).setdefault("firmware", {})
    # Another VM than the one of the snapshot gets an identity of its own.
    if not firmware.get("uuid") and source["metadata"]["name"] == restore["spec"]["target"]["name"]:
        firmware["uuid"] = str(uuid.uuid5(LEGACY_UUIDS, source["metadata"]["name"]))
    return spec


def _switch_off(spec: Obj, current: Obj | None) -> None:
    """Put the run strategy of the VM's spec in (None: Halted), in place. The older `running` turns false."""
    legacy = (spec if current is None else current).get("running") is not None
    for key in ("running", "runStrategy"):
        spec.pop(key, None)
    if legacy:
        spec["running"] = False
    else:
        spec["runStrategy"] = current["runStrategy"] if current is not None else "Halted"


def _moved(volume: Obj, restored: Obj, templated: bool) -> Obj:
    """A volume on its restored claim; one that referred to a DataVolume without template becomes a claim volume."""
    name = restored["persistentVolumeClaim"]
    if templated:
        return {**volume, "dataVolume": {**volume["dataVolume"], "name": name}}
    if "persistentVolumeClaim" in volume:
        return {**volume, "persistentVolumeClaim": {**volume["persistentVolumeClaim"], "claimName": name}}
    return {"name": volume["name"], "persistentVolumeClaim": {"claimName": name}}


def already_restored(vm: Obj, restore: Obj) -> bool:
    return annotation(vm, LAST_RESTORE) == restore_id(restore)
