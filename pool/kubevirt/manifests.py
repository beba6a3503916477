"""Manifests of what KubeVirt and CDI are asked to make."""

from __future__ import annotations

import hashlib

from pool.core.clusters import ClonedImage
from pool.core.pools import Pool
from pool.core.settings import Settings
from pool.kube.client import Object
from pool.kube.resources import DATA_VOLUMES, VM_RESTORES, VM_SNAPSHOTS, VMS
from pool.kubevirt.cluster import ROOT_VOLUME, RUN_LABEL, Machine, pool_labels
from pool.kubevirt.templates import render_manifest

IMAGE_LABEL = "cks.io/golden-image"
"""On an image's disk, which tells it from the pool's other ones in the templates' namespace."""
IMAGE_URL_ANNOTATION = "cks.io/image-url"
"""On an image's disk: where it was imported from. On a VM: where that of its own disk was."""
IMAGE_DISK_ANNOTATION = "cks.io/image-disk"
"""On a VM: name of the image's disk that its own was cloned from."""
BIND_NOW = {"cdi.kubevirt.io/storage.bind.immediate.requested": "true"}
"""A class that binds at first use would never fill a volume that nobody uses but to clone it."""


def virtual_machine(machine: Machine, pool: Pool, image: ClonedImage, settings: Settings) -> Object:
    """The VirtualMachine, running, its root disk cloned from the image's."""
    made = render_manifest(
        "vm.yaml.j2",
        machine=machine,
        machines=pool.spec.machines,
        image=image,
        root_volume=ROOT_VOLUME,
        templates_namespace=settings.templates_namespace,
        stop_grace=settings.golden_stop_grace,
    )
    made["metadata"]["annotations"] = {IMAGE_URL_ANNOTATION: image.url, IMAGE_DISK_ANNOTATION: image.disk}
    return made


def wanted_image(pool: Pool) -> ClonedImage:
    """The image that the pool's clusters are to be cloned from: it is known by what it is.

    Another URL, size or storage class is another disk, so a disk never changes under those who clone it.
    """
    machines = pool.spec.machines
    facts = (pool.metadata.uid, pool.spec.image.url, machines.disk, machines.storage_class or "")
    key = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:12]
    return ClonedImage(url=pool.spec.image.url, disk=f"golden-{pool.name}-{key}")


def image_disk(pool: Pool, settings: Settings) -> Object:
    """The DataVolume that imports the pool's image from its registry."""
    image, machines = wanted_image(pool), pool.spec.machines
    storage: Object = {"resources": {"requests": {"storage": machines.disk}}}
    if machines.storage_class:
        storage["storageClassName"] = machines.storage_class
    spec = {"source": {"registry": {"url": image.url}}, "storage": storage}
    labels = pool_labels(pool) | {IMAGE_LABEL: "true"}
    made = DATA_VOLUMES.manifest(image.disk, settings.templates_namespace, labels=labels, spec=spec)
    made["metadata"]["annotations"] = BIND_NOW | {IMAGE_URL_ANNOTATION: image.url}
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
