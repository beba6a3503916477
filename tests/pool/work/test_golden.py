"""Taking golden generations over HTTP: only of clean stops, both halves of the same one, resumable anywhere."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pool.core.clusters import OperationKind
from pool.core.errors import GuestUnhealthy, SnapshotFailed
from pool.guest.health import check_healthy
from pool.kube.resources import NODES, VM_SNAPSHOTS, VMIS
from pool.kubevirt.fence import MARK
from pool.kubevirt.machines import stop, wait_stopped
from pool.kubevirt.manifests import snapshot
from pool.kubevirt.snapshots import ensure_snapshot
from pool.work import golden, refresh
from pool.work.generations import other_suffix, taken
from pool.work.reset import restore_to, stop_both
from tests.pool.bench import Bench, now


async def test_a_generation_is_taken_and_described(bench: Bench) -> None:
    await bench.bootstrap()
    generation = await bench.take_golden()

    assert await bench.snapshots() == {"cp-snap": generation.control_plane.uid, "wk-snap": generation.worker.uid}
    assert generation.generation == 1
    assert generation.certificates_expire_at is not None
    assert timedelta(days=300) < generation.certificates_expire_at - now() < timedelta(days=400)
    for found in await bench.kube.list(VM_SNAPSHOTS, "cluster1"):
        assert found["metadata"]["labels"]["cks.io/cluster-id"] == "cluster1"
        assert found["metadata"]["labels"]["cks.io/vm-role"] in ("control-plane", "worker")
    assert len(await bench.kube.list(VMIS, "cluster1")) == 2


async def test_taking_it_again_changes_nothing(bench: Bench) -> None:
    await bench.bootstrap()
    first = await bench.take_golden()
    vmis = [vmi["metadata"]["uid"] for vmi in await bench.kube.list(VMIS, "cluster1")]
    second = await bench.take_golden()
    assert (second.control_plane, second.worker) == (first.control_plane, first.worker)
    assert [vmi["metadata"]["uid"] for vmi in await bench.kube.list(VMIS, "cluster1")] == vmis


async def say_of_first_boot(bench: Bench, words: str | None) -> None:
    async with bench.guest() as guest:
        await guest.patch(NODES, "wk-cluster1", {"metadata": {"annotations": {"cks.io/first-boot": words}}})


async def test_no_generation_is_taken_before_add_ons_and_preparation_are_there(bench: Bench) -> None:
    await bench.bootstrap()
    await say_of_first_boot(bench, "90-prepare: failed: trivy: no space left")
    bench.configured(boot_timeout=5.0, reset_attempts=1)
    with pytest.raises(GuestUnhealthy, match="wk-cluster1: its first boot is not over: 90-prepare: trivy"):
        await bench.take_golden()
    assert await bench.snapshots() == {}


async def test_clusters_that_were_made_before_nodes_said_so_go_on(bench: Bench) -> None:
    await bench.bootstrap()
    await bench.take_golden()
    await say_of_first_boot(bench, None)
    await bench.pooled_beside("standby")
    assert (await bench.refresh()).generation == 2
    await bench.reset()
    assert await check_healthy(bench.kube, bench.cluster, now(), timeout=9)


async def test_a_stop_that_nobody_saw_end_well_is_made_again(bench: Bench) -> None:
    await bench.bootstrap()
    await bench.take_golden()  # an earlier clean stop proves nothing of the next one
    for machine in bench.cluster.machines:
        await stop(await bench.taken(), machine)
    for machine in bench.cluster.machines:
        await wait_stopped(bench.watching, machine, timeout=10)
    async with bench.interrupted(OperationKind.GOLDEN, "run") as job:
        with pytest.raises(SnapshotFailed, match="cleanly stopped"):
            await golden.snapshot_both(job, 2)

        await golden.snapshotted(job, 2)

    notes = [one["metadata"]["annotations"] for one in await bench.kube.list(VM_SNAPSHOTS, "cluster1")]
    assert len({note["cks.io/golden-stop"] for note in notes}) == 1


async def test_a_pair_is_of_one_stop(bench: Bench) -> None:
    await bench.bootstrap()
    async with bench.interrupted(OperationKind.GOLDEN, "run") as job:
        await golden.stop_cleanly(job, 1)
        pair = await golden.snapshot_both(job, 1)
    assert await taken(bench.kube, bench.cluster, 1)
    notes = dict(pair["wk-cluster1"]["metadata"]["annotations"]) | {"cks.io/golden-stop": "another"}
    del notes[MARK]  # whoever takes it puts a mark of its own
    await ensure_snapshot(bench.fence(), bench.watching, bench.cluster.worker, "wk-snap", notes, bench.settings)
    assert await taken(bench.kube, bench.cluster, 1) is None
    assert await taken(bench.kube, bench.cluster, 2) is None


async def test_a_snapshot_of_a_running_vm_is_taken_again(bench: Bench) -> None:
    await bench.bootstrap()
    wrong = await bench.kube.create(VM_SNAPSHOTS, snapshot(bench.cluster.worker, "wk-snap", bench.settings))
    generation = await bench.take_golden()
    assert generation.worker.uid != wrong["metadata"]["uid"]


async def test_halves_of_two_stops_are_never_a_pair(bench: Bench) -> None:
    await bench.bootstrap()
    async with bench.interrupted(OperationKind.GOLDEN, "dead") as job:
        await golden.stop_cleanly(job, 1)
        first = await golden.snapshot_both(job, 1)
        # The worker's half is lost, and the VMs have run meanwhile.
        await bench.kube.delete(VM_SNAPSHOTS, "wk-snap", "cluster1")
        await golden.start_again(job)
    assert await taken(bench.kube, bench.cluster, 1) is None
    bench.grace_is_over()

    generation = await bench.take_golden()

    old = {one["metadata"]["uid"] for one in first.values()}
    assert old.isdisjoint({generation.control_plane.uid, generation.worker.uid})


async def test_a_lost_half_is_taken_again_at_the_same_stop(bench: Bench) -> None:
    await bench.bootstrap()
    async with bench.interrupted(OperationKind.GOLDEN, "dead") as job:
        await golden.stop_cleanly(job, 1)
        first = await golden.snapshot_both(job, 1)
    await bench.kube.delete(VM_SNAPSHOTS, "wk-snap", "cluster1")
    bench.grace_is_over()

    generation = await bench.take_golden()

    assert generation.control_plane.uid == first["cp-cluster1"]["metadata"]["uid"]
    assert generation.worker.uid != first["wk-cluster1"]["metadata"]["uid"]


@pytest.mark.parametrize("done", [1, 2, 3])
async def test_a_run_interrupted_after_any_step_converges(bench: Bench, done: int) -> None:
    await bench.bootstrap()
    async with bench.interrupted(OperationKind.GOLDEN, "dead") as job:
        steps = (
            lambda: golden.stop_cleanly(job, 1),
            lambda: golden.snapshot_both(job, 1),
            lambda: golden.start_again(job),
        )
        for step in steps[:done]:
            await step()
    bench.grace_is_over()

    generation = await bench.take_golden()

    assert await bench.snapshots() == {"cp-snap": generation.control_plane.uid, "wk-snap": generation.worker.uid}
    assert await bench.power() == ["Always", "Always"]


async def test_a_generation_has_the_boots_of_its_disks_and_each_reset_is_the_next_one(bench: Bench) -> None:
    await bench.bootstrap()
    await bench.take_golden()
    assert {one["metadata"]["annotations"]["cks.io/boots"] for one in await bench.kube.list(VM_SNAPSHOTS)} == {"1"}
    for _ in range(2):
        assert [node.boots for node in (await bench.reset()).nodes] == [2, 2]


async def test_what_a_node_said_before_the_stop_is_never_taken_for_the_words_of_its_next_boot(bench: Bench) -> None:
    await bench.bootstrap()
    async with bench.guest() as guest:
        said = {one["metadata"]["name"]: one["status"]["nodeInfo"]["bootID"] for one in await guest.list(NODES)}
    vmis = {one["metadata"]["name"]: one["metadata"]["uid"] for one in await bench.kube.list(VMIS, "cluster1")}
    async with bench.interrupted(OperationKind.GOLDEN, "dead") as job:
        await golden.stop_cleanly(job, 1)

    known = (await bench.state.cluster("cluster1")).status.attested_boots
    assert known is not None
    for name, half in (("cp-cluster1", known.control_plane), ("wk-cluster1", known.worker)):
        assert (half.boot_id, half.instance) == (said[name], vmis[name])


async def test_a_refresh_that_was_interrupted_while_it_stopped_the_vms_again_goes_on(bench: Bench) -> None:
    await bench.bootstrap()
    first = await bench.take_golden()
    async with bench.interrupted(OperationKind.GOLDEN, "dead") as job:
        await golden.snapshotted(job, 2, other_suffix(bench.cluster, first))
        await stop_both(job)
    bench.grace_is_over()
    assert (await bench.refresh()).generation == 2


async def test_a_new_generation_is_proved_beside_the_old_one_and_then_replaces_it(bench: Bench) -> None:
    await bench.bootstrap()
    first = await bench.take_golden()
    await bench.damage("kept")
    async with bench.interrupted(OperationKind.GOLDEN, "run") as job:
        second = await golden.snapshotted(job, 2, other_suffix(bench.cluster, first))
        assert set(await bench.snapshots()) == {"cp-snap", "wk-snap", "cp-snap-next", "wk-snap-next"}

        await bench.damage("lost")
        await restore_to(job, second)
        assert await bench.damaged("kept")
        assert await bench.damaged("lost") is None
        await refresh.drop_others(job, second)

    assert await bench.snapshots() == {"cp-snap-next": second.control_plane.uid, "wk-snap-next": second.worker.uid}
    assert other_suffix(bench.cluster, second) == ""


async def test_a_refresh_counts_only_clusters_that_a_session_could_have(bench: Bench) -> None:
    await bench.bootstrap()
    first = await bench.take_golden()
    await bench.pooled_beside("cordoned", cordoned=True)
    await bench.pooled_beside("ill", healthy=False)
    with pytest.raises(AssertionError):
        await bench.refresh()
    assert (await bench.pooled()).status.golden == first

    await bench.pooled_beside("free")
    assert (await bench.refresh()).generation == 2
