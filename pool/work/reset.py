"""Resetting a cluster to its golden generation, step by step, and attesting that it was.

Each step finds out from the cluster where it is, so that any run resumes what another left: restores carry the run's
ID in name and label, and a step whose effect is there already does nothing. Those of other runs are not trusted, but
removed with what they left. The order is what keeps a cluster whole: neither VM starts before both disks are proved.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pool.core.clusters import Golden, OperationKind
from pool.core.errors import PoolError, RestoreFailed, SnapshotMissing
from pool.core.operation_rules import waits
from pool.guest.boots import golden_boots
from pool.kube.client import Kube, Object
from pool.kube.gather import gather
from pool.kube.resources import VMIS
from pool.kubevirt import restores
from pool.kubevirt.cluster import Cluster, Machine
from pool.kubevirt.machines import AT_ONCE, get_vm, start, stop, wait_running, wait_stopped, wait_unlocked
from pool.kubevirt.volumes import sweep
from pool.work.attempts import attempt, unless_others_do
from pool.work.attestation import Attestation, attest_disks, attest_nodes, golden_pair, half_of
from pool.work.steps import Host, Job, step


async def reset(
    host: Host,
    cluster_id: str,
    *,
    run_id: str,
    session_id: str | None = None,
    epoch: int | None = None,
    force: bool = False,
    if_waiting: bool = False,
) -> Attestation | None:
    """Reset a cluster, with all its attempts: it is available at the end.

    `session_id`: in place, for the session that holds it and keeps it. `force` takes a locked cluster from its session.
    `epoch`: both only if the cluster was not handed over since it had this one.
    `if_waiting`: nothing is done, and None returned, if another run resets it or has done so, or if it is to go or
    cordoned.
    Raises what the last attempt failed of, or why the cluster is not to be reset.
    """
    if not if_waiting:
        whose: dict[str, Any] = {"session_id": session_id, "epoch": epoch, "force": force}
        return await attempt(host, cluster_id, OperationKind.RESET, run_id, steps, **whose)
    if not waits(await host.state.cluster(cluster_id)):
        return None
    waited = attempt(host, cluster_id, OperationKind.RESET, run_id, steps, if_waiting=True)
    return await unless_others_do(host, cluster_id, waited, unless_cordoned=True)


async def steps(job: Job) -> Attestation:
    """From whatever a session left to an attested cluster."""
    golden = job.operation.cluster.status.golden
    if golden is None:
        raise SnapshotMissing(
            f"{job.cluster.id} has no golden snapshots",
            expected="a golden generation",
            cure="run create-golden-snapshots, or rebuild-cluster",
        )
    attestation = await restore_to(job, golden)
    await job.operation.finish(attested=attestation.evidence, reason="restored and attested healthy")
    return attestation


async def restore_to(job: Job, golden: Golden) -> Attestation:
    """Take both disks back to a generation, and attest that they are."""
    await prepare(job, golden)
    await stop_both(job)
    await restore_both(job, golden)
    await start_both(job, golden)
    attestation = await attest(job, golden)
    await clean_up(job)
    return attestation


@step
async def prepare(job: Job, golden: Golden) -> None:
    """Before anything is stopped: the golden pair can be restored, and nothing of aborted resets is in the way.

    Their disks go as well: the quota has room for two of each VM, and the restores to come need both.
    Raises SnapshotMissing, SnapshotFailed or SnapshotNotReady with the cluster as it was.
    """
    for snapshot in (await golden_pair(job.kube, job.cluster, golden)).values():
        golden_boots(snapshot)
    found = await restores.restores_of(job.kube, job.cluster)
    # KubeVirt: an unfinished or failed restore blocks every later one of its VM until it is deleted.
    useless = [one for one in found if not restores.of_run(one, job.run_id) or restores.failure_text(one)]
    await restores.delete_restores(job.fence, job.watching, job.cluster, useless, timeout=job.settings.delete_timeout)
    await remove_leftovers(job)


@step
async def stop_both(job: Job) -> None:
    """Stop both VMs, which were started to be stopped at once, and wait until their VMIs are gone. Nothing is done once
    the run restored both.
    """
    if await restored(job.kube, job.cluster, job.run_id):
        return

    async def halt(machine: Machine) -> None:
        vm = await get_vm(job.kube, machine)
        vmi = await job.kube.find(VMIS, machine.name, machine.namespace)
        if vmi is not None or vm["spec"].get("runStrategy") != "Halted":
            await wait_unlocked(job.watching, machine, timeout=job.settings.snapshot_timeout)
            await stop(job.fence, machine)
        await wait_stopped(job.watching, machine, timeout=job.settings.stop_timeout)

    await gather(halt(machine) for machine in job.cluster.machines)


@step
async def restore_both(job: Job, golden: Golden) -> None:
    """Restore both disks in parallel and prove it.

    Raises RestoreFailed, WaitTimeout. A failed restore is removed, so that the next attempt can be made.
    """

    async def one(machine: Machine) -> None:
        half = half_of(golden, machine)
        try:
            found = await restores.run_restore(
                job.fence, job.watching, machine, half.name, job.run_id, timeout=job.settings.restore_timeout
            )
            await restores.verified(job.kube, found, machine, half.uid)
        except RestoreFailed:
            mine = [r for r in await restores.restores_of(job.kube, job.cluster) if restores.of_run(r, job.run_id)]
            failed = [r for r in mine if r["spec"]["target"]["name"] == machine.name]
            await restores.delete_restores(
                job.fence, job.watching, job.cluster, failed, timeout=job.settings.delete_timeout
            )
            raise

    await gather(one(machine) for machine in job.cluster.machines)


@step
async def start_both(job: Job, golden: Golden) -> None:
    """Start both VMs, but only if the run restored both, and wait until they run.

    Raises RestoreFailed with nothing started, VMFailed or WaitTimeout.
    """
    done = await restored(job.kube, job.cluster, job.run_id)
    if done is None:
        raise RestoreFailed(
            f"cluster {job.cluster.id} is not restored",
            expected="a complete restore of both VMs by this run",
            actual="less than that",
            cure="run the reset again",
        )
    for machine in job.cluster.machines:
        await restores.verified(job.kube, done[machine.name], machine, half_of(golden, machine).uid)

    async def begin(machine: Machine) -> None:
        mark = restores.mark_of(done[machine.name])
        await start(job.fence, machine, grace=AT_ONCE, restore=mark)
        await wait_running(job.kube, job.watching, machine, timeout=job.settings.provision_timeout)

    await gather(begin(machine) for machine in job.cluster.machines)


@step
async def attest(job: Job, golden: Golden) -> Attestation:
    """Prove that the cluster is clean and healthy: both disks stem from the golden generation and were booted once
    since then, the guest's API is ready, both nodes are Ready with leases renewed since this boot.

    Raises AttestationFailed, GuestUnhealthy.
    """
    cluster = job.cluster
    pair = await golden_pair(job.kube, cluster, golden)
    disks = await attest_disks(job.kube, cluster, golden)
    nodes = await attest_nodes(job, pair)
    uids = {machine.name: half_of(golden, machine).uid for machine in cluster.machines}
    return Attestation(cluster.id, golden.generation, disks, uids, nodes)


@step
async def clean_up(job: Job) -> None:
    """Remove the cluster's finished restores and the disks that aborted ones left."""
    found = await restores.restores_of(job.kube, job.cluster)
    await restores.delete_restores(job.fence, job.watching, job.cluster, found, timeout=job.settings.delete_timeout)
    await remove_leftovers(job)


async def remove_leftovers(job: Job) -> None:
    """Remove the disks that aborted restores left. Raises WaitTimeout."""
    swept = await sweep(job.fence, job.watching, job.cluster, timeout=job.settings.delete_timeout)
    for leftover in swept:
        job.host.warn(f"removed what an aborted restore had left: {leftover}")
    if swept:
        try:
            await job.host.state.note_swept(job.cluster.pool, len(swept))
        except PoolError as error:
            job.host.warn(f"{len(swept)} leftovers of {job.cluster.id} are not counted: {error}")


async def restored(kube: Kube, cluster: Cluster, run_id: str) -> Mapping[str, Object] | None:
    """The run's restores by VM name, if those of both VMs are complete; else None."""
    found = {
        one["spec"]["target"]["name"]: one
        for one in await restores.restores_of(kube, cluster)
        if restores.of_run(one, run_id) and restores.finished(one)
    }
    return found if len(found) == len(cluster.machines) else None
