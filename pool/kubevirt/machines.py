"""A VM's power: made, started, stopped, and waited for.

How a VM is stopped: `runStrategy: Halted` by a fenced patch (pool.kubevirt.fence), refused with 422 while a snapshot
or restore runs. How long it may take to shut down is said when it is started, since its VMI is made of the template
then: no time for one that a reset will stop, the guest's own for one that is stopped for golden snapshots.
The stop subresource could shorten it later, but has no precondition: it would stop the VMs of whoever has them by then.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from pool.core.clusters import ClonedImage
from pool.core.errors import AlreadyExists, NotFound, RestoreFailed, VMFailed, WaitTimeout
from pool.core.pools import Pool
from pool.core.settings import Settings
from pool.kube.client import Kube, Object, Objects
from pool.kube.gather import gather
from pool.kube.resources import DATA_VOLUMES, VMIS, VMS
from pool.kube.watching import Watching, described
from pool.kubevirt.clones import slow_clones
from pool.kubevirt.cluster import CLUSTER_LABEL, Machine
from pool.kubevirt.failures import failure_of
from pool.kubevirt.fence import Fence, noted, tested
from pool.kubevirt.manifests import virtual_machine
from pool.kubevirt.ownership import owned

STOPPED_ANNOTATION = "cks.io/stopped-cleanly"
"""On a VM: UID of the VMI that was seen to shut down cleanly. Every start removes it: it is about the disk as it is."""

AT_ONCE = 0
"""The grace of a VM whose disks the next stop may throw away. KubeVirt: it is killed, not asked."""

PATIENCE = 30.0
"""Seconds a recognised trouble may last before the wait is given up: schedulers, quotas, rights settle in seconds."""

LAST_RESTORE = "restore.kubevirt.io/lastRestoreUID"
"""On a VM: KubeVirt's note of the restore that its disk is of."""


async def ensure_vm(fence: Fence, machine: Machine, pool: Pool, image: ClonedImage, settings: Settings) -> Object:
    """The VM as it is, marked, or a new running one, its disk cloned from `image`.

    Raises NotOurs or FormerCluster if one of that name is not this very cluster's.
    """
    if await fence.kube.find(VMS, machine.name, machine.namespace) is None:
        with suppress(AlreadyExists):
            made = await fence.create(VMS, virtual_machine(machine, pool, image, settings))
            return owned(made, machine.cluster)
    await get_vm(fence.kube, machine)
    await fence.take(machine)
    return await get_vm(fence.kube, machine)


async def get_vm(kube: Kube, machine: Machine) -> Object:
    """The VM as it is. Raises NotFound; NotOurs or FormerCluster if it is not this very cluster's."""
    return owned(await kube.get(VMS, machine.name, machine.namespace), machine.cluster)


async def start(fence: Fence, machine: Machine, *, grace: int, restore: str | None = None) -> None:
    """Have the VM run, with `grace` seconds to shut down when it is stopped; nothing is done with one that runs.

    With `restore`, only on the disk of that one, as LAST_RESTORE says it. Raises StaleOperation, RestoreFailed,
    Invalid while a snapshot or restore runs, NotFound without a VM.
    """

    def missing(vm: Object) -> Objects:
        operations = _power(vm, "Always")
        if not operations:
            return noted(vm, {STOPPED_ANNOTATION: None})
        found = (vm["metadata"].get("annotations") or {}).get(LAST_RESTORE)
        if restore is not None:
            if found != restore:
                raise RestoreFailed(
                    f"VM {machine.namespace}/{machine.name} was restored by another meanwhile",
                    expected=f"{LAST_RESTORE}={restore}",
                    actual=str(found),
                    cure="run the reset again",
                )
            operations.insert(0, tested(LAST_RESTORE, restore))
        shutdown = {"op": "add", "path": "/spec/template/spec/terminationGracePeriodSeconds", "value": grace}
        return [*operations, shutdown, *noted(vm, {STOPPED_ANNOTATION: None})]

    await fence.change(machine, missing)


async def stop(fence: Fence, machine: Machine) -> None:
    """Have the VM shut down within the grace it was started with. Raises StaleOperation; Invalid as `start` does."""
    await fence.change(machine, lambda vm: _power(vm, "Halted"))


def grace_of(vm: Object) -> int:
    """Seconds that the VM gets to shut down. KubeVirt: half a minute if nobody says."""
    grace = vm["spec"]["template"]["spec"].get("terminationGracePeriodSeconds")
    return 30 if grace is None else int(grace)


def _power(vm: Object, strategy: str) -> Objects:
    """What is missing for the VM to have this run strategy. KubeVirt: it excludes the older `running`, also a false."""
    if vm["spec"].get("runStrategy") == strategy and "running" not in vm["spec"]:
        return []
    older: Objects = [{"op": "remove", "path": "/spec/running"}] if "running" in vm["spec"] else []
    return [*older, {"op": "add", "path": "/spec/runStrategy", "value": strategy}]


async def stop_and_wait(fence: Fence, watching: Watching, machine: Machine, *, timeout: float) -> Object | None:
    """Have the VM shut down within its own grace; returns the last sight of its VMI, None if there was none.

    KubeVirt: the VMI's last phase is Succeeded after a clean shutdown, Failed if the grace ran out.
    """
    watched = asyncio.Event()

    async def stop_when_watched() -> None:
        # The last phase is to be seen for a moment only.
        await watched.wait()
        await stop(fence, machine)

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


async def delete_vm(fence: Fence, watching: Watching, machine: Machine, *, timeout: float) -> None:
    """Remove the VM with what it owns (KubeVirt: its DataVolumes and restores), and wait until it is gone.

    Also one of an earlier cluster of this name; raises NotOurs for any other, StaleOperation.
    """
    found = await fence.delete(machine)
    if found is None:
        return
    what = f"VM {machine.namespace}/{machine.name} to be deleted"
    await watching.gone(VMS, found, timeout=timeout, what=what, labels=CLUSTER_LABEL)
