"""The VM that is restored: powered off or not, how it is told, what its spec is then, VMs that are made."""

from __future__ import annotations

import pytest

from tests.contract.lab import Lab, claims, kubevirt, reasons, snapshots, volumes
from tests.contract.test_restores import complete, path_of, stuck
from tests.contract.test_snapshots import snapshot
from tests.contract.test_storage import data_volume, phase
from tests.http_api import Obj

pytestmark = pytest.mark.needs_controllers

STILL_THERE = "Restore target VMI still exists, please stop the restore target to proceed with restore"
STOPPING = "Automatically stopping restore target for restore operation"
POWERED = "Restore target VMI must be powered off before restore operation"


@pytest.fixture
async def golden(lab: Lab) -> Lab:
    """A stopped VM `cp` and its snapshot `cp-snap`."""
    await lab.halted("cp")
    await lab.snapshot("cp")
    return lab


@pytest.mark.parametrize(
    ("policy", "event", "said"),
    [
        ("WaitEventually", "RestoreTargetNotReady", STILL_THERE),
        ("WaitGracePeriod", "RestoreTargetNotReady", STILL_THERE),
        ("StopTarget", "RestoreTargetNotReady", STOPPING),
        ("FailImmediate", "Operation failed", f"VirtualMachineRestore failed {POWERED}"),
    ],
)
async def test_an_event_says_that_the_target_is_still_on(golden: Lab, policy: str, event: str, said: str) -> None:
    await golden.launch()
    restore = await golden.begin_restore("one", "cp", targetReadinessPolicy=policy)
    assert await golden.event(restore, event) == ("Warning", said)


async def test_a_target_that_is_stopped_by_its_restore_says_so_meanwhile(golden: Lab) -> None:
    await golden.launch()
    told = []
    restore = await golden.begin_restore("one", "cp", targetReadinessPolicy="StopTarget")
    version = restore["metadata"]["resourceVersion"]
    async for _, one in golden.api.events(snapshots(golden.namespace, "virtualmachinerestores"), version=version):
        told.append(reasons(one))
        if complete(one):
            break
    assert {"Progressing": ("False", STOPPING), "Ready": ("False", STOPPING)} in told


async def test_events_say_what_is_wrong_and_that_it_is_done(lab: Lab) -> None:
    await lab.halted("cp")
    restore = await lab.begin_restore("early", "cp")
    text = f"VirtualMachineRestore encountered error VMSnapshot {lab.namespace}/cp-snap does not exist"
    assert await lab.event(restore, "VirtualMachineRestoreError") == ("Warning", text)
    await lab.snapshot("cp")
    text = "Successfully completed VirtualMachineRestore early"
    assert await lab.event(restore, "VirtualMachineRestoreComplete") == ("Normal", text)


async def test_a_failed_snapshot_is_said_to_be_of_no_use(lab: Lab) -> None:
    await lab.api.create(snapshots(lab.namespace), snapshot(failureDeadline="1s"))
    await lab.api.until(snapshots(lab.namespace, name="cp-snap"), phase("Failed"))
    await lab.halted("cp")
    await lab.begin_restore("vain", "cp")
    text = f"VMSnapshot {lab.namespace}/cp-snap failed and is invalid to use"
    await lab.api.until(path_of(lab, "vain"), lambda one: reasons(one).get("Ready") == ("False", text))
    assert "restoreInProgress" not in ((await lab.get_vm()).get("status") or {})


async def test_a_snapshot_that_is_not_ready_is_waited_for(golden: Lab) -> None:
    [volume] = await golden.api.names(volume_snapshots(golden))
    await golden.api.delete(f"{volume_snapshots(golden)}/{volume}")
    await golden.api.until(
        snapshots(golden.namespace, name="cp-snap"), lambda one: one and not one["status"]["readyToUse"]
    )
    await golden.begin_restore("vain", "cp")
    text = f"VMSnapshot {golden.namespace}/cp-snap not ready"
    await golden.api.until(path_of(golden, "vain"), lambda one: reasons(one).get("Ready") == ("False", text))


def volume_snapshots(lab: Lab) -> str:
    return f"/apis/snapshot.storage.k8s.io/v1/namespaces/{lab.namespace}/volumesnapshots"


async def test_another_vm_that_is_there_is_no_target(golden: Lab) -> None:
    await golden.halted("wk")
    target = {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": "wk"}
    await golden.begin_restore("wrong", "cp", target=target)
    text = "restore source and restore target are different but restore target already exists"
    told = {"Progressing": ("False", text), "Ready": ("False", text)}
    await golden.api.until(path_of(golden, "wrong"), lambda one: reasons(one) == told)


async def test_patches_are_for_a_target_that_is_made_and_no_other(golden: Lab) -> None:
    patch = '{"op": "replace", "path": "/spec/template/spec/terminationGracePeriodSeconds", "value": 7}'
    before = (await golden.get_vm())["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    await golden.restore("one", "cp", patches=[patch])
    assert (await golden.get_vm())["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == before != 7


async def test_the_spec_is_the_snapshots_and_metadata_and_run_strategy_are_the_vms(golden: Lab) -> None:
    path = kubevirt(golden.namespace, name="cp")
    before = (await golden.get_vm())["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    template = {"spec": {"terminationGracePeriodSeconds": before + 1}}
    meta = {"labels": {"since": "snapshot"}, "annotations": {"since": "snapshot"}}
    await golden.api.merge(path, {"metadata": meta, "spec": {"runStrategy": "Manual", "template": template}})
    await golden.restore("one", "cp")
    vm = await golden.get_vm()
    assert vm["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == before
    assert vm["spec"]["runStrategy"] == "Manual"
    assert vm["metadata"]["labels"]["since"] == vm["metadata"]["annotations"]["since"] == "snapshot"


async def test_the_older_running_is_turned_off(lab: Lab) -> None:
    await lab.secrets("cp")
    vm = lab.vm("cp")
    del vm["spec"]["runStrategy"]
    vm["spec"]["running"] = False
    await lab.api.create(kubevirt(lab.namespace), vm)
    await lab.api.until(volumes(lab.namespace, "cp-rootdisk"), phase("Succeeded"))
    await lab.snapshot("cp")
    await lab.api.merge(kubevirt(lab.namespace, name="cp"), {"spec": {"running": True}})
    await lab.running()
    await lab.restore("one", "cp", targetReadinessPolicy="StopTarget")
    spec = (await lab.get_vm())["spec"]
    assert spec["running"] is False
    assert "runStrategy" not in spec


async def test_a_disk_added_since_the_snapshot_goes_with_its_content(golden: Lab) -> None:
    vm = await golden.get_vm()
    inside = vm["spec"]["template"]["spec"]
    added = data_volume("cp-extra", {"blank": {}})
    change = {
        "dataVolumeTemplates": [
            *vm["spec"]["dataVolumeTemplates"],
            {"metadata": added["metadata"], "spec": added["spec"]},
        ],
        "template": {
            "spec": {
                "volumes": [*inside["volumes"], {"name": "extra", "dataVolume": {"name": "cp-extra"}}],
                "domain": {
                    "devices": {"disks": [*inside["domain"]["devices"]["disks"], {"name": "extra", "disk": {}}]}
                },
            }
        },
    }
    await golden.api.merge(kubevirt(golden.namespace, name="cp"), {"spec": change})
    await golden.api.until(volumes(golden.namespace, "cp-extra"), phase("Succeeded"))
    await golden.restore("one", "cp")
    restore = await golden.api.get(path_of(golden, "cp-one"))
    assert restore["status"]["deletedDataVolumes"] == ["cp-rootdisk", "cp-extra"]
    await golden.api.gone(volumes(golden.namespace, "cp-extra"), claims(golden.namespace, "cp-extra"))
    names = [one["name"] for one in (await golden.get_vm())["spec"]["template"]["spec"]["volumes"]]
    assert names == ["rootdisk", "cloudinit"]


async def test_a_restore_with_an_owner_of_its_own_is_not_the_vms(golden: Lab) -> None:
    keeper = await golden.api.create(
        f"/api/v1/namespaces/{golden.namespace}/configmaps", {"metadata": {"name": "keeper"}}
    )
    own = {"apiVersion": "v1", "kind": "ConfigMap", "name": "keeper", "uid": keeper["metadata"]["uid"]}
    body = {
        "apiVersion": "snapshot.kubevirt.io/v1beta1",
        "kind": "VirtualMachineRestore",
        "metadata": {"name": "kept", "ownerReferences": [own]},
        "spec": {
            "target": {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": "cp"},
            "virtualMachineSnapshotName": "cp-snap",
        },
    }
    await golden.api.create(snapshots(golden.namespace, "virtualmachinerestores"), body)
    done = await golden.api.until(path_of(golden, "kept"), lambda one: one if complete(one) else None)
    assert [one["uid"] for one in done["metadata"]["ownerReferences"]] == [own["uid"]]


async def last_words(lab: Lab, name: str) -> Obj:
    """A restore deleted: its last version with a finalizer."""
    path = path_of(lab, name)
    version = (await lab.api.get(path))["metadata"]["resourceVersion"]
    await lab.api.delete(path)
    last: Obj = {}
    async for type_, one in lab.api.events(snapshots(lab.namespace, "virtualmachinerestores"), version=version):
        if one["metadata"]["name"] == name:
            if type_ == "DELETED":
                return last
            last = one
    raise AssertionError("the watch ended")


async def test_a_restore_says_that_it_is_deleted_even_when_it_is_done(golden: Lab) -> None:
    text = "VM restore is deleting"
    path, _ = await stuck(golden)
    vm = kubevirt(golden.namespace, name="cp")
    await golden.api.until(vm, lambda vm: (vm or {}).get("status", {}).get("restoreInProgress") == "stuck")
    before = await golden.claim_uids()
    last = await last_words(golden, "stuck")
    assert reasons(last) == {"Progressing": ("False", text), "Ready": ("False", text)}
    assert path == path_of(golden, "stuck")
    # Nothing was made yet, so nothing is left.
    assert await golden.claim_uids() == before
    assert "restoreInProgress" not in (await golden.get_vm())["status"]
    await golden.api.delete(f"/api/v1/namespaces/{golden.namespace}/resourcequotas/small")
    await golden.restore("one", "cp")
    last = await last_words(golden, "cp-one")
    assert reasons(last) == {"Progressing": ("False", text), "Ready": ("False", text)}
    assert complete(last)


async def test_a_target_that_is_started_meanwhile_fails_the_restore_which_holds_on_to_it(golden: Lab) -> None:
    await golden.api.merge(kubevirt(golden.namespace, name="cp"), {"spec": {"runStrategy": "Manual"}})
    await stuck(golden, targetReadinessPolicy="FailImmediate")
    path = kubevirt(golden.namespace, name="cp")
    await golden.api.until(path, lambda vm: (vm or {}).get("status", {}).get("restoreInProgress") == "stuck")
    # Only changes of the run strategy are refused, and this is none.
    await golden.power("cp", "start")
    await golden.api.until(path_of(golden, "stuck"), lambda one: reasons(one).get("Failure") == ("True", POWERED))
    await golden.running()
    assert (await golden.get_vm())["status"]["restoreInProgress"] == "stuck"
    await golden.api.delete(path_of(golden, "stuck"))
    await golden.api.gone(path_of(golden, "stuck"))
    assert "restoreInProgress" not in (await golden.get_vm())["status"]
