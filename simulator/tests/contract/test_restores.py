"""Restores of VMs: the sequence, the names, what stays behind, what is refused.

| disk, policy                  | second restore from the same snapshot            |
|-------------------------------|--------------------------------------------------|
| template, RandomizeNames      | no leak: one claim a VM, always a new one        |
| template, PrefixTargetName    | called complete, and keeps the disk of the first |
| template, InPlace             | same name, new claim                             |
| bare claim, RandomizeNames    | every earlier claim stays                        |
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.contract.lab import CORE, STORAGE, Lab, claims, kubevirt, reasons, snapshots, volumes
from tests.http_api import Failed, Obj
from tests.lab import POWER

pytestmark = pytest.mark.needs_controllers

RESTORES = "virtualmachinerestores"
WEBHOOK = 'admission webhook "virtualmachinerestore-validator.snapshot.kubevirt.io" denied the request: '
POWERED = "Restore target VMI must be powered off before restore operation"
WAITING = "Waiting for target VM to be powered off. Please stop the restore target to proceed with restore"


def path_of(lab: Lab, name: str) -> str:
    return snapshots(lab.namespace, RESTORES, name)


def complete(restore: Obj | None) -> bool:
    return bool(((restore or {}).get("status") or {}).get("complete"))


async def versions(lab: Lab, name: str, opened: asyncio.Event) -> list[Obj]:
    """Every version of one restore until it is complete."""
    seen: list[Obj] = []
    async for _, one in lab.api.events(snapshots(lab.namespace, RESTORES), opened):
        if one["metadata"]["name"] == name:
            seen.append(one)
            if complete(one):
                return seen
    raise AssertionError("the watch ended")


@pytest.fixture
async def golden(lab: Lab) -> Lab:
    """A stopped VM `cp` and its snapshot `cp-snap`."""
    await lab.halted("cp")
    await lab.snapshot("cp")
    return lab


async def test_a_restore_makes_claims_then_the_target_then_ends(golden: Lab) -> None:
    opened = asyncio.Event()
    watch = asyncio.create_task(versions(golden, "cp-one", opened))
    async with asyncio.timeout(golden.api.patience):
        await opened.wait()
        await golden.begin_restore("cp-one", "cp", targetReadinessPolicy="FailImmediate")
        seen = await watch
    told = [reasons(one) for one in seen if reasons(one)]
    order = ["Initializing VirtualMachineRestore", "Creating new PVCs", "Updating target spec", "Operation complete"]
    progress = dict.fromkeys(one["Progressing"][1] for one in told)
    # A controller may meet its own new claim before its cache has it.
    assert [one for one in progress if "already exists" not in one] == order
    assert told[-1] == {"Progressing": ("False", order[-1]), "Ready": ("True", order[-1])}
    last = seen[-1]
    assert last["metadata"]["ownerReferences"][0]["kind"] == "VirtualMachine"
    assert "snapshot.kubevirt.io/vmrestore-protection" in last["metadata"]["finalizers"]
    assert last["status"]["deletedDataVolumes"] == ["cp-rootdisk"]
    assert last["status"]["restoreTime"]


async def test_the_vm_is_on_a_new_disk_and_stays_as_it_was_otherwise(golden: Lab) -> None:
    before = await golden.get_vm()
    await golden.restore("one", "cp")
    restore = await golden.api.get(path_of(golden, "cp-one"))
    uid = restore["metadata"]["uid"]
    name = f"restore-{uid}-rootdisk"
    [entry] = restore["status"]["restores"]
    assert {key: entry[key] for key in ("volumeName", "persistentVolumeClaim", "dataVolumeName")} == {
        "volumeName": "rootdisk",
        "persistentVolumeClaim": name,
        "dataVolumeName": name,
    }
    vm = await golden.get_vm()
    assert vm["metadata"]["uid"] == before["metadata"]["uid"]
    assert vm["metadata"]["generation"] > before["metadata"]["generation"]
    assert vm["metadata"]["annotations"]["restore.kubevirt.io/lastRestoreUID"] == f"cp-one-{uid}"
    assert vm["spec"]["runStrategy"] == "Halted"
    assert vm["spec"]["dataVolumeTemplates"][0]["metadata"]["name"] == name
    template, old = vm["spec"]["template"]["spec"], before["spec"]["template"]["spec"]
    assert template["volumes"] == [{"name": "rootdisk", "dataVolume": {"name": name}}, old["volumes"][1]]
    assert template["domain"]["firmware"]["uuid"] == old["domain"]["firmware"]["uuid"]
    assert not vm["status"].get("restoreInProgress")
    assert await golden.api.find(kubevirt(golden.namespace, "virtualmachineinstances", "cp")) is None


async def test_the_restored_claim_says_where_it_comes_from(golden: Lab) -> None:
    await golden.restore("one", "cp")
    restore = await golden.api.get(path_of(golden, "cp-one"))
    [entry] = restore["status"]["restores"]
    claim = await golden.api.get(claims(golden.namespace, entry["persistentVolumeClaim"]))
    annotations, labels = claim["metadata"]["annotations"], claim["metadata"]["labels"]
    assert annotations["restore.kubevirt.io/name"] == "cp-one"
    assert annotations["cdi.kubevirt.io/storage.populatedFor"] == entry["dataVolumeName"]
    assert labels["restore.kubevirt.io/source-vm-name"] == "cp"
    assert labels["role"] == "control-plane"
    source = claim["spec"]["dataSource"]
    assert (source["kind"], source["name"]) == ("VolumeSnapshot", entry["volumeSnapshotName"])
    volume = await golden.api.get(volumes(golden.namespace, entry["dataVolumeName"]))
    assert volume["metadata"]["annotations"]["cdi.kubevirt.io/storage.prePopulated"]


async def test_three_restores_leave_one_disk(golden: Lab) -> None:
    last = "cp-rootdisk"
    for run in ("one", "two", "three"):
        await golden.restore(run, "cp")
        await golden.api.gone(volumes(golden.namespace, last), claims(golden.namespace, last))
        await golden.api.delete(path_of(golden, f"cp-{run}"))
        await golden.api.gone(path_of(golden, f"cp-{run}"))
        [last] = await golden.claim_uids()
    [volume] = await golden.api.items(volumes(golden.namespace))
    assert volume["metadata"]["name"] == last
    assert volume["metadata"]["ownerReferences"][0]["kind"] == "VirtualMachine"
    assert await golden.api.names(f"{STORAGE}/namespaces/{golden.namespace}/volumesnapshots") != []


@pytest.mark.parametrize(("policy", "replaced"), [("PrefixTargetName", False), ("InPlace", True)])
async def test_a_second_restore_under_the_same_name(golden: Lab, policy: str, replaced: bool) -> None:
    await golden.restore("one", "cp", volumeRestorePolicy=policy)
    first = (await golden.claim_uids())["cp-rootdisk"]
    await golden.restore("two", "cp", volumeRestorePolicy=policy)
    second = (await golden.claim_uids())["cp-rootdisk"]
    assert (first != second) is replaced


async def test_a_disk_that_is_not_templated_leaks_with_every_restore(lab: Lab) -> None:
    await lab.halted("cp")
    vm = lab.vm("cp", strategy="Halted")
    vm["metadata"]["name"] = "bare"
    del vm["spec"]["dataVolumeTemplates"]
    source = {"pvc": {"namespace": lab.namespace, "name": "cp-rootdisk"}}
    storage = {"resources": {"requests": {"storage": "10Gi"}}}
    volume = {"metadata": {"name": "disk"}, "spec": {"source": source, "storage": storage}}
    await lab.api.create(
        volumes(lab.namespace), {"apiVersion": "cdi.kubevirt.io/v1beta1", "kind": "DataVolume"} | volume
    )
    await lab.api.until(claims(lab.namespace, "disk"), lambda one: one and one["status"]["phase"] == "Bound")
    disk = {"name": "rootdisk", "persistentVolumeClaim": {"claimName": "disk"}}
    vm["spec"]["template"]["spec"]["volumes"][0] = disk
    await lab.api.create(kubevirt(lab.namespace), vm)
    await lab.snapshot("bare")
    await lab.restore("one", "bare")
    await lab.restore("two", "bare")
    assert len([name for name in await lab.claim_uids() if name == "disk" or name.startswith("restore-")]) == 3


async def test_a_running_target_fails_for_good_if_asked_to_and_blocks_the_next(golden: Lab) -> None:
    await golden.launch()
    await golden.begin_restore("failing", "cp", targetReadinessPolicy="FailImmediate")
    path = path_of(golden, "failing")
    failed = await golden.api.until(path, lambda one: one if "Failure" in reasons(one) else None)
    assert reasons(failed) == {
        "Progressing": ("False", POWERED),
        "Ready": ("False", POWERED),
        "Failure": ("True", POWERED),
    }
    assert not complete(failed)
    await golden.halt()
    with pytest.raises(Failed) as denial:
        await golden.begin_restore("next", "cp")
    assert (denial.value.code, denial.value.body["reason"]) == (422, "Invalid")
    assert denial.value.message == f'{WEBHOOK}VirtualMachineRestore "failing" in progress'
    assert not complete(await golden.api.get(path))
    await golden.api.delete(path)
    await golden.api.gone(path)
    await golden.restore("next", "cp")


async def test_a_second_restore_is_refused_while_one_waits_and_the_first_goes_on(golden: Lab) -> None:
    await golden.launch()
    await golden.begin_restore("first", "cp", targetReadinessPolicy="WaitEventually")
    path = path_of(golden, "first")
    await golden.api.until(path, lambda one: reasons(one).get("Ready") == ("False", WAITING))
    with pytest.raises(Failed) as denial:
        await golden.begin_restore("second", "cp")
    assert denial.value.message == f'{WEBHOOK}VirtualMachineRestore "first" in progress'
    await golden.halt()
    await golden.api.until(path, complete)


async def test_by_default_a_restore_gives_its_target_five_minutes_to_stop(golden: Lab) -> None:
    await golden.launch()
    made = await golden.begin_restore("waiting", "cp")
    assert made["spec"]["targetReadinessPolicy"] == "WaitGracePeriod"
    text = f"{WAITING}, or the operation will fail after 5m0s"
    await golden.api.until(path_of(golden, "waiting"), lambda one: reasons(one).get("Ready") == ("False", text))
    await golden.halt()
    await golden.api.until(path_of(golden, "waiting"), complete)


async def test_stop_target_stops_it_and_leaves_it_halted(golden: Lab) -> None:
    await golden.launch()
    await golden.restore("stopping", "cp", targetReadinessPolicy="StopTarget")
    assert (await golden.get_vm())["spec"]["runStrategy"] == "Halted"


async def test_a_restore_of_a_snapshot_that_is_not_there_waits_for_it(lab: Lab) -> None:
    await lab.halted("cp")
    await lab.begin_restore("early", "cp")
    text = f"VMSnapshot {lab.namespace}/cp-snap does not exist"
    await lab.api.until(path_of(lab, "early"), lambda one: reasons(one).get("Ready") == ("False", text))
    assert "Failure" not in reasons(await lab.api.get(path_of(lab, "early")))
    await lab.snapshot("cp")
    await lab.api.until(path_of(lab, "early"), complete)


async def test_a_restore_of_a_snapshot_of_nothing_is_complete_and_changes_no_disk(lab: Lab) -> None:
    vm = lab.vm("cp", strategy="Halted")
    del vm["spec"]["dataVolumeTemplates"]
    vm["spec"]["template"]["spec"]["volumes"][0] = {"name": "rootdisk", "containerDisk": {"image": "disk"}}
    await lab.secrets("cp")
    await lab.api.create(kubevirt(lab.namespace), vm)
    await lab.snapshot("cp")
    await lab.restore("one", "cp")
    restore = await lab.api.get(path_of(lab, "cp-one"))
    assert not restore["status"].get("restores")


async def stuck(lab: Lab, **spec: Any) -> tuple[str, str]:
    """A restore whose claim never binds, for want of room: path of the restore, name of the claim."""
    hard = {"requests.storage": "10Gi"}
    quota = {"metadata": {"name": "small"}, "spec": {"hard": hard}}
    await lab.api.create(f"{CORE}/namespaces/{lab.namespace}/resourcequotas", quota)
    restore = await lab.begin_restore("stuck", "cp", **spec)
    return path_of(lab, "stuck"), f"restore-{restore['metadata']['uid']}-rootdisk"


async def test_a_quota_without_room_for_a_second_disk_shows_and_is_waited_for(golden: Lab) -> None:
    path, _ = await stuck(golden)
    seen = await golden.api.until(
        path, lambda one: one if "exceeded quota: small" in reasons(one).get("Ready", ("", ""))[1] else None
    )
    assert "Failure" not in reasons(seen)
    await golden.api.delete(f"{CORE}/namespaces/{golden.namespace}/resourcequotas/small")
    await golden.api.until(path, complete)


async def test_while_a_restore_is_at_it_the_vm_cannot_be_started(golden: Lab) -> None:
    path, _ = await stuck(golden)
    vm = kubevirt(golden.namespace, name="cp")
    await golden.api.until(vm, lambda vm: (vm or {}).get("status", {}).get("restoreInProgress") == "stuck")
    text = 'admission webhook "virtualmachine-validator.kubevirt.io" denied the request: '
    text += 'Cannot update VM runStrategy until restore "stuck" completes'
    with pytest.raises(Failed) as denial:
        await golden.api.merge(vm, {"spec": {"runStrategy": "Always"}})
    assert (denial.value.code, denial.value.message) == (422, text)
    for body in (None, {"dryRun": ["All"]}):
        start = f"{POWER}/namespaces/{golden.namespace}/virtualmachines/cp/start"
        code, answer = await golden.api.call("PUT", start, body)
        assert (code, answer["message"]) == (500, f"Internal error occurred: {text}")
    await golden.api.delete(path)
    await golden.api.gone(path)
    await golden.launch()


async def test_an_aborted_restore_frees_the_vm_and_leaves_what_it_made(golden: Lab) -> None:
    opened = asyncio.Event()

    async def first_claim() -> Obj:
        async for type_, claim in golden.api.events(claims(golden.namespace), opened):
            if type_ == "ADDED" and claim["metadata"]["name"].startswith("restore-"):
                return claim
        raise AssertionError("the watch ended")

    watch = asyncio.create_task(first_claim())
    async with asyncio.timeout(golden.api.patience):
        await opened.wait()
        await golden.begin_restore("aborted", "cp")
        claim = await watch
    await golden.api.delete(path_of(golden, "aborted"))
    await golden.api.gone(path_of(golden, "aborted"))
    vm = await golden.get_vm()
    assert not vm["status"].get("restoreInProgress")
    assert vm["spec"]["dataVolumeTemplates"][0]["metadata"]["name"] == "cp-rootdisk"
    left = await golden.api.get(claims(golden.namespace, claim["metadata"]["name"]))
    assert left["metadata"]["annotations"]["restore.kubevirt.io/name"] == "aborted"
    await golden.restore("next", "cp")
    # The next one works, and does not clean up either.
    assert claim["metadata"]["uid"] in (await golden.claim_uids()).values()


async def test_a_finished_restore_can_be_deleted_without_loss(golden: Lab) -> None:
    await golden.restore("one", "cp")
    await golden.api.gone(claims(golden.namespace, "cp-rootdisk"))
    before = await golden.claim_uids()
    await golden.api.delete(path_of(golden, "cp-one"))
    await golden.api.gone(path_of(golden, "cp-one"))
    assert await golden.claim_uids() == before
    await golden.launch()


async def test_a_deleted_vm_takes_its_restores_along_and_leaves_its_snapshots(golden: Lab) -> None:
    await golden.restore("one", "cp")
    await golden.api.delete(kubevirt(golden.namespace, name="cp"))
    await golden.api.gone(kubevirt(golden.namespace, name="cp"), path_of(golden, "cp-one"))
    assert await golden.api.find(snapshots(golden.namespace, name="cp-snap")) is not None


async def test_a_target_that_is_not_there_is_made_halted_with_the_patches_applied(golden: Lab) -> None:
    patches = [
        '{"op": "replace", "path": "/metadata/labels/role", "value": "copy"}',
        '{"op": "replace", "path": "/spec/template/spec/terminationGracePeriodSeconds", "value": 7}',
    ]
    target = {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": "copy"}
    await golden.begin_restore("copying", "cp", target=target, patches=patches)
    await golden.api.until(path_of(golden, "copying"), complete)
    vm = await golden.get_vm("copy")
    assert vm["spec"]["runStrategy"] == "Halted"
    assert vm["metadata"]["labels"]["role"] == "copy"
    assert vm["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 7
    restore = await golden.api.get(path_of(golden, "copying"))
    [entry] = restore["status"]["restores"]
    assert vm["spec"]["template"]["spec"]["volumes"][0]["dataVolume"]["name"] == entry["dataVolumeName"]
    assert restore["metadata"]["ownerReferences"][0]["uid"] == vm["metadata"]["uid"]
    # The VM that was snapshotted is none of its business.
    assert (await golden.get_vm())["metadata"]["labels"]["role"] == "control-plane"
    assert "cp-rootdisk" in await golden.claim_uids()
