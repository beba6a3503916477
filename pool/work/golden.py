"""Taking a golden generation: both VMs stopped cleanly, snapshotted at once, verified, started again.

One generation is one *stop*: both snapshots carry the UIDs of the two VMIs that were seen to shut down cleanly, so
halves of different moments are never taken for a pair, whoever resumes after an interruption.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from pool.core.clusters import Golden, GoldenSnapshot
from pool.core.errors import SnapshotError, SnapshotFailed, VMFailed
from pool.core.settings import Settings
from pool.guest.boots import BOOT_ANNOTATION, boot_ids, boots_of
from pool.guest.canary import remove_canaries
from pool.guest.certificates import serving_certificate_ends
from pool.guest.health import wait_healthy
from pool.guest.kubeconfig import connect_guest
from pool.kube.client import Kube, Object
from pool.kube.gather import gather
from pool.kube.resources import VM_SNAPSHOTS, VMIS, VMS
from pool.kube.watching import Watching
from pool.kubevirt.cluster import Cluster, Machine
from pool.kubevirt.machines import STOPPED_ANNOTATION, start, stop_and_wait, wait_running, wait_stopped, wait_unlocked
from pool.kubevirt.ownership import Owner, owner
from pool.kubevirt.snapshots import delete_snapshot, ensure_snapshot, verify

GENERATION_ANNOTATION = "cks.io/golden-generation"
STOP_ANNOTATION = "cks.io/golden-stop"
"""On a golden snapshot: which stop of both VMs it was taken at."""

ATTEMPTS = 2
"""How often a snapshot that fails is taken, at the same stop."""

Pair = Mapping[str, Object]
"""Two golden snapshots, by VM name."""


async def taken(kube: Kube, cluster: Cluster, generation: int, suffix: str = "") -> Pair | None:
    """The generation's snapshots, if both are there, verified and of the same stop; else None."""
    names = snapshot_names(cluster, suffix)
    found = await gather(kube.find(VM_SNAPSHOTS, names[one.name], one.namespace) for one in cluster.machines)
    try:
        pair = {
            machine.name: verify(snapshot, machine, names[machine.name])
            for machine, snapshot in zip(cluster.machines, found, strict=True)
        }
        if any(owner(snapshot, cluster) is not Owner.CLUSTER for snapshot in pair.values()):
            return None
    except SnapshotError:
        return None
    notes = [_annotations(snapshot) for snapshot in pair.values()]
    same_stop = len({note.get(STOP_ANNOTATION) for note in notes} - {None}) == 1
    of_generation = all(note.get(GENERATION_ANNOTATION) == str(generation) for note in notes)
    return pair if same_stop and of_generation and all(STOP_ANNOTATION in note for note in notes) else None


async def stop_both(
    kube: Kube, watching: Watching, cluster: Cluster, settings: Settings, *, generation: int, suffix: str = ""
) -> None:
    """Shut both VMs down, and prove that they did so cleanly by their VMIs' last phase.

    VMs that are stopped already without such a proof are started and stopped again. Nothing is done if the generation
    is taken. Raises VMFailed (reason UncleanShutdown), GuestUnhealthy, WaitTimeout.
    """
    if await taken(kube, cluster, generation, suffix):
        return
    vms = [await kube.get(VMS, machine.name, machine.namespace) for machine in cluster.machines]
    if all(STOPPED_ANNOTATION in _annotations(vm) and vm["spec"].get("runStrategy") == "Halted" for vm in vms):
        await gather(wait_stopped(watching, one, timeout=settings.stop_timeout) for one in cluster.machines)
        return
    await start_both(kube, watching, cluster, settings)
    await _healthy(kube, cluster, None, settings.boot_timeout)
    await remove_canaries(kube, cluster)
    boots = await boot_ids(kube, cluster)
    await gather(_stop(kube, watching, one, boots[one.name], settings) for one in cluster.machines)


async def snapshot_both(
    kube: Kube, watching: Watching, cluster: Cluster, settings: Settings, *, generation: int, suffix: str = ""
) -> Pair:
    """The generation's two snapshots, verified. One that fails is removed and taken again at the same stop.

    Raises SnapshotFailed, WaitTimeout.
    """
    pair = await taken(kube, cluster, generation, suffix)
    if pair:
        return pair
    vms = {one.name: await kube.get(VMS, one.name, one.namespace) for one in cluster.machines}
    stops = [_annotations(vm).get(STOPPED_ANNOTATION) for vm in vms.values()]
    running = [await kube.find(VMIS, one.name, one.namespace) for one in cluster.machines]
    if not all(stops) or any(running):
        raise SnapshotFailed(
            f"golden snapshots of {cluster.id}",
            expected="both VMs cleanly stopped",
            actual=f"proofs {stops}, {sum(vmi is not None for vmi in running)} running",
            cure="run create-golden-snapshots again, which stops them",
        )
    stop_id = ".".join(str(one) for one in stops)
    names = snapshot_names(cluster, suffix)

    async def take(machine: Machine) -> Object:
        notes = {
            GENERATION_ANNOTATION: str(generation),
            STOP_ANNOTATION: stop_id,
            BOOT_ANNOTATION: _annotations(vms[machine.name]).get(BOOT_ANNOTATION, ""),
        }
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await ensure_snapshot(kube, watching, machine, names[machine.name], notes, settings)
            except SnapshotFailed:
                if attempt == ATTEMPTS:
                    raise
        raise AssertionError("the last attempt returns or raises")

    both = await gather(take(machine) for machine in cluster.machines)
    return {machine.name: one for machine, one in zip(cluster.machines, both, strict=True)}


async def start_both(kube: Kube, watching: Watching, cluster: Cluster, settings: Settings) -> None:
    """Start both VMs, as soon as no snapshot holds them, and wait until they run."""

    async def begin(machine: Machine) -> None:
        await wait_unlocked(watching, machine, timeout=settings.snapshot_timeout)
        await start(kube, machine)
        await wait_running(kube, watching, machine, timeout=settings.provision_timeout)

    await gather(begin(machine) for machine in cluster.machines)


async def describe(
    kube: Kube, cluster: Cluster, settings: Settings, pair: Pair, *, generation: int, now: datetime
) -> Golden:
    """Wait until the started guest is healthy, and describe the generation as the pool records it."""
    await _healthy(kube, cluster, pair, settings.health_timeout)
    ends = await serving_certificate_ends(kube, cluster)
    async with connect_guest(kube, cluster) as guest:
        version = (await guest.request("GET", "/version")).get("gitVersion")
    return Golden(
        generation=generation,
        control_plane=_half(pair, cluster.control_plane),
        worker=_half(pair, cluster.worker),
        taken_at=now,
        kubernetes_version=version,
        certificates_expire_at=ends,
    )


async def take_golden(
    kube: Kube,
    watching: Watching,
    cluster: Cluster,
    settings: Settings,
    *,
    generation: int,
    now: Callable[[], datetime],
    suffix: str = "",
) -> Golden:
    """All steps: from a healthy cluster to a healthy cluster with a golden generation."""
    await stop_both(kube, watching, cluster, settings, generation=generation, suffix=suffix)
    pair = await snapshot_both(kube, watching, cluster, settings, generation=generation, suffix=suffix)
    await start_both(kube, watching, cluster, settings)
    return await describe(kube, cluster, settings, pair, generation=generation, now=now())


def other_suffix(cluster: Cluster, golden: Golden) -> str:
    """The suffix under which to take the next generation beside this one, which stays until the next is proved."""
    return "-next" if golden.control_plane.name == cluster.control_plane.snapshot else ""


async def drop_others(
    kube: Kube, watching: Watching, cluster: Cluster, golden: Golden, settings: Settings
) -> list[str]:
    """Remove the cluster's golden snapshots but those of this generation; returns the names of what was removed.

    KubeVirt: not while a restore of an old one runs.
    """
    keep = {golden.control_plane.uid, golden.worker.uid}
    found = await kube.list(VM_SNAPSHOTS, cluster.namespace, labels=cluster.selector)
    old = [one["metadata"]["name"] for one in found if one["metadata"]["uid"] not in keep]
    # The machine is only named in messages.
    await gather(
        delete_snapshot(kube, watching, cluster.control_plane, name, timeout=settings.delete_timeout) for name in old
    )
    return old


def snapshot_names(cluster: Cluster, suffix: str = "") -> dict[str, str]:
    """Names of both snapshots, by VM name; a second generation beside the first needs a suffix."""
    return {machine.name: f"{machine.snapshot}{suffix}" for machine in cluster.machines}


async def _stop(kube: Kube, watching: Watching, machine: Machine, boot_id: str, settings: Settings) -> None:
    # Noted on the VM, which no restore takes back, for whoever carries on after an interruption.
    await kube.patch(VMS, machine.name, {"metadata": {"annotations": {BOOT_ANNOTATION: boot_id}}}, machine.namespace)
    last = await stop_and_wait(kube, watching, machine, timeout=settings.stop_timeout)
    phase = ((last or {}).get("status") or {}).get("phase")
    if last is None or phase != "Succeeded":
        raise VMFailed(
            f"VM {machine.namespace}/{machine.name} did not shut down cleanly",
            reason="UncleanShutdown",
            expected=f"its VMI's last phase Succeeded, within {settings.golden_stop_grace} s",
            actual=str(phase),
            cure="run create-golden-snapshots again; should it repeat, look at the guest's shutdown",
        )
    proof = {"metadata": {"annotations": {STOPPED_ANNOTATION: last["metadata"]["uid"]}}}
    await kube.patch(VMS, machine.name, proof, machine.namespace)


async def _healthy(kube: Kube, cluster: Cluster, pair: Pair | None, timeout: float) -> None:
    await wait_healthy(kube, cluster, await boots_of(kube, cluster, pair), timeout=timeout)


def _half(pair: Pair, machine: Machine) -> GoldenSnapshot:
    meta = pair[machine.name]["metadata"]
    return GoldenSnapshot(name=meta["name"], uid=meta["uid"])


def _annotations(obj: Object) -> dict[str, str]:
    return obj["metadata"].get("annotations") or {}
