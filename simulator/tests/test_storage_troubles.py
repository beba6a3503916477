"""Faults of storage and restores: each befalls whom it is meant for, shows as in life, can be taken away again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from simulator.app import Simulator
from simulator.client.meta import deleting
from simulator.faults.troubles import Trouble, TroubleKind
from simulator.timing.delays import Delays
from tests.http_api import Obj
from tests.lab import Lab, core, kubevirt, snapshots
from tests.test_snapshots import halted, reasons


@pytest.fixture
async def simulator(tmp_path: Path) -> AsyncIterator[Simulator]:
    """One whose snapshots are not ready at once."""
    delays = Delays(snapshot_ready=20.0)
    async with Simulator(speed=100.0, delays=delays, kubeconfig=tmp_path / "kubeconfig") as running:
        yield running


def ready(obj: Obj) -> str:
    return reasons(obj)["Ready"][0]


def volume_snapshots(lab: Lab) -> str:
    return f"/apis/snapshot.storage.k8s.io/v1/namespaces/{lab.namespace}/volumesnapshots"


async def bound(lab: Lab, claim: str) -> None:
    path = core(lab.namespace, "persistentvolumeclaims", claim)
    await lab.api.until(path, lambda one: one and (one.get("status") or {}).get("phase") == "Bound")


async def test_claims_stay_pending_until_mended(lab: Lab, simulator: Simulator) -> None:
    trouble = simulator.troubles.add(Trouble(TroubleKind.PENDING_PVC, name="cp-*"))
    await lab.create(strategy="Halted")
    await bound(lab, "wk-rootdisk")
    claim = await lab.api.get(core(lab.namespace, "persistentvolumeclaims", "cp-rootdisk"))
    assert claim["status"]["phase"] == "Pending"
    simulator.troubles.clear()
    await bound(lab, "cp-rootdisk")
    assert len(trouble.struck) == 1


async def test_a_restored_claim_is_meant_by_its_vms_name_too(lab: Lab, simulator: Simulator) -> None:
    await halted(lab)
    await lab.snapshot()
    trouble = simulator.troubles.add(Trouble(TroubleKind.PENDING_PVC, name="cp"))
    await lab.begin_restore("cp-one", "cp")
    await lab.restore("one", "wk")
    assert len(trouble.struck) == 1
    restore = snapshots(lab.namespace, "virtualmachinerestores", "cp-one")
    assert (await lab.api.get(restore))["status"]["complete"] is False
    simulator.troubles.remove(trouble)
    await lab.api.until(restore, lambda one: one and one["status"]["complete"])


@pytest.mark.parametrize("message", ["", "no space left in the pool"])
async def test_a_failing_snapshot_says_why_and_succeeds_once_mended(
    lab: Lab, simulator: Simulator, message: str
) -> None:
    await halted(lab)
    trouble = simulator.troubles.add(Trouble(TroubleKind.FAIL_SNAPSHOT, name="cp", message=message))
    await lab.snapshot("wk")
    snapshotting = asyncio.create_task(lab.snapshot("cp"))
    path = snapshots(lab.namespace, "virtualmachinesnapshots", "cp-snap")
    failed = await lab.api.until(path, lambda one: one if one and (one.get("status") or {}).get("error") else None)
    assert (message or "rpc error: code = Internal") in failed["status"]["error"]["message"]
    assert ready(failed) == "False"
    errors = [one["status"].get("error") for one in await lab.api.items(volume_snapshots(lab))]
    assert sorted(error is None for error in errors) == [False, True]
    simulator.troubles.remove(trouble)
    await snapshotting
    assert "error" not in (await lab.api.get(path))["status"]


async def first(lab: Lab, collection: str, check: Callable[[Obj], bool], opened: asyncio.Event | None = None) -> int:
    """The resourceVersion at which an object there first was so."""
    async with asyncio.timeout(20):
        async for _, obj in lab.api.events(collection, opened):
            if check(obj):
                return int(obj["metadata"]["resourceVersion"])
    raise AssertionError("the watch ended")


def ready_to_use(snapshot: Obj) -> bool:
    return bool((snapshot.get("status") or {}).get("readyToUse"))


async def test_a_lost_snapshot_was_ready_and_is_missed(lab: Lab, simulator: Simulator) -> None:
    await halted(lab)
    simulator.troubles.add(Trouble(TroubleKind.LOSE_SNAPSHOT, name="cp"))
    opened = asyncio.Event()
    deleted = asyncio.create_task(first(lab, volume_snapshots(lab), deleting, opened))
    path = snapshots(lab.namespace, "virtualmachinesnapshots", "cp-snap")
    promised = asyncio.create_task(first(lab, snapshots(lab.namespace), ready_to_use))
    await opened.wait()
    await lab.snapshot("cp")
    assert await promised < await deleted
    await lab.snapshot("wk")
    lost = await lab.api.until(path, lambda one: one if one and (one.get("status") or {}).get("error") else None)
    assert (lost["status"]["phase"], lost["status"]["readyToUse"]) == ("Succeeded", False)
    assert "missing" in lost["status"]["error"]["message"]
    left = [one["metadata"]["labels"] for one in await lab.api.items(volume_snapshots(lab))]
    assert [labels["snapshot.kubevirt.io/source-vm-name"] for labels in left] == ["wk"]


async def test_a_snapshot_that_is_taken_can_fail_before_it_is_ready(lab: Lab, simulator: Simulator) -> None:
    await halted(lab)
    snapshotting = asyncio.create_task(lab.snapshot("cp"))
    taken = await changed(lab, lambda status: "creationTime" in status)
    trouble = simulator.troubles.add(Trouble(TroubleKind.FAIL_SNAPSHOT))
    failed = await changed(lab, lambda status: "error" in status)
    assert (failed["creationTime"], failed["readyToUse"]) == (taken["creationTime"], False)
    simulator.troubles.remove(trouble)
    assert "error" not in await changed(lab, lambda status: bool(status.get("readyToUse")))
    await snapshotting


async def changed(lab: Lab, check: Callable[[Obj], bool]) -> Obj:
    """The status of the VolumeSnapshot once it is so."""
    async with asyncio.timeout(20):
        async for _, one in lab.api.events(volume_snapshots(lab)):
            status: Obj = one.get("status") or {}
            if check(status):
                return status
    raise AssertionError("the watch ended")


async def test_a_golden_snapshot_can_be_lost_later(lab: Lab, simulator: Simulator) -> None:
    await halted(lab)
    await lab.snapshot()
    simulator.troubles.add(Trouble(TroubleKind.LOSE_SNAPSHOT, name="cp"))
    path = snapshots(lab.namespace, "virtualmachinesnapshots", "cp-snap")
    await lab.api.until(path, lambda one: one and not one["status"]["readyToUse"])


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        ("FailImmediate", "Restore target VMI must be powered off before restore operation"),
        ("StopTarget", "Restore target failed to be ready within 5m0s"),
    ],
)
async def test_a_failing_restore_keeps_its_vm_marked_and_its_claims_until_it_is_deleted(
    lab: Lab, simulator: Simulator, policy: str, text: str
) -> None:
    await halted(lab)
    await lab.snapshot()
    simulator.troubles.add(Trouble(TroubleKind.FAIL_RESTORE, name="cp-*", count=1))
    made = await lab.begin_restore("cp-one", "cp", targetReadinessPolicy=policy)
    await lab.restore("one", "wk")
    path = snapshots(lab.namespace, "virtualmachinerestores", "cp-one")
    failed = await lab.api.until(path, lambda one: one if "Failure" in reasons(one) else None)
    assert reasons(failed)["Failure"][1].startswith(text)
    assert failed["status"]["complete"] is False
    vm = kubevirt(lab.namespace, "virtualmachines", "cp")
    assert (await lab.api.get(vm))["status"]["restoreInProgress"] == "cp-one"
    claim = f"restore-{made['metadata']['uid']}-rootdisk"
    assert await lab.api.find(core(lab.namespace, "persistentvolumeclaims", claim))
    await lab.api.delete(path)
    await lab.api.until(path, lambda one: one is None)
    await lab.restore("two", "cp")
    assert "restoreInProgress" not in (await lab.api.get(vm))["status"]


async def test_a_restore_with_an_error_completes_once_mended(lab: Lab, simulator: Simulator) -> None:
    await halted(lab)
    await lab.snapshot()
    told = "persistentvolumeclaims is forbidden: exceeded quota"
    trouble = simulator.troubles.add(Trouble(TroubleKind.FAIL_RESTORE, name="cp", terminal=False, message=told))
    await lab.begin_restore("one", "cp")
    path = snapshots(lab.namespace, "virtualmachinerestores", "one")
    wrong = await lab.api.until(path, lambda one: one if one and reasons(one).get("Ready") == ("False", told) else None)
    assert "Failure" not in reasons(wrong)
    simulator.troubles.remove(trouble)
    await lab.api.until(path, lambda one: one and one["status"]["complete"])
