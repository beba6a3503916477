"""Leftover disks: what aborted restores leave behind, found and removed.

KubeVirt: deleting a VirtualMachineRestore part-way never removes the PVC or DataVolume it made; some of them have no
owner and survive even their VM. After the VM was pointed at the new disk it is the old one that stays.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pool.kube.client import Object
from pool.kube.gather import gather
from pool.kube.resources import DATA_VOLUMES, PVCS, VM_RESTORES, VMS, Resource
from pool.kube.watching import Watching
from pool.kubevirt.cluster import CLUSTER_LABEL, Cluster
from pool.kubevirt.fence import Fence
from pool.kubevirt.ownership import Owner, named, owner
from pool.kubevirt.restores import failure_text, finished

RESTORE_ANNOTATION = "restore.kubevirt.io/name"
SOURCE_LABEL = "restore.kubevirt.io/source-vm-name"


@dataclass(frozen=True)
class Leftover:
    """A disk that nothing uses, as it was read."""

    resource: Resource
    found: Object

    def __str__(self) -> str:
        return named(self.found)


def leftovers(
    claims: Iterable[Object],
    data_volumes: Iterable[Object],
    restores: Iterable[Object],
    vms: Iterable[Object],
    cluster: Cluster,
) -> list[Leftover]:
    """The disks to remove. Pure.

    A PVC or DataVolume goes if it is in the cluster's namespace and carries its identity (KubeVirt: a restored disk has
    the labels of the one it replaces), no volume of any VM refers to it, and no unfinished restore owns it. One without
    a trace of a restore goes only while its VM exists and uses another: else the VM is being made.

    Read the disks first, then the restores, then the VMs: a disk seen first is then either still its restore's or
    already its VM's.
    """
    vms = list(vms)
    used = {(vm["metadata"]["namespace"], name) for vm in vms for name in _disks(vm)}
    owners = [one for one in restores if not finished(one) and not failure_text(one)]
    found = []
    for resource, objects in ((DATA_VOLUMES, data_volumes), (PVCS, claims)):
        for obj in objects:
            meta = obj["metadata"]
            where = (meta["namespace"], meta["name"])
            if meta["namespace"] != cluster.namespace or owner(obj, cluster) is Owner.OTHERS:
                continue
            if where in used or meta.get("deletionTimestamp"):
                continue
            if _owned(meta, owners) or not (_restored(meta) or _replaced(meta, vms)):
                continue
            found.append(Leftover(resource, obj))
    return found


async def sweep(fence: Fence, watching: Watching, cluster: Cluster, *, timeout: float) -> list[Leftover]:
    """Remove the leftover disks of the cluster, and wait until they are gone: until then they count for its quota.

    Returns what was removed. Raises StaleOperation, WaitTimeout.
    """
    kube = fence.kube
    claims, volumes = await gather(kube.list(kind, cluster.namespace) for kind in (PVCS, DATA_VOLUMES))
    restores = await kube.list(VM_RESTORES, cluster.namespace)
    vms = await kube.list(VMS, cluster.namespace)
    found = leftovers(claims, volumes, restores, vms, cluster)
    removed = [one for one in found if await fence.remove(one.resource, one.found)]
    await gather(_gone(watching, one, timeout) for one in removed)
    return removed


async def _gone(watching: Watching, leftover: Leftover, timeout: float) -> None:
    what = f"{leftover} to be deleted"
    await watching.gone(leftover.resource, leftover.found, timeout=timeout, what=what, labels=CLUSTER_LABEL)


def _restored(meta: Object) -> bool:
    return RESTORE_ANNOTATION in (meta.get("annotations") or {}) or SOURCE_LABEL in (meta.get("labels") or {})


def _replaced(meta: Object, vms: list[Object]) -> bool:
    """Whether it is the disk of a VM that uses another one now."""
    owners = {owner["uid"] for owner in meta.get("ownerReferences") or [] if owner.get("kind") == "VirtualMachine"}
    return any(vm["metadata"]["uid"] in owners for vm in vms)


def _owned(meta: Object, unfinished: list[Object]) -> bool:
    maker = (meta.get("annotations") or {}).get(RESTORE_ANNOTATION)
    for one in unfinished:
        same_namespace = one["metadata"]["namespace"] == meta["namespace"]
        if same_namespace and (one["metadata"]["name"] == maker or one["metadata"]["uid"] in meta["name"]):
            return True
    return False


def _disks(vm: Object) -> set[str]:
    templates = {template["metadata"]["name"] for template in vm["spec"].get("dataVolumeTemplates") or []}
    volumes = vm["spec"]["template"]["spec"].get("volumes") or []
    names = {volume.get("dataVolume", {}).get("name") for volume in volumes}
    names |= {volume.get("persistentVolumeClaim", {}).get("claimName") for volume in volumes}
    return {name for name in names | templates if name}
