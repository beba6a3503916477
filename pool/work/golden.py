"""Taking a golden generation: both VMs stopped cleanly, snapshotted at once, verified, started again.

One generation is one *stop*: both snapshots carry the UIDs of the two VMIs that were seen to shut down cleanly, so
halves of different moments are never taken for a pair, whoever resumes after an interruption.
"""

from __future__ import annotations

from pool.core.clusters import ConditionType, Golden, OperationKind
from pool.core.errors import SnapshotFailed, VMFailed
from pool.guest.answers import BOOTS_ANNOTATION, Version, understood
from pool.guest.boots import attested_boots, boots_of
from pool.guest.client import connect_guest
from pool.guest.health import wait_healthy
from pool.kube.client import Object
from pool.kube.gather import gather
from pool.kube.resources import VM_SNAPSHOTS, VMIS
from pool.kubevirt.cluster import Machine
from pool.kubevirt.fence import noted
from pool.kubevirt.machines import (
    AT_ONCE,
    STOPPED_ANNOTATION,
    get_vm,
    grace_of,
    start,
    stop,
    stop_and_wait,
    wait_running,
    wait_stopped,
    wait_unlocked,
)
from pool.kubevirt.snapshots import ensure_snapshot
from pool.work.attempts import attempt
from pool.work.attestation import attest_nodes
from pool.work.generations import (
    GENERATION_ANNOTATION,
    STOP_ANNOTATION,
    Pair,
    half,
    next_number,
    notes_of,
    snapshot_names,
    taken,
)
from pool.work.steps import Host, Job, step

ATTEMPTS = 2
"""How often a snapshot that fails is taken, at the same stop."""


async def take(host: Host, cluster_id: str, *, run_id: str, unless_cordoned: bool = False) -> Golden:
    """Take the golden generation of a new cluster, with all its attempts: it is available at the end.

    Raises what the last attempt failed of, or why the cluster is not to be snapshotted.
    """
    return await attempt(host, cluster_id, OperationKind.GOLDEN, run_id, steps, unless_cordoned=unless_cordoned)


async def steps(job: Job) -> Golden:
    """From a healthy new cluster to an available one with a golden generation."""
    generation = await next_number(job.kube, job.cluster, job.operation.cluster.status.golden)
    golden = await snapshotted(job, generation)
    snapshots = ", ".join(f"{one.name} {one.uid}" for one in (golden.control_plane, golden.worker))
    await job.operation.record_golden(golden, f"generation {generation}: {snapshots}")
    evidence = {
        ConditionType.VMS_READY: f"both run on the disks that generation {generation} was taken of",
        ConditionType.GOLDEN_READY: f"generation {generation}: {snapshots}",
        ConditionType.GUEST_HEALTHY: "API ready, both nodes Ready with leases renewed since this boot",
    }
    await job.operation.finish(attested=evidence, reason="golden snapshots taken, healthy")
    return golden


async def snapshotted(job: Job, generation: int, suffix: str = "") -> Golden:
    """A new generation of the cluster, which is healthy before and after; not yet recorded."""
    await stop_cleanly(job, generation, suffix)
    pair = await snapshot_both(job, generation, suffix)
    await start_again(job)
    return await describe(job, pair, generation)


@step
async def stop_cleanly(job: Job, generation: int, suffix: str = "") -> None:
    """Shut both VMs down, and prove that they did so cleanly by their VMIs' last phase.

    VMs that are stopped already without such a proof, or run with less than the grace for it, are started again first.
    Nothing is done if the generation is taken. Raises VMFailed (reason UncleanShutdown), GuestUnhealthy, WaitTimeout.
    """
    if await taken(job.kube, job.cluster, generation, suffix):
        return
    vms = [await get_vm(job.kube, machine) for machine in job.cluster.machines]
    if all(STOPPED_ANNOTATION in notes_of(vm) and vm["spec"].get("runStrategy") == "Halted" for vm in vms):
        timeout = job.settings.stop_timeout
        await gather(wait_stopped(job.watching, one, timeout=timeout) for one in job.cluster.machines)
        return
    grace = job.settings.golden_stop_grace
    await gather(
        _stop_hasty(job, one) for one, vm in zip(job.cluster.machines, vms, strict=True) if grace_of(vm) < grace
    )
    await _start_both(job, grace)
    # What stands in etcd may be of the boot that was attested last: the VMs may have been started again since.
    status = job.operation.cluster.status
    # What first boot brings is on each later generation if it is on the first.
    new = status.golden is None
    present = await boots_of(job.kube, job.cluster, attested=status.attested_boots, new=new)
    nodes = await wait_healthy(job.kube, job.cluster, present, timeout=job.settings.boot_timeout)
    boots = {node.name: str(node.boots) for node in nodes}
    # Whoever starts them again after this run has died is not to take these words for the next boot's, whose count they
    # are not. And the wait may have taken long: by now the VMs may be another run's, or a learner's.
    await job.operation.update(attested_boots=await attested_boots(job.kube, job.cluster, nodes))
    await gather(_stop(job, one, boots[one.name]) for one in job.cluster.machines)


@step
async def snapshot_both(job: Job, generation: int, suffix: str = "") -> Pair:
    """The generation's two snapshots, verified. One that fails is removed and taken again at the same stop.

    Raises SnapshotFailed, WaitTimeout.
    """
    cluster = job.cluster
    pair = await taken(job.kube, cluster, generation, suffix)
    if pair:
        return {name: await job.fence.adopt(VM_SNAPSHOTS, found) for name, found in pair.items()}
    vms = {one.name: await get_vm(job.kube, one) for one in cluster.machines}
    stops = [notes_of(vm).get(STOPPED_ANNOTATION) for vm in vms.values()]
    running = [await job.kube.find(VMIS, one.name, one.namespace) for one in cluster.machines]
    if not all(stops) or any(running):
        raise SnapshotFailed(
            f"golden snapshots of {cluster.id}",
            expected="both VMs cleanly stopped",
            actual=f"proofs {stops}, {sum(vmi is not None for vmi in running)} running",
            cure="run create-golden-snapshots again, which stops them",
        )
    names = snapshot_names(cluster, suffix)
    shared = {GENERATION_ANNOTATION: str(generation), STOP_ANNOTATION: ".".join(str(one) for one in stops)}

    async def one(machine: Machine) -> Object:
        notes = shared | {BOOTS_ANNOTATION: notes_of(vms[machine.name]).get(BOOTS_ANNOTATION, "")}
        return await _snapshot(job, machine, names[machine.name], notes)

    both = await gather(one(machine) for machine in cluster.machines)
    return {machine.name: snapshot for machine, snapshot in zip(cluster.machines, both, strict=True)}


@step
async def start_again(job: Job) -> None:
    """Start both VMs, as soon as no snapshot holds them, and wait until they run. The next to stop them is a reset."""
    await _start_both(job, AT_ONCE)


@step
async def describe(job: Job, pair: Pair, generation: int) -> Golden:
    """Wait until the started guest is healthy, and describe the generation as the pool records it."""
    # A run that was interrupted may have stopped and started them since.
    await attest_nodes(job, pair, restored=False)
    async with connect_guest(job.kube, job.cluster) as guest:
        version = understood(Version, await guest.read("/version"))
        # kubeadm makes all certificates of a cluster in the same minute and for the same year: it stands for all.
        ends = guest.certificate_ends()
    return Golden(
        generation=generation,
        control_plane=half(pair, job.cluster.control_plane),
        worker=half(pair, job.cluster.worker),
        taken_at=job.host.now(),
        kubernetes_version=version.git_version,
        certificates_expire_at=ends,
    )


async def _start_both(job: Job, grace: int) -> None:
    async def begin(machine: Machine) -> None:
        await wait_unlocked(job.watching, machine, timeout=job.settings.snapshot_timeout)
        await start(job.fence, machine, grace=grace)
        await wait_running(job.kube, job.watching, machine, timeout=job.settings.provision_timeout)

    await gather(begin(machine) for machine in job.cluster.machines)


async def _snapshot(job: Job, machine: Machine, name: str, notes: dict[str, str]) -> Object:
    for _ in range(ATTEMPTS - 1):
        try:
            return await ensure_snapshot(job.fence, job.watching, machine, name, notes, job.settings)
        except SnapshotFailed as error:
            job.host.warn(f"taking it again: {error}")
    return await ensure_snapshot(job.fence, job.watching, machine, name, notes, job.settings)


async def _stop_hasty(job: Job, machine: Machine) -> None:
    """Stop a VM that was started to be killed: it gets another grace only by being started again."""
    await wait_unlocked(job.watching, machine, timeout=job.settings.snapshot_timeout)
    await stop(job.fence, machine)
    await wait_stopped(job.watching, machine, timeout=job.settings.stop_timeout)


async def _stop(job: Job, machine: Machine, boots: str) -> None:
    # Noted on the VM, which no restore takes back, for whoever carries on after an interruption.
    await job.fence.change(machine, lambda vm: noted(vm, {BOOTS_ANNOTATION: boots}))
    last = await stop_and_wait(job.fence, job.watching, machine, timeout=job.settings.stop_timeout)
    phase = ((last or {}).get("status") or {}).get("phase")
    if last is None or phase != "Succeeded":
        raise VMFailed(
            f"VM {machine.namespace}/{machine.name} did not shut down cleanly",
            reason="UncleanShutdown",
            expected=f"its VMI's last phase Succeeded, within {job.settings.golden_stop_grace} s",
            actual=str(phase),
            cure="run create-golden-snapshots again; should it repeat, look at the guest's shutdown",
        )
    proof = last["metadata"]["uid"]
    await job.fence.change(machine, lambda vm: noted(vm, {STOPPED_ANNOTATION: proof}))
