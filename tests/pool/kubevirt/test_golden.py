"""Taking golden generations over HTTP: only of clean stops, both halves of the same one, resumable anywhere."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pool.core.errors import SnapshotFailed
from pool.guest.canary import plant_canary
from pool.kube.resources import VM_SNAPSHOTS, VMIS, VMS
from pool.kubevirt.machines import stop, wait_stopped
from pool.kubevirt.manifests import snapshot
from pool.kubevirt.snapshots import ensure_snapshot
from pool.work import golden
from tests.pool.kubevirt.conftest import Bench, now


async def stopped(bench: Bench) -> None:
    await golden.stop_both(bench.kube, bench.watching, bench.cluster, bench.settings, generation=1)


async def uids(bench: Bench) -> dict[str, str]:
    found = await bench.kube.list(VM_SNAPSHOTS, "cluster1")
    return {one["metadata"]["name"]: one["metadata"]["uid"] for one in found}


async def test_a_generation_is_taken_and_described(bench: Bench) -> None:
    await bench.bootstrap()
    taken = await bench.take_golden()

    assert await uids(bench) == {"cp-snap": taken.control_plane.uid, "wk-snap": taken.worker.uid}
    assert taken.generation == 1
    assert taken.certificates_expire_at is not None
    assert timedelta(days=300) < taken.certificates_expire_at - now() < timedelta(days=400)
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


async def test_a_stop_that_nobody_saw_end_well_is_made_again(bench: Bench) -> None:
    await bench.bootstrap()
    await bench.take_golden()  # an earlier clean stop proves nothing of the next one
    for machine in bench.cluster.machines:
        await stop(bench.kube, machine)
    for machine in bench.cluster.machines:
        await wait_stopped(bench.watching, machine, timeout=10)
    with pytest.raises(SnapshotFailed, match="cleanly stopped"):
        await golden.snapshot_both(bench.kube, bench.watching, bench.cluster, bench.settings, generation=2)

    await bench.take_golden(2)

    notes = [one["metadata"]["annotations"] for one in await bench.kube.list(VM_SNAPSHOTS, "cluster1")]
    assert len({note["cks.io/golden-stop"] for note in notes}) == 1


async def test_a_pair_is_of_one_stop(bench: Bench) -> None:
    await bench.bootstrap()
    await stopped(bench)
    pair = await golden.snapshot_both(bench.kube, bench.watching, bench.cluster, bench.settings, generation=1)
    assert await golden.taken(bench.kube, bench.cluster, 1)
    notes = dict(pair["wk-cluster1"]["metadata"]["annotations"]) | {"cks.io/golden-stop": "another"}
    await ensure_snapshot(bench.kube, bench.watching, bench.cluster.worker, "wk-snap", notes, bench.settings)
    assert await golden.taken(bench.kube, bench.cluster, 1) is None
    assert await golden.taken(bench.kube, bench.cluster, 2) is None


async def test_a_snapshot_of_a_running_vm_is_taken_again(bench: Bench) -> None:
    await bench.bootstrap()
    wrong = await bench.kube.create(VM_SNAPSHOTS, snapshot(bench.cluster.worker, "wk-snap", bench.settings))
    taken = await bench.take_golden()
    assert taken.worker.uid != wrong["metadata"]["uid"]


async def test_halves_of_two_stops_are_never_a_pair(bench: Bench) -> None:
    await bench.bootstrap()
    await stopped(bench)
    first = await golden.snapshot_both(bench.kube, bench.watching, bench.cluster, bench.settings, generation=1)
    # The worker's half is lost, and the VMs have run meanwhile.
    await bench.kube.delete(VM_SNAPSHOTS, "wk-snap", "cluster1")
    await golden.start_both(bench.kube, bench.watching, bench.cluster, bench.settings)
    assert await golden.taken(bench.kube, bench.cluster, 1) is None

    taken = await bench.take_golden()

    old = {one["metadata"]["uid"] for one in first.values()}
    assert old.isdisjoint({taken.control_plane.uid, taken.worker.uid})


async def test_a_lost_half_is_taken_again_at_the_same_stop(bench: Bench) -> None:
    await bench.bootstrap()
    await stopped(bench)
    first = await golden.snapshot_both(bench.kube, bench.watching, bench.cluster, bench.settings, generation=1)
    await bench.kube.delete(VM_SNAPSHOTS, "wk-snap", "cluster1")

    taken = await bench.take_golden()

    assert taken.control_plane.uid == first["cp-cluster1"]["metadata"]["uid"]
    assert taken.worker.uid != first["wk-cluster1"]["metadata"]["uid"]


@pytest.mark.parametrize("done", [1, 2, 3])
async def test_a_run_interrupted_after_any_step_converges(bench: Bench, done: int) -> None:
    await bench.bootstrap()
    steps = (
        lambda: stopped(bench),
        lambda: golden.snapshot_both(bench.kube, bench.watching, bench.cluster, bench.settings, generation=1),
        lambda: golden.start_both(bench.kube, bench.watching, bench.cluster, bench.settings),
    )
    for step in steps[:done]:
        await step()

    taken = await bench.take_golden()

    assert await uids(bench) == {"cp-snap": taken.control_plane.uid, "wk-snap": taken.worker.uid}
    vms = await bench.kube.list(VMS, "cluster1")
    assert [vm["spec"]["runStrategy"] for vm in vms] == ["Always", "Always"]


async def test_a_canary_does_not_become_golden(bench: Bench) -> None:
    await bench.bootstrap()
    await plant_canary(bench.kube, bench.cluster, 1)
    taken = await bench.take_golden()
    await bench.reset(taken, "run")


async def test_a_new_generation_is_proved_beside_the_old_one_and_then_replaces_it(bench: Bench) -> None:
    await bench.bootstrap()
    first = await bench.take_golden()
    await bench.damage("kept")
    suffix = golden.other_suffix(bench.cluster, first)
    where = (bench.kube, bench.watching, bench.cluster)
    second = await golden.take_golden(*where, bench.settings, generation=2, now=now, suffix=suffix)
    assert set(await uids(bench)) == {"cp-snap", "wk-snap", "cp-snap-next", "wk-snap-next"}

    await bench.damage("lost")
    await bench.reset(second, "proof")
    assert await bench.damaged("kept")
    assert await bench.damaged("lost") is None
    await golden.drop_others(*where, second, bench.settings)

    assert await uids(bench) == {"cp-snap-next": second.control_plane.uid, "wk-snap-next": second.worker.uid}
    assert golden.other_suffix(bench.cluster, second) == ""
