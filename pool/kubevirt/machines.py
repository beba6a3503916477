"""A VM's power: made, started, stopped, and waited for.

How a VM is stopped: `runStrategy: Halted` by a merge patch. It can be repeated (a second one changes nothing), is
refused with 422 while a snapshot or restore runs, and needs no right but patching VMs. The stop subresource answers
409 when the VM is stopped already and 500 for the same refusals, so it is used only for what a patch cannot say: a
shorter grace than the VM's own. KubeVirt: with `gracePeriod` it shortens the running VMI's grace first.
"""

from __future__ import annotations

import asyncio
from typing import Any

from pool.core.clusters import ClonedImage
from pool.core.errors import AlreadyExists, Conflict, NotFound, VMFailed, WaitTimeout
from pool.core.pools import Pool
from pool.core.settings import Settings
from pool.kube.client import Kube, Object
from pool.kube.gather import gather
from pool.kube.resources import DATA_VOLUMES, VMIS, VMS, Resource
from pool.kube.watching import Watching, described
from pool.kubevirt.clones import slow_clones
from pool.kubevirt.cluster import CLUSTER_LABEL, Machine
from pool.kubevirt.failures import failure_of
from pool.kubevirt.manifests import IMAGE_DISK_ANNOTATION, IMAGE_URL_ANNOTATION, virtual_machine
from pool.kubevirt.ownership import owned, removable, remove_exactly

STOPPED_ANNOTATION = "cks.io/stopped-cleanly"
"""On a VM: UID of the VMI that was seen to shut down cleanly. Every start removes it: it is about the disk as it is."""

PATIENCE = 30.0
"""Seconds a recognised trouble may last before the wait is given up: schedulers, quotas, rights settle in seconds."""

_SUBRESOURCES = Resource("subresources.kubevirt.io", "v1", "virtualmachines", "VirtualMachine")


async def ensure_vm(kube: Kube, machine: Machine, pool: Pool, image: ClonedImage, settings: Settings) -> Object:
    """The VM as it is, or a new running one, its disk cloned from `image`.

    Raises NotOurs or FormerCluster if one of that name is not this very cluster's.
    """
    try:
        found = await kube.find(VMS, machine.name, machine.namespace)
        vm = found or await kube.create(VMS, virtual_machine(machine, pool, image, settings))
    except AlreadyExists:
        vm = await kube.get(VMS, machine.name, machine.namespace)
    return owned(vm, machine.cluster)


async def get_vm(kube: Kube, machine: Machine) -> Object:
    """The VM as it is. Raises NotFound; NotOurs or FormerCluster if it is not this very cluster's."""
    return owned(await kube.get(VMS, machine.name, machine.namespace), machine.cluster)


def image_of(vm: Object) -> ClonedImage | None:
    """What the VM's disk was cloned from when it was made; None if nobody noted it."""
    # The template's source says it only until the first restore; KubeVirt keeps a VM's annotations.
    notes = vm["metadata"].get("annotations") or {}
    if not notes.keys() >= {IMAGE_URL_ANNOTATION, IMAGE_DISK_ANNOTATION}:
        return None
    return ClonedImage(url=notes[IMAGE_URL_ANNOTATION], disk=notes[IMAGE_DISK_ANNOTATION])


async def start(kube: Kube, machine: Machine) -> None:
    """Have the VM run. Raises Invalid while a snapshot or restore runs, NotFound without a VM."""
    change = {"spec": {"runStrategy": "Always"}, "metadata": {"annotations": {STOPPED_ANNOTATION: None}}}
    await kube.patch(VMS, machine.name, change, machine.namespace)


async def stop(kube: Kube, machine: Machine) -> None:
    """Have the VM shut down within its own grace. Raises Invalid while a snapshot or restore runs."""
    await kube.patch(VMS, machine.name, {"spec": {"runStrategy": "Halted"}}, machine.namespace)


async def kill(kube: Kube, machine: Machine) -> None:
    """Have the VM stop at once, its disk as it happens to be; also one that is shutting down slowly."""
    path = _SUBRESOURCES.path(machine.namespace, machine.name, "stop")
    try:
        await kube.put(path, {"gracePeriod": 0})
    except Conflict:
        # Not running, or dying at grace 0 already. What counts is that nothing starts it again.
        await stop(kube, machine)


async def stop_and_wait(kube: Kube, watching: Watching, machine: Machine, *, timeout: float) -> Object | None:
    """Have the VM shut down within its own grace; returns the last sight of its VMI, None if there was none.

    KubeVirt: the VMI's last phase is Succeeded after a clean shutdown, Failed if the grace ran out.
    """
    watched = asyncio.Event()

    async def stop_when_watched() -> None:
        # The last phase is to be seen for a moment only.
        await watched.wait()
        await stop(kube, machine)

    _, last = await gather([stop_when_watched(), wait_stopped(watching, machine, timeout=timeout, watched=watched)])
    return last


async def wait_stopped(
    watching: Watching, machine: Machine, *, timeout: float, watched: asyncio.Event | None = None
) -> Object | None:
    """Wait until the VMI is gone; returns its last sight, None if there was none. Sets `watched` once it looks.

    KubeVirt: `printableStatus: Stopped` comes earlier, while the VMI still counts for snapshots and restores.
    """
    last: list[Object] = []

    def gone(vmi: Object | None) -> bool | None:
        if watched is not None:
            watched.set()
        if vmi is None:
            return True
        last[:] = [vmi]
        return None

    await watching.until(
        VMIS,
        machine.name,
        machine.namespace,
        gone,
        timeout=timeout,
        what=f"VM {machine.namespace}/{machine.name} to stop",
        labels=CLUSTER_LABEL,
    )
    return last[0] if last else None


async def wait_running(
    kube: Kube, watching: Watching, machine: Machine, *, timeout: float, patience: float = PATIENCE
) -> None:
    """Wait until the VM is ready: its domain runs; the guest inside may still boot.

    Raises VMFailed when a recognised trouble lasts longer than `patience` seconds or until the deadline,
    WaitTimeout when nothing is known but that it takes too long.
    """
    deadline = asyncio.get_running_loop().time() + timeout

    def left() -> float:
        return max(0.0, deadline - asyncio.get_running_loop().time())

    what = f"VM {machine.namespace}/{machine.name} to run"
    options: dict[str, Any] = {"what": what, "labels": CLUSTER_LABEL}
    try:
        while True:
            trouble = await watching.until(
                VMS, machine.name, machine.namespace, _running_or_trouble, timeout=left(), **options
            )
            if not isinstance(trouble, VMFailed):
                return
            try:
                await watching.until(
                    VMS, machine.name, machine.namespace, _untroubled, timeout=min(patience, left()), **options
                )
            except WaitTimeout:
                raise trouble from None
    except WaitTimeout as error:
        raise await _explained(kube, machine, error) from error


def _running_or_trouble(vm: Object | None) -> VMFailed | bool | None:
    if vm is None:
        raise NotFound(404, "NotFound", "the VM is gone", cure="rebuild the cluster")
    status = vm.get("status") or {}
    running = status.get("created") and status.get("ready") and status.get("printableStatus") == "Running"
    return True if running else failure_of(vm)


def _untroubled(vm: Object | None) -> bool | None:
    return True if not isinstance(_running_or_trouble(vm), VMFailed) else None


async def _explained(kube: Kube, machine: Machine, error: WaitTimeout) -> WaitTimeout:
    """The same timeout with the state of the VM's DataVolumes: KubeVirt and CDI let a failing clone hang in silence."""
    volumes = await kube.list(DATA_VOLUMES, machine.namespace, labels=f"{CLUSTER_LABEL}={machine.cluster_id}")
    words = [f"DataVolume {volume['metadata']['name']}: {described(volume)}" for volume in volumes]
    slow = await slow_clones(kube, machine.namespace, machine.cluster_id)
    words += [f"PVC {name} is copied byte by byte: {why}" for name, why in slow.items()]
    return WaitTimeout(error.what.rpartition(" within ")[0], "; ".join([error.last_seen, *words]), error.timeout)


async def wait_unlocked(watching: Watching, machine: Machine, *, timeout: float) -> None:
    """Wait until neither snapshot nor restore holds the VM; until then KubeVirt refuses to start or stop it."""

    def free(vm: Object | None) -> bool | None:
        status = (vm or {}).get("status") or {}
        return None if status.get("snapshotInProgress") or status.get("restoreInProgress") else True

    await watching.until(
        VMS,
        machine.name,
        machine.namespace,
        free,
        timeout=timeout,
        what=f"VM {machine.namespace}/{machine.name} to be free of snapshots and restores",
        labels=CLUSTER_LABEL,
    )


async def delete_vm(kube: Kube, watching: Watching, machine: Machine, *, timeout: float) -> None:
    """Remove the VM with what it owns (KubeVirt: its DataVolumes and restores), and wait until it is gone.

    Also one of an earlier cluster of this name; raises NotOurs for any other.
    """
    found = await kube.find(VMS, machine.name, machine.namespace)
    if found is None:
        return
    await remove_exactly(kube, VMS, removable(found, machine.cluster), propagation="Foreground")
    uid = found["metadata"]["uid"]
    await watching.until(
        VMS,
        machine.name,
        machine.namespace,
        lambda vm: True if vm is None or vm["metadata"]["uid"] != uid else None,
        timeout=timeout,
        what=f"VM {machine.namespace}/{machine.name} to be deleted",
        labels=CLUSTER_LABEL,
    )
