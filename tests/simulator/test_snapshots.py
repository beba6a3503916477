"""VirtualMachineSnapshots on the simulator's storage, and of guests with an agent.

What any KubeVirt does about snapshots is stated in tests/contract.
"""

from __future__ import annotations

import asyncio
from typing import Any

from simulator.controllers.quiescing import ANNOTATION, Agent
from tests.simulator.http_api import Obj
from tests.simulator.lab import Lab, core, kubevirt, snapshots

CONTENTS = "virtualmachinesnapshotcontents"


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
    vmi = kubevirt(lab.namespace, "virtualmachineinstances", "cp")
    await lab.api.create(snapshots(lab.namespace), spec("cp"))
    await lab.api.until(vmi, lambda one: one and one["status"].get("fsFreezeStatus") == "frozen")
    await lab.api.until(vmi, lambda one: one and "fsFreezeStatus" not in one["status"])
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
    volumes = f"/apis/snapshot.storage.k8s.io/v1/namespaces/{lab.namespace}/volumesnapshots"
    assert await lab.api.items(volumes) == []
