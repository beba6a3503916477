"""Restoring a VM's disk from its golden snapshot, and proving that it was.

KubeVirt: a restore never starts the VM, has no deadline of its own, may call itself complete without having restored
anything, and a failed one blocks every later one of that VM until it is deleted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from pool.core.clusters import POOL_UID_LABEL
from pool.core.errors import AlreadyExists, Invalid, RestoreFailed, WaitTimeout
from pool.kube.client import Kube, Object
from pool.kube.gather import gather
from pool.kube.resources import PVCS, VM_RESTORES
from pool.kube.watching import Watching, described
from pool.kubevirt.cluster import CLUSTER_LABEL, ROOT_VOLUME, RUN_LABEL, Cluster, Machine
from pool.kubevirt.failures import quota_exceeded
from pool.kubevirt.fence import Fence
from pool.kubevirt.machines import LAST_RESTORE, PATIENCE, get_vm
from pool.kubevirt.manifests import restore, run_key
from pool.kubevirt.ownership import labels_of, owned, removable


def finished(found: Object) -> bool:
    """Whether a restore is complete."""
    return bool((found.get("status") or {}).get("complete"))


def failure_text(found: Object) -> str | None:
    """Why a restore failed for good, None if it did not. KubeVirt: a condition of type Failure is final."""
    for condition in (found.get("status") or {}).get("conditions") or []:
        if condition["type"] == "Failure":
            return str(condition.get("reason") or condition.get("message") or "no reason given")
    return None


def of_run(found: Object, run_id: str) -> bool:
    """Whether a restore was made by that run."""
    return (found["metadata"].get("labels") or {}).get(RUN_LABEL) == run_key(run_id)


async def restores_of(kube: Kube, cluster: Cluster) -> list[Object]:
    """All restores that target one of the cluster's VMs, whoever made them."""
    names = {machine.name for machine in cluster.machines}
    found = await kube.list(VM_RESTORES, cluster.namespace)
    return [one for one in found if one["spec"]["target"]["name"] in names]


async def delete_restores(
    fence: Fence, watching: Watching, cluster: Cluster, restores: Iterable[Object], *, timeout: float
) -> None:
    """Remove restores and wait until they are gone; a VM is locked until its unfinished one is. Disks stay.

    One without any pool's label is somebody's work on a VM of ours, and blocks it. Raises NotOurs, before any is
    removed, if one carries another pool's; StaleOperation.
    """

    async def gone(one: Object) -> None:
        meta = one["metadata"]
        await watching.gone(
            VM_RESTORES,
            one,
            timeout=timeout,
            what=f"restore {meta['namespace']}/{meta['name']} to be deleted",
            # Those of others carry no label of ours; they are rare.
            labels=CLUSTER_LABEL if CLUSTER_LABEL in labels_of(one) else "",
        )

    found = list(restores)
    for one in found:
        if POOL_UID_LABEL in labels_of(one):
            removable(one, cluster)
    await fence.remove(VM_RESTORES, *found)
    await gather(gone(one) for one in found)


async def run_restore(
    fence: Fence, watching: Watching, machine: Machine, snapshot_name: str, run_id: str, *, timeout: float
) -> Object:
    """The run's restore of the VM, complete: the existing one, else a new one.

    One that an overtaken run makes late fails: its VM runs (see manifests.restore), or it is not the restore that the
    VM is started with (machines.start).

    Raises RestoreFailed when it fails or cannot get on, WaitTimeout (a PVC that never binds, for one).
    """
    wanted = restore(machine, snapshot_name, run_id)
    name = wanted["metadata"]["name"]
    # One of that name is this run's own, made before an interruption: its name says so. While it is unfinished
    # KubeVirt's webhook, which is asked before names are compared, refuses its namesake as a second restore.
    try:
        await fence.create(VM_RESTORES, wanted)
    except (AlreadyExists, Invalid) as refused:
        there = await fence.kube.find(VM_RESTORES, name, machine.namespace)
        if there is not None:
            owned(there, machine.cluster)
        elif isinstance(refused, Invalid):
            raise
    what = f"restore {machine.namespace}/{name}"

    def done(seen: Object | None) -> Object | None:
        if seen is None:
            raise RestoreFailed(what, expected="to be carried out", actual="deleted meanwhile", cure="run it again")
        failed = failure_text(seen)
        if failed:
            raise RestoreFailed(what, expected="complete", actual=failed, cure="run the reset again")
        return seen if finished(seen) else None

    def done_or_stuck(seen: Object | None) -> Object | str | None:
        return done(seen) or _quota(seen)

    deadline = asyncio.get_running_loop().time() + timeout
    while True:
        left = max(0.0, deadline - asyncio.get_running_loop().time())
        try:
            found: Object | str = await watching.until(
                VM_RESTORES,
                name,
                machine.namespace,
                done_or_stuck,
                timeout=left,
                what=f"{what} to complete",
                labels=CLUSTER_LABEL,
            )
        except WaitTimeout as error:
            raise await _explained(fence.kube, machine, name, error, timeout) from error
        if not isinstance(found, str):
            return found
        await _quota_passes(watching, machine, name, found, min(PATIENCE, left))


async def _explained(kube: Kube, machine: Machine, name: str, error: WaitTimeout, timeout: float) -> WaitTimeout:
    """The same timeout with the phase of each claim: KubeVirt waits for an unbound one for ever, unsaid."""
    status = (await kube.find(VM_RESTORES, name, machine.namespace) or {}).get("status") or {}
    words = []
    for entry in status.get("restores") or []:
        claim = await kube.find(PVCS, entry["persistentVolumeClaim"], machine.namespace)
        phase = ((claim or {}).get("status") or {}).get("phase", "missing")
        words.append(f"claim {entry['persistentVolumeClaim']} {phase}")
    return WaitTimeout(error.what.rpartition(" within ")[0], "; ".join([error.last_seen, *words]), timeout)


def verify(found: Object, vm: Object, machine: Machine, snapshot_uid: str) -> str:
    """The name of the VM's restored disk, if this complete restore really put it there.

    Checked: exactly the root disk was restored, from the volume snapshot of that VirtualMachineSnapshot, under a name
    of this restore, and the VM refers to it in its volumes and templates. Raises RestoreFailed.
    """
    what = f"restore {machine.namespace}/{found['metadata']['name']}"
    uid = found["metadata"]["uid"]
    restored = {one["volumeName"]: one for one in (found.get("status") or {}).get("restores") or []}
    if set(restored) != {ROOT_VOLUME}:
        raise _not_proved(what, f"volume {ROOT_VOLUME} restored", f"volumes {sorted(restored)}")
    disk = restored[ROOT_VOLUME]
    claim = str(disk["persistentVolumeClaim"])
    if uid not in claim:
        raise _not_proved(what, f"a disk named by restore {uid}", claim)
    if disk.get("volumeSnapshotName") != volume_snapshot(snapshot_uid):
        raise _not_proved(what, f"disk of {volume_snapshot(snapshot_uid)}", str(disk.get("volumeSnapshotName")))
    templates = [template["metadata"]["name"] for template in vm["spec"].get("dataVolumeTemplates") or []]
    if root_disk(vm) != claim or claim not in templates:
        raise _not_proved(what, f"VM on disk {claim}", f"disk {root_disk(vm)}, templates {templates}")
    marker = (vm["metadata"].get("annotations") or {}).get(LAST_RESTORE)
    if marker != mark_of(found):
        raise _not_proved(what, "the VM marked with it", f"{LAST_RESTORE}={marker}")
    return claim


def mark_of(found: Object) -> str:
    """What a restore leaves on its VM as LAST_RESTORE."""
    return f"{found['metadata']['name']}-{found['metadata']['uid']}"


async def verified(kube: Kube, found: Object, machine: Machine, snapshot_uid: str) -> str:
    """As `verify`, with the VM as it is now."""
    return verify(found, await get_vm(kube, machine), machine, snapshot_uid)


def root_disk(vm: Object) -> str | None:
    """Name of the DataVolume (and PVC) behind a VM's root volume."""
    for volume in vm["spec"]["template"]["spec"].get("volumes") or []:
        if volume["name"] == ROOT_VOLUME:
            source = volume.get("dataVolume", {}).get("name") or volume.get("persistentVolumeClaim", {}).get(
                "claimName"
            )
            return str(source) if source else None
    return None


def volume_snapshot(snapshot_uid: str) -> str:
    """Name of the VolumeSnapshot of the root volume in a VirtualMachineSnapshot (KubeVirt's naming)."""
    return f"vmsnapshot-{snapshot_uid}-volume-{ROOT_VOLUME}"


def _quota(seen: Object | None) -> str | None:
    text = described(seen)
    return text if quota_exceeded(text) else None


async def _quota_passes(watching: Watching, machine: Machine, name: str, text: str, patience: float) -> None:
    """KubeVirt tries a disk that exceeds the quota again for ever; old disks may still be on their way out, so wait."""
    try:
        await watching.until(
            VM_RESTORES,
            name,
            machine.namespace,
            lambda seen: None if _quota(seen) else True,
            timeout=patience,
            what="quota",
            labels=CLUSTER_LABEL,
        )
    except WaitTimeout:
        raise RestoreFailed(
            f"restore {machine.namespace}/{name}",
            expected="room for a second disk",
            actual=text,
            cure="raise the namespace's ResourceQuota to twice the disks",
        ) from None


def _not_proved(what: str, expected: str, actual: str) -> RestoreFailed:
    return RestoreFailed(f"{what} is complete, but not proved", expected=expected, actual=actual, cure="reset again")
