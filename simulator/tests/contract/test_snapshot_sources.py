"""What a snapshot says of the VM it waits for, and which volumes of it are taken."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.contract.lab import Lab, claims, core, kubevirt, reasons, snapshots, volumes
from tests.contract.test_snapshots import snapshot
from tests.contract.test_storage import data_volume, phase, storage_class
from tests.http_api import Failed, Obj

pytestmark = pytest.mark.needs_controllers

HELD = "contract.invalid/held"


def claim(name: str, **spec: object) -> Obj:
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec}
    return {"metadata": {"name": name}, "spec": wanted}


async def vm_with(lab: Lab, *names: str) -> None:
    """A Halted VM `cp` whose volumes are these claims, beside its cloud-init."""
    vm = lab.vm("cp", strategy="Halted")
    del vm["spec"]["dataVolumeTemplates"]
    inside = vm["spec"]["template"]["spec"]
    inside["volumes"] = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in names]
    inside["volumes"].append({"name": "cloudinit", "cloudInitNoCloud": {"secretRef": {"name": "cp-cloudinit"}}})
    inside["domain"]["devices"]["disks"] = [{"name": one["name"], "disk": {}} for one in inside["volumes"]]
    await lab.secrets("cp")
    await lab.api.create(kubevirt(lab.namespace), vm)


async def not_locked(lab: Lab, why: str) -> None:
    """A snapshot of `cp` waits, and says this."""
    await lab.api.create(snapshots(lab.namespace), snapshot())
    wanted = ("False", f"Source not locked source {lab.namespace}/cp {why}")
    path = snapshots(lab.namespace, name="cp-snap")
    waiting = await lab.api.until(path, lambda one: one if reasons(one).get("Progressing") == wanted else None)
    assert waiting["status"]["phase"] == "InProgress"
    assert "snapshotInProgress" not in (await lab.get_vm()).get("status", {})


async def taken(lab: Lab) -> Obj:
    found: Obj = await lab.api.until(
        snapshots(lab.namespace, name="cp-snap"),
        lambda one: one if ((one or {}).get("status") or {}).get("readyToUse") else None,
    )
    return found


async def test_a_claim_that_is_not_there_is_waited_for(lab: Lab) -> None:
    await vm_with(lab, "absent")
    await not_locked(lab, "volume doesnt exist: absent")
    await lab.api.create(volumes(lab.namespace), data_volume("absent", {"blank": {}}))
    assert (await taken(lab))["status"]["snapshotVolumes"]["includedVolumes"] == ["absent"]


async def test_a_claim_that_is_not_bound_is_waited_for(lab: Lab) -> None:
    async with storage_class(lab, provisioner="contract.invalid") as lonely:
        await lab.api.create(claims(lab.namespace), claim("unbound", storageClassName=lonely))
        await vm_with(lab, "unbound")
        await not_locked(lab, "volume not bound: unbound")


async def test_a_claim_whose_data_volume_is_not_done_is_waited_for(lab: Lab) -> None:
    source = {"pvc": {"namespace": lab.namespace, "name": "missing"}}
    orphan = await lab.api.create(volumes(lab.namespace), data_volume("orphan", source))
    owner = {"apiVersion": "cdi.kubevirt.io/v1beta1", "kind": "DataVolume", "name": "orphan", "controller": True}
    disk = claim("disk")
    disk["metadata"]["ownerReferences"] = [{**owner, "uid": orphan["metadata"]["uid"]}]
    await lab.api.create(claims(lab.namespace), disk)
    await lab.api.until(claims(lab.namespace, "disk"), phase("Bound"))
    await vm_with(lab, "disk")
    await not_locked(lab, "volume not populated: disk")
    await lab.api.create(volumes(lab.namespace), data_volume("missing", {"blank": {}}))
    await taken(lab)


@asynccontextmanager
async def held(lab: Lab, path: str) -> AsyncIterator[None]:
    """Somebody holds the deletion of what is at `path` back."""
    await lab.api.merge(path, {"metadata": {"finalizers": [HELD]}})
    try:
        yield
    finally:
        await lab.api.merge(path, {"metadata": {"finalizers": None}})


async def test_a_claim_that_is_being_deleted_is_waited_for(lab: Lab) -> None:
    await lab.api.create(claims(lab.namespace), claim("doomed"))
    path = claims(lab.namespace, "doomed")
    await lab.api.until(path, phase("Bound"))
    await vm_with(lab, "doomed")
    async with held(lab, path):
        await lab.api.delete(path)
        await not_locked(lab, "volume is being deleted: doomed")


async def test_a_pod_of_a_vm_that_failed_is_in_the_way_too_and_one_that_succeeded_is_not(lab: Lab) -> None:
    await lab.halted("cp")
    disk = [{"name": "d", "persistentVolumeClaim": {"claimName": "cp-rootdisk"}}]
    container = {"name": "c", "image": "registry.k8s.io/pause:3.10"}
    pod = {"metadata": {"name": "reader"}, "spec": {"containers": [container], "volumes": disk}}
    await lab.api.create(core(lab.namespace, "pods"), pod)
    await lab.api.create(snapshots(lab.namespace), snapshot())
    path = snapshots(lab.namespace, name="cp-snap")
    text = "Source not locked source is offline but 1 pods using PVCs [cp-rootdisk]"
    await lab.api.until(path, lambda one: reasons(one).get("Progressing") == ("False", text))
    status = f"{core(lab.namespace, 'pods', 'reader')}/status"
    for ended, waits in (("Failed", True), ("Succeeded", False)):
        await lab.api.merge(status, {"status": {"phase": ended}})
        if waits:
            found = await lab.api.get(path)
            assert reasons(found)["Progressing"] == ("False", text)
    await taken(lab)


async def test_an_instance_that_has_ended_still_makes_it_a_snapshot_of_a_running_vm(lab: Lab) -> None:
    await lab.halted("cp")
    await lab.launch()
    path = kubevirt(lab.namespace, "virtualmachineinstances", "cp")
    async with held(lab, path):
        await lab.power("cp", "stop", {"gracePeriod": 0})
        await lab.api.until(path, phase("Succeeded", "Failed"))
        await lab.api.until(
            kubevirt(lab.namespace, name="cp"),
            lambda vm: vm and (vm.get("status") or {}).get("printableStatus") == "Stopped",
        )
        await lab.api.create(snapshots(lab.namespace), snapshot())
        online = await lab.api.until(
            snapshots(lab.namespace, name="cp-snap"),
            lambda one: one if ((one or {}).get("status") or {}).get("readyToUse") else None,
        )
    assert "Online" in online["status"]["indications"]


async def test_a_disk_without_snapshot_class_makes_it_a_partial_one_and_cloud_init_does_not(lab: Lab) -> None:
    async with storage_class(lab) as plain:
        await lab.api.create(claims(lab.namespace), claim("one"))
        await lab.api.create(claims(lab.namespace), claim("two", storageClassName=plain))
        for name in ("one", "two"):
            await lab.api.until(claims(lab.namespace, name), phase("Bound"))
        await vm_with(lab, "one", "two")
        # The class goes, the claim stays: nobody knows by which driver to take it.
    await lab.api.create(snapshots(lab.namespace), snapshot())
    status = (await taken(lab))["status"]
    assert status["snapshotVolumes"] == {"includedVolumes": ["one"], "excludedVolumes": ["two", "cloudinit"]}
    assert status["indications"] == ["PartialSnapshot"]
    text = "Not all snapshotable volumes were included in the snapshot. "
    text += "Check status.snapshotVolumes for excluded volumes and VM VolumeSnapshotStatus for details."
    assert status["sourceIndications"] == [{"indication": "PartialSnapshot", "message": text}]


async def test_the_vm_says_which_of_its_volumes_can_be_taken(lab: Lab) -> None:
    await lab.api.create(claims(lab.namespace), claim("one"))
    await vm_with(lab, "one", "absent")
    kind = "Snapshot is not supported for this volumeSource type [cloudinit]"
    wanted = [
        {"name": "one", "enabled": True},
        {"name": "absent", "enabled": False, "reason": "PVC not found"},
        {"name": "cloudinit", "enabled": False, "reason": kind},
    ]
    await lab.api.until(
        kubevirt(lab.namespace, name="cp"),
        lambda vm: ((vm or {}).get("status") or {}).get("volumeSnapshotStatuses") == wanted,
    )


@pytest.mark.parametrize(
    ("source", "field", "text"),
    [
        ({"kind": "VirtualMachine", "name": "cp"}, "apiGroup", "missing apiGroup"),
        ({"apiGroup": "apps", "kind": "VirtualMachine", "name": "cp"}, "apiGroup", "invalid apiGroup"),
        ({"apiGroup": "kubevirt.io", "kind": "Pod", "name": "cp"}, "kind", "invalid kind"),
    ],
)
async def test_a_snapshot_of_something_else_is_denied(lab: Lab, source: Obj, field: str, text: str) -> None:
    wrong = snapshot()
    wrong["spec"]["source"] = source
    with pytest.raises(Failed) as denial:
        await lab.api.create(snapshots(lab.namespace), wrong)
    assert (denial.value.code, denial.value.body["reason"]) == (422, "Invalid")
    webhook = "virtualmachinesnapshot-validator.snapshot.kubevirt.io"
    assert denial.value.message == f'admission webhook "{webhook}" denied the request: {text}'
    [cause] = denial.value.body["details"]["causes"]
    assert (cause["field"], cause["message"]) == (f"spec.source.{field}", text)
