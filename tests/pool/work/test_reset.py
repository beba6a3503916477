"""Resets over HTTP: what a learner did is gone, whoever resumes converges, nothing leaks, nothing half-restored starts.

| what goes wrong                                   | what follows                                   |
|---------------------------------------------------|------------------------------------------------|
| interrupted after any step, same run resumes      | attested, as many volumes as before            |
| interrupted after any step, another run takes over| the same                                       |
| restore deleted half-way by somebody              | RestoreFailed, the next attempt succeeds       |
| somebody's failed or endless restore in the way   | removed first                                  |
| snapshot missing, or another one of that name     | refused before anything is stopped             |
| one of two restores missing                       | neither VM starts                              |
| disk of another snapshot                          | AttestationFailed                              |
| restored etcd says Ready, kubelet never came back | GuestUnhealthy                                 |
| a node that says why on its console               | GuestUnhealthy saying so                       |
| a run that resumes after its own attestation      | attested again                                 |
| quota too small for a second disk                 | RestoreFailed naming it                        |
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pool.core.clusters import Golden, OperationKind
from pool.core.errors import (
    AttestationFailed,
    GuestUnhealthy,
    RestoreFailed,
    SnapshotMissing,
    WaitTimeout,
)
from pool.guest.boots import boots_of
from pool.guest.health import Boot, Counted, wait_healthy
from pool.kube.gather import gather
from pool.kube.resources import NODES, PVCS, RESOURCE_QUOTAS, SECRETS, VM_RESTORES, VM_SNAPSHOTS, VMIS
from pool.kube.watching import described
from pool.kubevirt import restores
from pool.kubevirt.machines import start
from pool.kubevirt.manifests import restore
from pool.work import reset
from pool.work.attestation import attest_disks, golden_pair
from pool.work.diagnostics import bundle
from pool.work.steps import Job
from simulator.api.errors import ApiError
from simulator.faults.troubles import Trouble, TroubleKind
from tests.pool.bench import Bench, bench_at
from tests.pool.consoles import Consoles
from tests.pool.kubevirt.test_sweep import restored as claim_of_restore
from tests.pool.wire import UNAVAILABLE


@pytest.fixture
async def golden(bench: Bench) -> Golden:
    await bench.bootstrap()
    return await bench.take_golden()


def steps(job: Job, golden: Golden) -> list[Callable[[], Awaitable[Any]]]:
    return [
        lambda: reset.prepare(job, golden),
        lambda: reset.stop_both(job),
        lambda: reset.restore_both(job, golden),
        lambda: reset.start_both(job, golden),
        lambda: reset.attest(job, golden),
        lambda: reset.clean_up(job),
    ]


@asynccontextmanager
async def interrupted_after(done: int, bench: Bench, golden: Golden, run_id: str = "run") -> AsyncIterator[Job]:
    """A reset that gets so many steps far, and whose process is gone at the end of the context."""
    async with bench.interrupted(OperationKind.RESET, run_id) as job:
        for step in steps(job, golden)[:done]:
            await step()
        yield job


async def test_a_generation_says_what_it_is_of(bench: Bench, golden: Golden) -> None:
    assert golden.kubernetes_version == bench.pool.spec.image.kubernetes_version
    assert golden.certificates_expire_at is not None
    assert golden.control_plane.uid != golden.worker.uid


async def test_damage_is_gone_and_what_proves_it_is_said(bench: Bench, golden: Golden) -> None:
    await bench.damage()
    attestation = await bench.reset()

    assert await bench.damaged() is None
    assert {node.name for node in attestation.nodes} == {"cp-cluster1", "wk-cluster1"}
    assert set(attestation.disks) == {"cp-cluster1", "wk-cluster1"}
    assert attestation.snapshots == {"cp-cluster1": golden.control_plane.uid, "wk-cluster1": golden.worker.uid}
    assert all(disk.startswith("restore-") for disk in attestation.disks.values())


@pytest.mark.timeout(300)
async def test_fifty_resets_in_a_row_leave_nothing(bench: Bench, golden: Golden) -> None:
    before, objects = await bench.volumes(), bench.objects()
    for number in range(50):
        await bench.reset(f"run-{number}")
    assert await bench.volumes() == before
    assert bench.objects() == objects


@pytest.mark.parametrize("successor", ["run", "another-run"])
@pytest.mark.parametrize("done", [2, 4])
async def test_a_reset_interrupted_after_any_step_converges(
    bench: Bench, golden: Golden, done: int, successor: str
) -> None:
    before = await bench.volumes()
    await bench.damage()
    async with interrupted_after(done, bench, golden):
        """And no further."""
    bench.grace_is_over()

    await bench.reset(successor)

    assert await bench.damaged() is None
    assert await bench.volumes() == before
    assert await bench.power() == ["Always", "Always"]


async def test_what_was_restored_while_a_session_held_the_cluster_is_restored_again_once_it_left(
    bench: Bench, golden: Golden
) -> None:
    await bench.state.assign("alice")
    with suppress(asyncio.CancelledError):
        async with bench.state.operation("cluster1", OperationKind.RESET, "in-place", session_id="alice"):
            raise asyncio.CancelledError
    bench.grace_is_over()
    async with interrupted_after(5, bench, golden):
        """It carried the reset in place on, and got no further."""
    await bench.damage()
    await bench.state.release("alice")

    await bench.reset("run")

    assert await bench.damaged() is None


async def test_what_an_aborted_restore_left_is_swept(bench: Bench, golden: Golden) -> None:
    """Another run's restore got as far as its claim, and somebody deleted it: KubeVirt leaves the claim there."""
    before = await bench.volumes()
    async with interrupted_after(2, bench, golden, "aborted"):
        """And no further."""
    bench.grace_is_over()
    bench.simulator.troubles.add(Trouble(TroubleKind("fail-restore"), namespace="cluster1", count=1))
    made = await bench.kube.create(VM_RESTORES, restore(bench.cluster.worker, "wk-snap", "aborted"))
    await bench.watching.until(
        VM_RESTORES,
        made["metadata"]["name"],
        "cluster1",
        lambda one: True if one and restores.failure_text(one) else None,
        timeout=10,
        what="it to fail",
    )
    await bench.kube.delete(VM_RESTORES, made["metadata"]["name"], "cluster1")
    await bench.watching.gone(VM_RESTORES, made, timeout=10, what="it to be deleted")
    left = await bench.volumes()
    assert left["persistentvolumeclaims"] == before["persistentvolumeclaims"] + 1

    await bench.reset()

    assert await bench.volumes() == before


async def test_what_a_reset_sweeps_is_counted_on_its_pool_and_only_if_it_can_be(
    bench: Bench, golden: Golden, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.kube.create(PVCS, claim_of_restore(bench, "left", "cluster1"))
    bench.wire.refuse(ApiError(403, "Forbidden", "pools/status is forbidden"), verb="update", plural="pools")
    await bench.reset()
    assert (await bench.state.cluster("cluster1")).phase == "available"
    assert "1 leftovers of cluster1 are not counted" in caplog.text
    for name in ("left", "left-too"):
        await bench.kube.create(PVCS, claim_of_restore(bench, name, "cluster1"))
    await bench.reset("again")
    assert (await bench.state.pool()).status.leftovers_swept == 2


async def test_a_failed_restore_of_somebody_else_does_not_block(bench: Bench, golden: Golden) -> None:
    wanted = restore(bench.cluster.worker, "wk-snap", "foreign")
    wanted["metadata"] = {"name": "by-hand", "namespace": "cluster1"}
    await bench.kube.create(VM_RESTORES, wanted)  # of a running VM: it fails
    await bench.watching.until(
        VM_RESTORES,
        "by-hand",
        "cluster1",
        lambda found: True if found and restores.failure_text(found) else None,
        timeout=10,
        what="it to fail",
    )
    await bench.reset()
    assert await bench.kube.list(VM_RESTORES, "cluster1") == []


async def allow_claims(bench: Bench, count: int) -> None:
    hard = {"spec": {"hard": {"persistentvolumeclaims": str(count)}}}
    await bench.kube.patch(RESOURCE_QUOTAS, "cks-pool-disks", hard, "cluster1")


async def test_a_restore_deleted_under_the_run_fails_it_and_the_next_attempt_succeeds(
    bench: Bench, golden: Golden
) -> None:
    before = await bench.volumes()
    await allow_claims(bench, 2)  # holds the restores up
    name = restore(bench.cluster.worker, "wk-snap", "run")["metadata"]["name"]

    async def meddle() -> None:
        await bench.watching.until(
            VM_RESTORES,
            name,
            "cluster1",
            lambda found: True if "quota" in described(found) else None,
            timeout=10,
            what="the restore to be held up",
        )
        await bench.kube.delete(VM_RESTORES, name, "cluster1")

    with pytest.raises(RestoreFailed, match="deleted meanwhile"):
        async with interrupted_after(2, bench, golden) as job:
            await gather([reset.restore_both(job, golden), meddle()])
    assert await bench.power() == ["Halted", "Halted"]

    await allow_claims(bench, 8)
    await bench.reset("run")
    assert await bench.volumes() == before


async def test_a_missing_snapshot_is_said_before_anything_is_stopped(bench: Bench, golden: Golden) -> None:
    await bench.kube.delete(VM_SNAPSHOTS, "wk-snap", "cluster1")
    vmis = [vmi["metadata"]["uid"] for vmi in await bench.kube.list(VMIS, "cluster1")]
    with pytest.raises(SnapshotMissing, match="wk-snap"):
        await bench.reset()
    assert [vmi["metadata"]["uid"] for vmi in await bench.kube.list(VMIS, "cluster1")] == vmis
    assert await bench.power() == ["Always", "Always"]


async def test_a_snapshot_of_another_generation_is_not_taken_for_this_one(bench: Bench, golden: Golden) -> None:
    await bench.note(golden=golden.changed(worker=golden.worker.changed(uid="another")))
    with pytest.raises(SnapshotMissing, match="another one of that name"):
        await bench.reset()
    assert await bench.power() == ["Always", "Always"]


async def test_a_half_restored_pair_is_never_started(bench: Bench, golden: Golden) -> None:
    async with interrupted_after(2, bench, golden) as job:
        control_plane = bench.cluster.control_plane
        await restores.run_restore(bench.fence(), bench.watching, control_plane, "cp-snap", job.run_id, timeout=10)
        with pytest.raises(RestoreFailed, match="not restored"):
            await reset.start_both(job, golden)
    assert await bench.power() == ["Halted", "Halted"]


async def test_disks_that_do_not_stem_from_the_golden_snapshots_are_not_attested(bench: Bench, golden: Golden) -> None:
    # They run on the disks that the snapshots were taken of, never restored.
    with pytest.raises(AttestationFailed, match="a disk from vmsnapshot-"):
        await attest_disks(bench.kube, bench.cluster, golden)


async def test_ready_from_golden_time_is_not_taken_for_health(bench: Bench, golden: Golden) -> None:
    async with interrupted_after(3, bench, golden):
        """And no further."""
    # Only the control plane is started: its etcd has the worker Ready, from before the snapshot.
    await start(await bench.taken(), bench.cluster.control_plane, grace=0)
    vmi = await bench.watching.until(VMIS, "cp-cluster1", "cluster1", lambda found: found, timeout=10, what="it")
    since = datetime.fromisoformat(vmi["metadata"]["creationTimestamp"])
    control_plane = {"cp-cluster1": Boot(since, Counted(1))}
    worker = {"wk-cluster1": Boot(since, Counted(1))}
    await wait_healthy(bench.kube, bench.cluster, control_plane, timeout=10)
    async with bench.guest() as guest:
        node = await guest.get(NODES, "wk-cluster1")
    assert {c["type"]: c["status"] for c in node["status"]["conditions"]}["Ready"] == "True"

    with pytest.raises(GuestUnhealthy, match="wk-cluster1"):
        await wait_healthy(bench.kube, bench.cluster, worker, timeout=0)
    # Even if the guest's clock was so far ahead that the golden lease seems to be from this boot.
    ahead = {"wk-cluster1": Boot(since - timedelta(hours=1), Counted(1))}
    with pytest.raises(GuestUnhealthy, match="wk-cluster1: nothing was said"):
        await wait_healthy(bench.kube, bench.cluster, ahead, timeout=0)
    with pytest.raises(GuestUnhealthy, match="a running VM"):
        await boots_of(bench.kube, bench.cluster)


async def test_a_reset_that_fails_says_what_is_amiss_with_a_nodes_certificates(bench: Bench, golden: Golden) -> None:
    words = "the certificate of the kubelet has ended: the cluster has to be rebuilt"
    Consoles(bench.simulator).printed["wk-cluster1"] = f"cks-certificates: {words}\r\n"
    bench.simulator.troubles.add(Trouble(TroubleKind.UNHEALTHY_GUEST, name="wk-cluster1"))
    bench.configured(reset_attempts=1)
    with pytest.raises(GuestUnhealthy):
        await bench.reset(health_timeout=0.5)
    failure = (await bench.pooled()).status.failure
    assert failure is not None
    assert f"; wk-cluster1: {words}" in failure.message


async def test_words_of_an_earlier_boot_are_not_believed_of_a_disk_that_was_not_taken_back(
    bench: Bench, golden: Golden
) -> None:
    await bench.reset()
    # Neither node says anything in the next boot: what stands in the used etcd is the attested boot's.
    bench.simulator.troubles.add(Trouble(TroubleKind.VOID_RESTORE))
    bench.simulator.troubles.add(Trouble(TroubleKind.UNHEALTHY_GUEST, name="*-cluster1"))
    with pytest.raises(GuestUnhealthy, match="its lease was last renewed"):
        await bench.reset(health_timeout=0.5)
    pair = await golden_pair(bench.kube, bench.cluster, golden)
    recorded = (await bench.pooled()).status.attested_boots
    boots = await boots_of(bench.kube, bench.cluster, pair, recorded)
    long_ago = {name: replace(boot, since=datetime(2000, 1, 1, tzinfo=UTC)) for name, boot in boots.items()}
    with pytest.raises(GuestUnhealthy, match="nothing was said of its disk's boots"):
        await wait_healthy(bench.kube, bench.cluster, long_ago, timeout=0)


async def test_a_run_that_resumes_attests_again_what_it_attested(bench: Bench, golden: Golden) -> None:
    async with interrupted_after(5, bench, golden) as job:
        assert await reset.attest(job, golden)


async def test_a_quota_without_room_for_a_second_disk_is_named(
    bench: Bench, golden: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restores, "PATIENCE", 0.3)
    await allow_claims(bench, 2)
    with pytest.raises(RestoreFailed, match="quota") as raised:
        await bench.reset()
    assert "ResourceQuota" in raised.value.cure
    assert await bench.power() == ["Halted", "Halted"]

    await allow_claims(bench, 8)
    await bench.reset()


async def test_a_restore_that_never_ends_has_a_deadline(bench: Bench, golden: Golden) -> None:
    async with interrupted_after(2, bench, golden) as job:
        # A restore of a snapshot that is gone is tried again for ever.
        await bench.kube.delete(VM_SNAPSHOTS, "wk-snap", "cluster1")
        impatient = replace(job, host=bench.host(restore_timeout=0.5))
        with pytest.raises(WaitTimeout, match=r"wk-reset-.*wk-snap"):
            await reset.restore_both(impatient, golden)
    assert await bench.power() == ["Halted", "Halted"]


async def test_calls_of_a_reset_do_not_grow_with_its_duration(tmp_path: Path) -> None:
    counts, durations = [], []
    for speed in (1000.0, 20.0):
        async with bench_at(tmp_path / f"at-{speed}", speed) as bench:
            await bench.bootstrap()
            await bench.take_golden()
            await bench.reset()
            before, began = bench.wire.calls.total(), asyncio.get_running_loop().time()
            await bench.reset()
            counts.append(bench.wire.calls.total() - before)
            durations.append(asyncio.get_running_loop().time() - began)
    assert durations[1] > 1.5 * durations[0]
    assert counts[1] <= counts[0] + 2


async def test_an_outage_in_the_middle_is_waited_out(bench: Bench, golden: Golden) -> None:
    async def outage() -> None:
        name = restore(bench.cluster.worker, "wk-snap", "run")["metadata"]["name"]
        await bench.watching.until(
            VM_RESTORES, name, "cluster1", lambda found: True if found else None, timeout=10, what="it to begin"
        )
        bench.wire.refuse(UNAVAILABLE, times=12)
        bench.wire.cut_watches()

    await gather([bench.reset("run"), outage()])
    assert await bench.power() == ["Always", "Always"]


async def test_a_bundle_tells_the_story_without_secrets(bench: Bench, golden: Golden) -> None:
    await bench.reset()
    bundled = await bundle(bench.kube, bench.cluster, "cks-pool")
    shown = json.dumps(bundled)
    assert any("VirtualMachineInstance/cp-cluster1: phase Running" in line for line in bundled["timings"])
    assert bundled["timings"] == sorted(bundled["timings"])
    assert "VirtualMachineRestoreComplete" in shown
    assert golden.worker.uid in shown
    for secret in await bench.kube.list(SECRETS, "cluster1"):
        for value in secret["data"].values():
            assert value not in shown
            assert base64.b64decode(value).decode()[:200] not in shown
