"""Manifests of what KubeVirt and CDI are asked to make."""

from __future__ import annotations

import hashlib

from pool.core.clusters import POOL_UID_LABEL, ClonedImage
from pool.core.pools import Pool
from pool.core.settings import Settings
from pool.kube.client import Object
from pool.kube.resources import DATA_VOLUMES, VM_RESTORES, VM_SNAPSHOTS, VMS
from pool.kubevirt.cluster import (
    CLUSTER_LABEL,
    CLUSTER_UID_LABEL,
    ROLE_LABEL,
    ROOT_VOLUME,
    RUN_LABEL,
    Machine,
    Role,
    pool_labels,
)
from pool.kubevirt.sources import source_of
from pool.kubevirt.templates import render_manifest

IMAGE_LABEL = "cks.io/golden-image"
"""On an image's disk, which tells it from the pool's other ones in the templates' namespace."""
IMAGE_URL_ANNOTATION = "cks.io/image-url"
"""On an image's disk: where it was imported from. On a VM: where that of its own disk was."""
IMAGE_DISK_ANNOTATION = "cks.io/image-disk"
"""On a VM: name of the image's disk that its own was cloned from."""
IMAGE_CHECKSUM_ANNOTATION = "cks.io/image-checksum"
"""On a VM: checksum of the image's file, if it was compared."""
VERSION_ANNOTATION = "cks.io/kubernetes-version"
"""On a VM: the version of Kubernetes that it was made for."""
KEPT = {"cdi.kubevirt.io/storage.deleteAfterCompletion": "false"}
"""CDI may remove DataVolumes that are filled. An image's says how it was filled, and whether that was checked."""
BIND_NOW = {"cdi.kubevirt.io/storage.bind.immediate.requested": "true"}
"""A class that binds at first use would never fill a volume that nobody uses but to clone it."""


def virtual_machine(machine: Machine, pool: Pool, image: ClonedImage, settings: Settings) -> Object:
    """The VirtualMachine, running, its root disk cloned from the image's."""
    machines = pool.spec.machines
    made = render_manifest(
        "vm.yaml.j2",
        machine=machine,
        machines=machines,
        own=machines.control_plane if machine.role is Role.CONTROL_PLANE else machines.worker,
        tolerations=[one.model_dump(by_alias=True, exclude_none=True) for one in machines.tolerations],
        affinity=affinity(machine),
        image=image,
        root_volume=ROOT_VOLUME,
        templates_namespace=settings.templates_namespace,
        stop_grace=settings.golden_stop_grace,
    )
    notes = {
        IMAGE_URL_ANNOTATION: image.url,
        IMAGE_DISK_ANNOTATION: image.disk,
        IMAGE_CHECKSUM_ANNOTATION: image.checksum,
        VERSION_ANNOTATION: image.kubernetes_version,
    }
    made["metadata"]["annotations"] = {name: value for name, value in notes.items() if value is not None}
    return made


def image_of(vm: Object) -> ClonedImage | None:
    """What the VM's disk was cloned from when it was made; None if nobody noted it."""
    # The template's source says it only until the first restore; KubeVirt keeps a VM's annotations.
    notes = vm["metadata"].get("annotations") or {}
    if not notes.keys() >= {IMAGE_URL_ANNOTATION, IMAGE_DISK_ANNOTATION}:
        return None
    return ClonedImage(
        url=notes[IMAGE_URL_ANNOTATION],
        disk=notes[IMAGE_DISK_ANNOTATION],
        checksum=notes.get(IMAGE_CHECKSUM_ANNOTATION),
        kubernetes_version=notes.get(VERSION_ANNOTATION),
    )


def affinity(machine: Machine) -> Object:
    """Where the VM likes to run: on the host of its cluster's other one, and not on another cluster's.

    One host that fails takes one cluster along then, not two, and the link between the nodes stays inside it. Only
    control planes keep apart, workers follow them. Preferred, since hosts may be few, and a disk may be of one of them.
    Spread constraints of a Pod count its own namespace alone, and each cluster has its own.
    """
    cluster = machine.cluster
    terms = {"podAffinity": _near({CLUSTER_LABEL: cluster.id, CLUSTER_UID_LABEL: cluster.uid}, 100)}
    if machine.role is Role.CONTROL_PLANE:
        pool = {POOL_UID_LABEL: cluster.pool_uid}
        terms["podAntiAffinity"] = _near(pool | {ROLE_LABEL: machine.role.value}, 50, namespaces=pool)
    return terms


def _near(labels: dict[str, str], weight: int, namespaces: dict[str, str] | None = None) -> Object:
    term: Object = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": labels}}
    term |= {"namespaceSelector": {"matchLabels": namespaces}} if namespaces else {}
    return {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": weight, "podAffinityTerm": term}]}


def wanted_image(pool: Pool) -> ClonedImage:
    """The image that the pool's clusters are to be cloned from: it is known by what it is.

    Another URL, checksum, size or storage class is another disk, so a disk never changes under those who clone it. By
    which secret and which CA it was fetched makes no other disk.
    """
    image, machines = pool.spec.image, pool.spec.machines
    facts = [pool.metadata.uid, image.url, machines.disk, machines.storage_class or ""]
    facts += [image.checksum] if image.checksum else []
    key = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:12]
    return ClonedImage(
        url=image.url,
        disk=f"golden-{pool.name}-{key}",
        checksum=image.checksum,
        kubernetes_version=image.kubernetes_version,
    )


def image_disk(pool: Pool, settings: Settings) -> Object:
    """The DataVolume that imports the pool's image. Raises InvalidInput."""
    image, machines = wanted_image(pool), pool.spec.machines
    storage: Object = {"resources": {"requests": {"storage": machines.disk}}}
    if machines.storage_class:
        storage["storageClassName"] = machines.storage_class
    spec = {**source_of(pool.spec.image), "storage": storage}
    labels = pool_labels(pool) | {IMAGE_LABEL: "true"}
    made = DATA_VOLUMES.manifest(image.disk, settings.templates_namespace, labels=labels, spec=spec)
    made["metadata"]["annotations"] = BIND_NOW | KEPT | {IMAGE_URL_ANNOTATION: image.url}
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
