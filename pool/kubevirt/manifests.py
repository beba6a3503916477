"""Manifests of what KubeVirt and CDI are asked to make."""

from __future__ import annotations

import hashlib

from pool.core.settings import Settings
from pool.kube.client import Object
from pool.kube.resources import DATA_VOLUMES, VM_RESTORES, VM_SNAPSHOTS, VMS
from pool.kubevirt.cluster import ROOT_VOLUME, RUN_LABEL, Machine
from pool.kubevirt.templates import render_manifest

GOLDEN_IMAGE = "golden"
"""DataVolume and PVC in the templates namespace that every root disk is cloned from."""


def virtual_machine(machine: Machine, settings: Settings) -> Object:
    """The VirtualMachine, running, its root disk cloned from the golden image."""
    return render_manifest(
        "vm.yaml.j2", machine=machine, settings=settings, root_volume=ROOT_VOLUME, golden_image=GOLDEN_IMAGE
    )


def golden_image(settings: Settings) -> Object:
    """The DataVolume that imports the golden image from a registry."""
    storage: Object = {"resources": {"requests": {"storage": settings.disk_size}}}
    if settings.storage_class:
        storage["storageClassName"] = settings.storage_class
    spec = {"source": {"registry": {"url": settings.golden_image}}, "storage": storage}
    made = DATA_VOLUMES.manifest(GOLDEN_IMAGE, settings.templates_namespace, spec=spec)
    # A class that binds at first use would never import: nobody uses this volume but to clone it.
    made["metadata"]["annotations"] = {"cdi.kubevirt.io/storage.bind.immediate.requested": "true"}
    return made


def snapshot(machine: Machine, name: str, settings: Settings) -> Object:
    """A VirtualMachineSnapshot of the VM as it is now."""
    spec = {"source": _vm(machine), "failureDeadline": f"{settings.snapshot_timeout:.0f}s"}
    return VM_SNAPSHOTS.manifest(name, machine.namespace, labels=machine.labels, spec=spec)


def restore(machine: Machine, snapshot_name: str, run_id: str) -> Object:
    """A VirtualMachineRestore of the VM, named and labelled by the run that made it.

    KubeVirt: FailImmediate, since a target that still runs means that a step before went wrong. volumeRestorePolicy
    stays unset (RandomizeNames): the others leak disks, or restore nothing the second time and call it complete.
    """
    run = run_key(run_id)
    spec = {
        "target": _vm(machine),
        "virtualMachineSnapshotName": snapshot_name,
        "targetReadinessPolicy": "FailImmediate",
    }
    name = f"{machine.role.short}-reset-{run}"
    return VM_RESTORES.manifest(name, machine.namespace, labels=machine.labels | {RUN_LABEL: run}, spec=spec)


def run_key(run_id: str) -> str:
    """A run's ID as part of names and labels: short, and valid whatever the ID looks like."""
    return hashlib.sha256(run_id.encode()).hexdigest()[:12]


def _vm(machine: Machine) -> Object:
    return {"apiGroup": VMS.group, "kind": VMS.kind, "name": machine.name}
