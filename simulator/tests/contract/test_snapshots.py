"""Snapshots of VMs: the sequence, what is in them, when they are only called a success."""

from __future__ import annotations

import asyncio

import pytest

from tests.contract.lab import STORAGE, Lab, claims, core, kubevirt, reasons, snapshots, volumes
from tests.http_api import Failed, Obj
from tests.lab import POWER

pytestmark = pytest.mark.needs_controllers

PROTECTION = "snapshot.kubevirt.io/vmsnapshot-protection"
SOURCE_PROTECTION = "snapshot.kubevirt.io/snapshot-source-protection"
VM_WEBHOOK = 'admission webhook "virtualmachine-validator.kubevirt.io" denied the request: '


def snapshot(vm: str = "cp", **spec: str) -> Obj:
    source = {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": vm}
    return {
        "apiVersion": "snapshot.kubevirt.io/v1beta1",
        "kind": "VirtualMachineSnapshot",
        "metadata": {"name": f"{vm}-snap"},
        "spec": {"source": source, **spec},
    }


async def versions(lab: Lab, opened: asyncio.Event) -> list[Obj]:
    """Every version of the one snapshot until it is ready."""
    seen: list[Obj] = []
    async for _, one in lab.api.events(snapshots(lab.namespace), opened):
        seen.append(one)
        if (one.get("status") or {}).get("readyToUse"):
            return seen
    raise AssertionError("the watch ended")


async def test_a_snapshot_goes_from_waiting_over_locked_to_complete_and_ready(lab: Lab) -> None:
    await lab.halted("cp")
    opened = asyncio.Event()
    watch = asyncio.create_task(versions(lab, opened))
    async with asyncio.timeout(lab.api.patience):
        await opened.wait()
        made = await lab.api.create(snapshots(lab.namespace), snapshot())
        seen = await watch
    order = [
        ("False", "Source not locked"),
        ("True", "Source locked and operation in progress"),
        ("False", "Operation complete"),
    ]
    progress = dict.fromkeys(reasons(one)["Progressing"] for one in seen if reasons(one))
    assert [one for one in progress if not one[1].startswith("Source not locked ")] == order
    assert {reasons(one)["Ready"] for one in seen[:-1] if reasons(one)} <= {("False", "Not ready")}
    last = seen[-1]
    assert PROTECTION in last["metadata"]["finalizers"]
    assert reasons(last)["Ready"] == ("True", "Ready")
    assert last["status"]["phase"] == "Succeeded"
    assert last["status"]["snapshotVolumes"] == {"includedVolumes": ["rootdisk"], "excludedVolumes": ["cloudinit"]}
    assert not last["status"].get("indications")
    assert last["status"]["sourceUID"] == (await lab.get_vm())["metadata"]["uid"]
    assert last["status"]["virtualMachineSnapshotContentName"] == f"vmsnapshot-content-{made['metadata']['uid']}"


async def test_the_content_names_one_volume_snapshot_for_each_disk(lab: Lab) -> None:
    await lab.halted("cp")
    await lab.snapshot("cp")
    taken = await lab.api.get(snapshots(lab.namespace, name="cp-snap"))
    uid = taken["metadata"]["uid"]
    plural = "virtualmachinesnapshotcontents"
    content = await lab.api.get(snapshots(lab.namespace, plural, f"vmsnapshot-content-{uid}"))
    [backup] = content["spec"]["volumeBackups"]
    assert (backup["volumeName"], backup["volumeSnapshotName"]) == ("rootdisk", f"vmsnapshot-{uid}-volume-rootdisk")
    assert backup["persistentVolumeClaim"]["metadata"]["name"] == "cp-rootdisk"
    path = f"{STORAGE}/namespaces/{lab.namespace}/volumesnapshots/{backup['volumeSnapshotName']}"
    volume = await lab.api.get(path)
    assert volume["metadata"]["ownerReferences"][0]["uid"] == content["metadata"]["uid"]
    assert volume["metadata"]["labels"]["snapshot.kubevirt.io/source-vm-name"] == "cp"
    assert volume["status"]["readyToUse"] is True


async def test_the_vm_is_held_while_its_snapshot_is_taken_and_free_after(lab: Lab) -> None:
    await lab.halted("cp")
    path = kubevirt(lab.namespace, name="cp")
    await lab.api.create(snapshots(lab.namespace), snapshot())
    held = await lab.api.until(
        path, lambda vm: vm if SOURCE_PROTECTION in (vm or {})["metadata"].get("finalizers", []) else None
    )
    assert held["status"]["snapshotInProgress"] == "cp-snap"
    text = f'{VM_WEBHOOK}Cannot update vm running state until snapshot "cp-snap" completes'
    code, answer = await lab.api.call("PUT", f"{POWER}/namespaces/{lab.namespace}/virtualmachines/cp/start")
    if code != 202:  # The snapshot may be over already.
        assert (code, answer["message"]) == (500, f"Internal error occurred: {text}")
    free = await lab.api.until(path, lambda vm: vm if vm and not vm["status"].get("snapshotInProgress") else None)
    assert SOURCE_PROTECTION not in free["metadata"]["finalizers"]


async def test_a_snapshot_of_a_running_vm_says_so(lab: Lab) -> None:
    await lab.halted("cp")
    await lab.launch()
    await lab.snapshot("cp")
    taken = await lab.api.get(snapshots(lab.namespace, name="cp-snap"))
    assert "Online" in taken["status"]["indications"]
    assert {"GuestAgent", "NoGuestAgent"} & set(taken["status"]["indications"])
    told = {one["indication"]: one["message"] for one in taken["status"]["sourceIndications"]}
    text = "Snapshot taken while the VM was running. Consistency depends on guest-agent quiescing."
    assert told["Online"] == text


async def test_a_snapshot_without_its_vm_waits_and_fails_for_good_at_its_deadline(lab: Lab) -> None:
    await lab.api.create(snapshots(lab.namespace), snapshot(failureDeadline="1s"))
    path = snapshots(lab.namespace, name="cp-snap")
    waiting = await lab.api.until(path, lambda one: one if reasons(one) else None)
    assert reasons(waiting)["Progressing"] == ("False", "Source does not exist")
    failed = await lab.api.until(path, lambda one: one if one and one["status"]["phase"] == "Failed" else None)
    assert reasons(failed) == {
        "Progressing": ("False", "Operation failed"),
        "Failure": ("True", "snapshot deadline exceeded"),
        "Ready": ("False", "Not ready"),
    }


async def test_a_pod_on_the_disk_keeps_a_stopped_vm_from_being_snapshotted(lab: Lab) -> None:
    await lab.halted("cp")
    disk = [{"name": "d", "persistentVolumeClaim": {"claimName": "cp-rootdisk"}}]
    container = {"name": "c", "image": "registry.k8s.io/pause:3.10"}
    pod = {"metadata": {"name": "reader"}, "spec": {"containers": [container], "volumes": disk}}
    await lab.api.create(core(lab.namespace, "pods"), pod)
    await lab.api.create(snapshots(lab.namespace), snapshot())
    path = snapshots(lab.namespace, name="cp-snap")
    text = "Source not locked source is offline but 1 pods using PVCs [cp-rootdisk]"
    await lab.api.until(path, lambda one: reasons(one).get("Progressing") == ("False", text))
    await lab.api.remove(core(lab.namespace, "pods", "reader"), gracePeriodSeconds=0)
    await lab.api.until(path, lambda one: ((one or {}).get("status") or {}).get("readyToUse"))


async def test_nothing_to_snapshot_is_called_a_success_too(lab: Lab) -> None:
    vm = lab.vm("cp", strategy="Halted")
    del vm["spec"]["dataVolumeTemplates"]
    vm["spec"]["template"]["spec"]["volumes"][0] = {"name": "rootdisk", "containerDisk": {"image": "disk"}}
    await lab.secrets("cp")
    await lab.api.create(kubevirt(lab.namespace), vm)
    await lab.snapshot("cp")
    taken = await lab.api.get(snapshots(lab.namespace, name="cp-snap"))
    assert taken["status"]["phase"] == "Succeeded"
    assert taken["status"]["snapshotVolumes"] == {"excludedVolumes": ["rootdisk", "cloudinit"]}


async def test_a_lost_volume_snapshot_takes_the_readiness_and_leaves_the_phase(lab: Lab) -> None:
    await lab.halted("cp")
    await lab.snapshot("cp")
    [volume] = await lab.api.names(f"{STORAGE}/namespaces/{lab.namespace}/volumesnapshots")
    await lab.api.delete(f"{STORAGE}/namespaces/{lab.namespace}/volumesnapshots/{volume}")
    path = snapshots(lab.namespace, name="cp-snap")
    lost = await lab.api.until(path, lambda one: one if one and not one["status"]["readyToUse"] else None)
    assert lost["status"]["phase"] == "Succeeded"
    assert reasons(lost)["Ready"] == ("False", "Not ready")
    assert reasons(lost)["Progressing"] == ("False", "In error state")
    assert lost["status"]["error"]["message"] == f"VolumeSnapshots ({volume}) missing"


async def test_what_a_snapshot_is_of_never_changes(lab: Lab) -> None:
    await lab.api.create(snapshots(lab.namespace), snapshot())
    with pytest.raises(Failed) as denial:
        await lab.api.merge(snapshots(lab.namespace, name="cp-snap"), {"spec": {"deletionPolicy": "Retain"}})
    assert (denial.value.code, denial.value.body["reason"]) == (422, "Invalid")
    webhook = "virtualmachinesnapshot-validator.snapshot.kubevirt.io"
    # The typo is KubeVirt's.
    text = f'admission webhook "{webhook}" denied the request: spec in immutable after creation'
    assert denial.value.message == text


async def test_a_deleted_snapshot_takes_its_volume_snapshots_along(lab: Lab) -> None:
    await lab.halted("cp")
    await lab.snapshot("cp")
    path = f"{STORAGE}/namespaces/{lab.namespace}/volumesnapshots"
    [name] = await lab.api.names(path)
    await lab.api.delete(snapshots(lab.namespace, name="cp-snap"))
    await lab.api.gone(snapshots(lab.namespace, name="cp-snap"), f"{path}/{name}")
    assert await lab.api.names(snapshots(lab.namespace, "virtualmachinesnapshotcontents")) == []


async def test_a_snapshot_outlives_its_vm_and_follows_its_name(lab: Lab) -> None:
    await lab.halted("cp")
    await lab.snapshot("cp")
    await lab.api.delete(kubevirt(lab.namespace, name="cp"))
    await lab.api.gone(
        kubevirt(lab.namespace, name="cp"),
        volumes(lab.namespace, "cp-rootdisk"),
        claims(lab.namespace, "cp-rootdisk"),
    )
    new = await lab.api.create(kubevirt(lab.namespace), lab.vm("cp", strategy="Halted"))
    path = snapshots(lab.namespace, name="cp-snap")
    await lab.api.until(path, lambda one: one and one["status"]["sourceUID"] == new["metadata"]["uid"])


async def test_a_snapshot_of_a_running_vm_keeps_the_spec_that_runs_not_the_one_it_was_given_since(lab: Lab) -> None:
    await lab.halted("cp")
    await lab.launch()
    path = kubevirt(lab.namespace, name="cp")
    before = (await lab.get_vm())["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    change = {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": before + 7}}}}
    await lab.api.merge(path, change)
    changed = await lab.api.until(path, lambda vm: vm if "RestartRequired" in reasons(vm) else None)
    assert reasons(changed)["RestartRequired"] == ("True", "")
    [condition] = [one for one in changed["status"]["conditions"] if one["type"] == "RestartRequired"]
    assert condition["message"] == "a non-live-updatable field was changed in the template spec"
    await lab.snapshot("cp")
    [content] = await lab.api.items(snapshots(lab.namespace, "virtualmachinesnapshotcontents"))
    kept = content["spec"]["source"]["virtualMachine"]["spec"]["template"]["spec"]
    assert kept["terminationGracePeriodSeconds"] == before
    await lab.halt()
    await lab.launch()
    await lab.api.until(path, lambda vm: vm and "RestartRequired" not in reasons(vm))


async def test_a_changed_run_strategy_needs_no_restart(lab: Lab) -> None:
    await lab.halted("cp")
    await lab.launch()
    path = kubevirt(lab.namespace, name="cp")
    await lab.api.merge(path, {"spec": {"runStrategy": "RerunOnFailure"}})
    generation = (await lab.get_vm())["metadata"]["generation"]
    seen = await lab.api.until(
        path, lambda vm: vm if vm and vm["status"].get("observedGeneration") == generation else None
    )
    assert "RestartRequired" not in reasons(seen)


async def test_changed_labels_of_the_template_need_no_restart_but_wait_for_one(lab: Lab) -> None:
    await lab.halted("cp")
    before = await lab.launch()
    path = kubevirt(lab.namespace, name="cp")
    changed = await lab.api.merge(path, {"spec": {"template": {"metadata": {"labels": {"new": "label"}}}}})
    generation = changed["metadata"]["generation"]
    seen = await lab.api.until(
        path, lambda vm: vm if vm and vm["status"].get("desiredGeneration") == generation else None
    )
    assert "RestartRequired" not in reasons(seen)
    assert seen["status"]["observedGeneration"] == before["status"]["observedGeneration"] < generation


@pytest.mark.needs_guests
async def test_an_instance_that_ended_and_stays_makes_a_snapshot_online_and_holds_a_restore_up(lab: Lab) -> None:
    await lab.launched("Manual")
    await lab.shut_down(120)
    path = kubevirt(lab.namespace, name="cp")
    await lab.api.until(path, lambda vm: vm["status"]["printableStatus"] == "Stopped")
    await lab.snapshot("cp")
    snapshot = await lab.api.get(snapshots(lab.namespace, name="cp-snap"))
    assert "Online" in snapshot["status"]["indications"]
    await lab.begin_restore("cp-one", "cp", targetReadinessPolicy="FailImmediate")
    restore = snapshots(lab.namespace, "virtualmachinerestores", "cp-one")
    failed = await lab.api.until(restore, lambda one: one if "Failure" in reasons(one) else None)
    assert failed["status"]["complete"] is False
