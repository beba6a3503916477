"""VirtualMachineSnapshots on the simulator's storage, and of guests with an agent.

What any KubeVirt does about snapshots is stated in tests/contract.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from simulator.api.requests import User
from simulator.app import Simulator
from simulator.client import accounts
from simulator.client.local import LocalClient
from simulator.client.resources import VMIS
from simulator.controllers.snapshots.quiescing import ANNOTATION, Agent
from simulator.faults.troubles import Trouble, TroubleKind
from tests.http_api import Obj
from tests.lab import Lab, core, kubevirt, snapshots

PROFILE = "/apis/cdi.kubevirt.io/v1beta1/storageprofiles/standard"
CONTENTS = "virtualmachinesnapshotcontents"
SOURCE_PROTECTION = "snapshot.kubevirt.io/snapshot-source-protection"


def volume_snapshots(lab: Lab) -> str:
    return f"/apis/snapshot.storage.k8s.io/v1/namespaces/{lab.namespace}/volumesnapshots"


def spec(vm: str, **more: Any) -> Obj:
    return {
        "apiVersion": "snapshot.kubevirt.io/v1beta1",
        "kind": "VirtualMachineSnapshot",
        "metadata": {"name": f"{vm}-snap"},
        "spec": {"source": {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": vm}, **more},
    }


def reasons(snapshot: Obj) -> dict[str, tuple[str, str]]:
    conditions = (snapshot.get("status") or {}).get("conditions") or []
    return {one["type"]: (one["status"], one["reason"]) for one in conditions}


async def watched(lab: Lab, name: str, opened: asyncio.Event) -> list[Obj]:
    """Every version of a snapshot until it is ready."""
    seen = []
    async for _, snapshot in lab.api.events(snapshots(lab.namespace), opened):
        if snapshot["metadata"]["name"] == name:
            seen.append(snapshot)
            if (snapshot.get("status") or {}).get("readyToUse"):
                break
    return seen


async def halted(lab: Lab) -> None:
    await lab.create(strategy="Halted")
    for name in ("cp", "wk"):
        claim = core(lab.namespace, "persistentvolumeclaims", f"{name}-rootdisk")
        await lab.api.until(claim, lambda one: one and one["status"]["phase"] == "Bound")
        volume = f"/apis/cdi.kubevirt.io/v1beta1/namespaces/{lab.namespace}/datavolumes/{name}-rootdisk"
        await lab.api.until(volume, lambda one: one and one["status"]["phase"] == "Succeeded")


async def test_an_offline_snapshot_succeeds_before_it_is_ready(lab: Lab) -> None:
    await halted(lab)
    opened = asyncio.Event()
    watch = asyncio.create_task(watched(lab, "cp-snap", opened))
    await opened.wait()
    created = await lab.api.create(snapshots(lab.namespace), spec("cp"))
    seen = await watch
    phases = [((one.get("status") or {}).get("phase"), (one.get("status") or {}).get("readyToUse")) for one in seen]
    assert phases.index(("Succeeded", False)) < phases.index(("Succeeded", True))
    progress = [reasons(one).get("Progressing") for one in seen]
    order = [
        ("False", "Source not locked"),
        ("True", "Source locked and operation in progress"),
        ("False", "Operation complete"),
    ]
    assert [one for one in dict.fromkeys(progress) if one] == order
    last = seen[-1]["status"]
    assert last["snapshotVolumes"] == {"includedVolumes": ["rootdisk"], "excludedVolumes": ["cloudinit"]}
    assert "indications" not in last
    assert last["virtualMachineSnapshotContentName"] == f"vmsnapshot-content-{created['metadata']['uid']}"
    vm = await lab.api.until(
        kubevirt(lab.namespace, "virtualmachines", "cp"),
        lambda vm: vm if not vm["status"].get("snapshotInProgress") else None,
    )
    assert "snapshot.kubevirt.io/snapshot-source-protection" not in vm["metadata"]["finalizers"]


async def test_nothing_to_snapshot_is_still_a_success(lab: Lab) -> None:
    await lab.api.delete("/apis/snapshot.storage.k8s.io/v1/volumesnapshotclasses/standard")
    await halted(lab)
    await lab.snapshot("cp")
    snapshot = await lab.api.get(snapshots(lab.namespace, name="cp-snap"))
    assert snapshot["status"]["snapshotVolumes"] == {"excludedVolumes": ["rootdisk", "cloudinit"]}
    assert snapshot["status"]["indications"] == ["PartialSnapshot"]


async def with_agent(lab: Lab, agent: str) -> None:
    """A running VM `cp` with a guest agent."""
    await lab.create(strategy="Halted")
    change = {"spec": {"template": {"metadata": {"annotations": {ANNOTATION: agent}}}}}
    await lab.api.merge(kubevirt(lab.namespace, "virtualmachines", "cp"), change)
    await lab.power("cp", "start")
    await lab.running("cp")


async def test_a_guest_with_an_agent_is_frozen_until_the_snapshot_is_taken(lab: Lab) -> None:
    await with_agent(lab, Agent.CONNECTED)
    instances = kubevirt(lab.namespace, "virtualmachineinstances")
    before = (await lab.api.get(instances))["metadata"]["resourceVersion"]
    await lab.api.create(snapshots(lab.namespace), spec("cp"))
    async with asyncio.timeout(20):
        # From before: it may be over by now.
        async for _, vmi in lab.api.events(instances, version=before):
            if vmi["status"].get("fsFreezeStatus") == "frozen":
                break
    await lab.api.until(f"{instances}/cp", lambda one: one and "fsFreezeStatus" not in one["status"])
    path = snapshots(lab.namespace, name="cp-snap")
    ready = await lab.api.until(path, lambda one: one if one and one["status"]["readyToUse"] else None)
    assert ready["status"]["indications"] == ["GuestAgent", "Online"]


async def test_an_agent_that_cannot_freeze_fails_the_snapshot_at_its_deadline(lab: Lab) -> None:
    await with_agent(lab, Agent.FREEZE_FAILS)
    await lab.api.create(snapshots(lab.namespace), spec("cp", failureDeadline="1s"))
    path = snapshots(lab.namespace, name="cp-snap")
    said = await lab.api.until(path, lambda one: one if ((one or {}).get("status") or {}).get("error") else None)
    assert said["status"]["error"]["message"].startswith("Failed freezing vm cp: ")
    assert reasons(said)["Progressing"] == ("False", "In error state")
    failed = await lab.api.until(path, lambda one: one if one and one["status"]["phase"] == "Failed" else None)
    assert reasons(failed)["Failure"] == ("True", "snapshot deadline exceeded")
    assert await lab.api.items(volume_snapshots(lab)) == []
    name = failed["status"]["virtualMachineSnapshotContentName"]
    await lab.api.until(snapshots(lab.namespace, CONTENTS, name), lambda one: one is None)
    await unlocked(lab)
    # Why it failed stays to be read.
    last = await lab.api.get(path)
    assert last["status"]["error"] == failed["status"]["error"]
    assert reasons(last)["Progressing"] == ("False", "In error state")


async def test_a_windows_guest_that_thaws_by_itself_is_snapshotted_and_said_to_be_crash_consistent(lab: Lab) -> None:
    await with_agent(lab, Agent.THAWS_EARLY)
    await lab.api.create(snapshots(lab.namespace), spec("cp"))
    path = snapshots(lab.namespace, name="cp-snap")
    ready = await lab.api.until(path, lambda one: one if one and one["status"]["readyToUse"] else None)
    assert ready["status"]["indications"] == ["GuestAgent", "Online", "QuiesceTimeout"]
    assert "error" not in ready["status"]
    text = "Guest agent quiesced the filesystem, but the freeze window timed out before completion. "
    text += "Snapshot is crash-consistent and may not be application-consistent."
    told = {one["indication"]: one["message"] for one in ready["status"]["sourceIndications"]}
    assert told["QuiesceTimeout"] == text


async def test_a_paused_guest_is_not_frozen_and_said_to_be_paused(lab: Lab, simulator: Simulator) -> None:
    await with_agent(lab, Agent.FREEZE_FAILS)
    path = kubevirt(lab.namespace, "virtualmachineinstances", "cp")
    client = LocalClient(simulator.api, user=User(accounts.CONTROLLER, accounts.GROUPS))
    status = (await lab.api.get(path))["status"]
    paused = {"type": "Paused", "status": "True", "reason": "PausedByUser", "lastTransitionTime": None}
    change = {"status": {"conditions": [*status["conditions"], paused]}}
    await client.patch(VMIS, "cp", change, lab.namespace)
    await lab.snapshot("cp")
    ready = await lab.api.get(snapshots(lab.namespace, name="cp-snap"))
    assert ready["status"]["indications"] == ["Online", "Paused"]


@pytest.fixture
async def stuck(lab: Lab, simulator: Simulator) -> Trouble:
    """A snapshot `cp-snap` that is under way until this is taken away."""
    await halted(lab)
    trouble = simulator.troubles.add(Trouble(TroubleKind.FAIL_SNAPSHOT, name="cp"))
    await lab.api.create(snapshots(lab.namespace), spec("cp"))
    path = snapshots(lab.namespace, name="cp-snap")
    await lab.api.until(path, lambda one: one and (one.get("status") or {}).get("error"))
    return trouble


async def ready(lab: Lab, name: str = "cp-snap") -> Obj:
    found: Obj = await lab.api.until(
        snapshots(lab.namespace, name=name),
        lambda one: one if ((one or {}).get("status") or {}).get("readyToUse") else None,
    )
    return found


async def unlocked(lab: Lab) -> Obj:
    found: Obj = await lab.api.until(
        kubevirt(lab.namespace, "virtualmachines", "cp"),
        lambda vm: vm if vm and not vm["status"].get("snapshotInProgress") else None,
    )
    return found


async def test_a_second_snapshot_waits_for_the_first(lab: Lab, simulator: Simulator, stuck: Trouble) -> None:
    other = spec("cp")
    other["metadata"]["name"] = "other"
    await lab.api.create(snapshots(lab.namespace), other)
    wanted = ("False", 'Source not locked snapshot "cp-snap" in progress')
    path = snapshots(lab.namespace, name="other")
    await lab.api.until(path, lambda one: reasons(one or {}).get("Progressing") == wanted)
    simulator.troubles.remove(stuck)
    await ready(lab)
    await ready(lab, "other")


async def test_a_volume_snapshot_lost_before_it_was_taken_is_made_again(
    lab: Lab, simulator: Simulator, stuck: Trouble
) -> None:
    [lost] = await lab.api.items(volume_snapshots(lab))
    path = f"{volume_snapshots(lab)}/{lost['metadata']['name']}"
    await lab.api.delete(path)
    await lab.api.until(path, lambda one: one and one["metadata"]["uid"] != lost["metadata"]["uid"])
    simulator.troubles.remove(stuck)
    await ready(lab)


async def test_an_error_of_storage_shows_and_goes_with_its_cause(
    lab: Lab, simulator: Simulator, stuck: Trouble
) -> None:
    said = await lab.api.get(snapshots(lab.namespace, name="cp-snap"))
    [volume] = await lab.api.items(volume_snapshots(lab))
    text = f"VolumeSnapshot {volume['metadata']['name']} error: {volume['status']['error']['message']}"
    assert said["status"]["error"]["message"] == text
    assert reasons(said)["Progressing"] == ("False", "In error state")
    simulator.troubles.remove(stuck)
    well = await ready(lab)
    assert "error" not in well["status"]
    assert reasons(well)["Progressing"] == ("False", "Operation complete")


async def test_a_vm_is_deleted_only_when_its_snapshot_is_taken(lab: Lab, simulator: Simulator, stuck: Trouble) -> None:
    path = kubevirt(lab.namespace, "virtualmachines", "cp")
    await lab.api.delete(path)
    await lab.api.until(path, lambda vm: vm["metadata"]["finalizers"] == [SOURCE_PROTECTION])
    simulator.troubles.remove(stuck)
    await ready(lab)
    await lab.api.until(path, lambda vm: vm is None)


async def test_a_snapshot_deleted_under_way_frees_its_vm_after_its_content_is_gone(lab: Lab, stuck: Trouble) -> None:
    assert await lab.api.items(snapshots(lab.namespace, CONTENTS)) != []
    await lab.api.delete(snapshots(lab.namespace, name="cp-snap"))
    await unlocked(lab)
    assert await lab.api.items(snapshots(lab.namespace, CONTENTS)) == []
    await lab.api.until(snapshots(lab.namespace, name="cp-snap"), lambda one: one is None)


async def test_a_snapshot_class_that_the_profile_names_and_that_is_not_there_is_none(lab: Lab) -> None:
    await halted(lab)
    for vm, named, included in (("cp", "missing", None), ("wk", "standard", ["rootdisk"])):
        await lab.api.merge(PROFILE, {"spec": {"snapshotClass": named}})
        await lab.api.until(PROFILE, lambda one, named=named: one["status"].get("snapshotClass") == named)
        await lab.snapshot(vm)
        taken = await lab.api.get(snapshots(lab.namespace, name=f"{vm}-snap"))
        assert taken["status"]["snapshotVolumes"].get("includedVolumes") == included


async def test_a_volume_snapshot_that_fills_a_claim_is_held_until_that_is_bound(lab: Lab) -> None:
    await halted(lab)
    await lab.snapshot("cp")
    [volume] = await lab.api.items(volume_snapshots(lab))
    await lab.never_bind("standard")
    claims = core(lab.namespace, "persistentvolumeclaims")
    source = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": volume["metadata"]["name"]}
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}, "dataSource": source}
    await lab.api.create(claims, {"metadata": {"name": "copy"}, "spec": wanted})
    await lab.api.delete(snapshots(lab.namespace, name="cp-snap"))
    await lab.api.until(snapshots(lab.namespace, name="cp-snap"), lambda one: one is None)
    async for _, event in lab.api.events(core(lab.namespace, "events")):
        if event["reason"] == "SnapshotDeletePending":
            break
    assert (event["type"], event["message"]) == ("Warning", "Snapshot is being used to restore a PVC")
    assert event["involvedObject"]["uid"] == volume["metadata"]["uid"]
    path = f"{volume_snapshots(lab)}/{volume['metadata']['name']}"
    assert (await lab.api.get(path))["metadata"]["deletionTimestamp"]
    await lab.api.delete(f"{claims}/copy")
    await lab.api.until(path, lambda one: one is None)


async def test_events_of_storage_tell_how_far_a_volume_snapshot_is(lab: Lab) -> None:
    await halted(lab)
    await lab.snapshot("cp")
    [volume] = await lab.api.items(volume_snapshots(lab))
    awaited = {"CreatingSnapshot", "SnapshotCreated", "SnapshotReady"}
    async for _, event in lab.api.events(core(lab.namespace, "events")):
        if event["involvedObject"]["uid"] == volume["metadata"]["uid"]:
            awaited.discard(event["reason"])
            if not awaited:
                break
