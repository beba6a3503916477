"""What becomes of a snapshot: events on its way, deadline, deletion at any time, contents without it."""

from __future__ import annotations

import asyncio

import pytest

from tests.contract.lab import STORAGE, Lab, kubevirt, reasons, snapshots, volumes
from tests.contract.test_snapshot_sources import not_locked, taken, vm_with
from tests.contract.test_snapshots import PROTECTION, snapshot
from tests.contract.test_storage import data_volume
from tests.http_api import Obj

pytestmark = pytest.mark.needs_controllers

CONTENTS = "virtualmachinesnapshotcontents"
CONTENT_PROTECTION = "snapshot.kubevirt.io/vmsnapshotcontent-protection"


async def content_of(lab: Lab) -> Obj:
    [content] = await lab.api.items(snapshots(lab.namespace, CONTENTS))
    return content


def volume_snapshots(lab: Lab) -> str:
    return f"{STORAGE}/namespaces/{lab.namespace}/volumesnapshots"


async def until_deleted(lab: Lab, opened: asyncio.Event) -> list[Obj]:
    """Every version of the one snapshot until it is gone."""
    seen = []
    async for type_, one in lab.api.events(snapshots(lab.namespace), opened):
        seen.append(one)
        if type_ == "DELETED":
            return seen
    raise AssertionError("the watch ended")


async def removed(lab: Lab) -> list[Obj]:
    """The snapshot `cp-snap` deleted: all its versions from its deletion on."""
    opened = asyncio.Event()
    watch = asyncio.create_task(until_deleted(lab, opened))
    async with asyncio.timeout(lab.api.patience):
        await opened.wait()
        await lab.api.delete(snapshots(lab.namespace, name="cp-snap"))
        seen = await watch
    return [one for one in seen if one["metadata"].get("deletionTimestamp")]


async def test_events_say_what_was_made_and_what_is_gone(lab: Lab) -> None:
    await lab.halted("cp")
    await lab.snapshot("cp")
    content = await content_of(lab)
    [volume] = await lab.api.names(volume_snapshots(lab))
    made = f"Successfully created VirtualMachineSnapshotContent {content['metadata']['name']}"
    whole = await lab.api.get(snapshots(lab.namespace, name="cp-snap"))
    assert await lab.event(whole, "SuccessfulVirtualMachineSnapshotContentCreate") == ("Normal", made)
    told = await lab.event(content, "SuccessfulVolumeSnapshotCreate")
    assert told == ("Normal", f"Successfully created VolumeSnapshot {volume}")
    await lab.api.delete(f"{volume_snapshots(lab)}/{volume}")
    told = await lab.event(content, "VolumeSnapshotMissing")
    assert told == ("Warning", f"VolumeSnapshot {volume} no longer exists")


async def test_waiting_counts_for_the_deadline_and_a_failed_one_never_comes_back(lab: Lab) -> None:
    await vm_with(lab, "absent")
    await lab.api.create(snapshots(lab.namespace), snapshot(failureDeadline="1s"))
    path = snapshots(lab.namespace, name="cp-snap")
    failed = await lab.api.until(path, lambda one: one if one and one["status"].get("phase") == "Failed" else None)
    assert reasons(failed)["Failure"] == ("True", "snapshot deadline exceeded")
    await lab.api.create(volumes(lab.namespace), data_volume("absent", {"blank": {}}))
    other = snapshot()
    other["metadata"]["name"] = "other"
    await lab.api.create(snapshots(lab.namespace), other)
    await lab.api.until(
        snapshots(lab.namespace, name="other"), lambda one: ((one or {}).get("status") or {}).get("readyToUse")
    )
    assert (await lab.api.get(path))["status"]["phase"] == "Failed"


async def test_a_waiting_snapshot_says_that_it_is_deleted(lab: Lab) -> None:
    await vm_with(lab, "absent")
    await not_locked(lab, "volume doesnt exist: absent")
    last = [one for one in await removed(lab) if PROTECTION in one["metadata"].get("finalizers", [])][-1]
    assert last["status"]["phase"] == "Deleting"
    assert reasons(last)["Progressing"] == ("False", "VM snapshot is deleting")


async def test_a_finished_snapshot_is_called_a_success_to_its_end(lab: Lab) -> None:
    await lab.halted("cp")
    await lab.snapshot("cp")
    seen = await removed(lab)
    assert {one["status"]["phase"] for one in seen} == {"Succeeded"}
    assert {reasons(one)["Progressing"] for one in seen} == {("False", "Operation complete")}


async def test_a_retained_content_outlives_its_snapshot_with_its_volume_snapshots(lab: Lab) -> None:
    await lab.halted("cp")
    await lab.api.create(snapshots(lab.namespace), snapshot(deletionPolicy="Retain"))
    await taken(lab)
    await lab.api.until(kubevirt(lab.namespace, name="cp"), lambda vm: vm and "snapshotInProgress" not in vm["status"])
    await removed(lab)
    name = (await content_of(lab))["metadata"]["name"]
    path = snapshots(lab.namespace, CONTENTS, name)
    await lab.api.until(path, lambda one: one and CONTENT_PROTECTION not in one["metadata"].get("finalizers", []))
    [volume] = await lab.api.names(volume_snapshots(lab))
    await lab.api.delete(path)
    await lab.api.gone(path, f"{volume_snapshots(lab)}/{volume}")


async def test_a_content_that_is_deleted_stays_until_its_snapshot_goes(lab: Lab) -> None:
    await lab.halted("cp")
    await lab.snapshot("cp")
    content = await content_of(lab)
    assert CONTENT_PROTECTION in content["metadata"]["finalizers"]
    path = snapshots(lab.namespace, CONTENTS, content["metadata"]["name"])
    await lab.api.delete(path)
    await lab.restore("one", "cp")
    assert (await lab.api.get(path))["metadata"]["deletionTimestamp"]
    assert (await lab.api.get(snapshots(lab.namespace, name="cp-snap")))["status"]["readyToUse"] is True
    await lab.api.delete(snapshots(lab.namespace, name="cp-snap"))
    await lab.api.gone(path)


async def test_a_content_without_snapshot_takes_nothing_and_says_so(lab: Lab) -> None:
    await lab.halted("cp")
    await lab.snapshot("cp")
    kept = await content_of(lab)
    spec = kept["spec"] | {"virtualMachineSnapshotName": "nobody"}
    spec["volumeBackups"][0]["volumeSnapshotName"] = "never"
    alone = {key: kept[key] for key in ("apiVersion", "kind")} | {"metadata": {"name": "alone"}, "spec": spec}
    await lab.api.create(snapshots(lab.namespace, CONTENTS), alone)
    told = await lab.api.until(
        snapshots(lab.namespace, CONTENTS, "alone"),
        lambda one: one if ((one or {}).get("status") or {}).get("error") else None,
    )
    text = "VolumeSnapshots (never) skipped because vm snapshot is deleted"
    assert (told["status"]["error"]["message"], told["status"]["readyToUse"]) == (text, False)
    assert "never" not in await lab.api.names(volume_snapshots(lab))


async def test_a_snapshot_was_taken_when_its_content_says(lab: Lab) -> None:
    await lab.halted("cp")
    await lab.snapshot("cp")
    whole = await lab.api.get(snapshots(lab.namespace, name="cp-snap"))
    content = await content_of(lab)
    assert whole["status"]["creationTime"] == content["status"]["creationTime"]
    [volume] = content["status"]["volumeSnapshotStatus"]
    assert (volume["readyToUse"], content["status"]["readyToUse"]) == (True, True)
    assert content["spec"]["virtualMachineSnapshotName"] == "cp-snap"
    assert content["spec"]["source"]["virtualMachine"]["metadata"]["uid"] == whole["status"]["sourceUID"]
