"""VirtualMachineRestores: what they rewrite, what they leave, when they refuse.

| disk, policy                  | second restore                                   |
|-------------------------------|--------------------------------------------------|
| template, RandomizeNames      | no leak: one claim a VM, always a new one        |
| template, PrefixTargetName    | silently keeps the disk of the first             |
| template, InPlace             | same name, new claim                             |
| bare claim, RandomizeNames    | every earlier claim stays                        |
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.http_api import Failed, Obj
from tests.simulator.lab import Lab, core, kubevirt, snapshots
from tests.simulator.test_snapshots import halted, reasons

RESTORES = "virtualmachinerestores"


async def claims(lab: Lab) -> dict[str, str]:
    """Names and UIDs of the namespace's claims that are not on their way out."""
    found = await lab.api.items(core(lab.namespace, "persistentvolumeclaims"))
    return {
        one["metadata"]["name"]: one["metadata"]["uid"] for one in found if not one["metadata"].get("deletionTimestamp")
    }


def failure(obj: Obj | None) -> Any:
    return reasons(obj or {}).get("Failure")


async def gone(lab: Lab, name: str) -> None:
    await lab.api.until(core(lab.namespace, "persistentvolumeclaims", name), lambda one: one is None)


async def test_a_restore_renames_the_disk_keeps_the_strategy_and_starts_nothing(lab: Lab) -> None:
    await halted(lab)
    await lab.snapshot("cp")
    await lab.restore("one", "cp")
    restore = await lab.api.get(snapshots(lab.namespace, RESTORES, "cp-one"))
    name = f"restore-{restore['metadata']['uid']}-rootdisk"
    assert restore["status"]["restores"] == [
        {
            "volumeName": "rootdisk",
            "persistentVolumeClaim": name,
            "dataVolumeName": name,
            "volumeSnapshotName": restore["status"]["restores"][0]["volumeSnapshotName"],
        }
    ]
    assert restore["status"]["deletedDataVolumes"] == ["cp-rootdisk"]
    assert reasons(restore) == {"Progressing": ("False", "Operation complete"), "Ready": ("True", "Operation complete")}
    assert restore["metadata"]["ownerReferences"][0]["kind"] == "VirtualMachine"
    vm = await lab.api.get(kubevirt(lab.namespace, "virtualmachines", "cp"))
    assert vm["spec"]["dataVolumeTemplates"][0]["metadata"]["name"] == name
    assert vm["spec"]["template"]["spec"]["volumes"][0]["dataVolume"]["name"] == name
    assert vm["spec"]["runStrategy"] == "Halted"
    mark = f"cp-one-{restore['metadata']['uid']}"
    assert vm["metadata"]["annotations"]["restore.kubevirt.io/lastRestoreUID"] == mark
    assert "restoreInProgress" not in vm["status"]
    assert await lab.api.find(kubevirt(lab.namespace, "virtualmachineinstances", "cp")) is None
    await gone(lab, "cp-rootdisk")
    assert set(await claims(lab)) == {name, "wk-rootdisk"}


async def test_templated_disks_do_not_leak_over_many_restores(lab: Lab) -> None:
    await halted(lab)
    await lab.snapshot("cp")
    last = "cp-rootdisk"
    for run in ("one", "two", "three"):
        await lab.restore(run, "cp")
        await gone(lab, last)
        await lab.api.delete(snapshots(lab.namespace, RESTORES, f"cp-{run}"))
        [last] = set(await claims(lab)) - {"wk-rootdisk"}
    volumes = f"/apis/cdi.kubevirt.io/v1beta1/namespaces/{lab.namespace}/datavolumes"
    owners = {one["metadata"]["name"]: one["metadata"].get("ownerReferences") for one in await lab.api.items(volumes)}
    assert set(owners) == {last, "wk-rootdisk"}
    assert owners[last][0]["kind"] == "VirtualMachine"  # type: ignore[index]


@pytest.mark.parametrize(("policy", "replaced"), [("PrefixTargetName", False), ("InPlace", True)])
async def test_second_restore_by_policy(lab: Lab, policy: str, replaced: bool) -> None:
    await halted(lab)
    await lab.snapshot("cp")
    await lab.restore("one", "cp", volumeRestorePolicy=policy)
    name = "cp-rootdisk"
    first = (await claims(lab))[name]
    await lab.restore("two", "cp", volumeRestorePolicy=policy)
    second = (await claims(lab))[name]
    assert (first != second) is replaced


async def test_a_restore_of_a_snapshot_without_volumes_leaves_the_old_disk(lab: Lab) -> None:
    await lab.api.delete("/apis/snapshot.storage.k8s.io/v1/volumesnapshotclasses/standard")
    await halted(lab)
    await lab.snapshot("cp")
    before = await claims(lab)
    await lab.restore("one", "cp")
    assert await claims(lab) == before


async def test_a_running_target_fails_at_once_if_asked_to_and_blocks_the_next(lab: Lab) -> None:
    await halted(lab)
    await lab.snapshot("cp")
    await lab.power("cp", "start")
    await lab.running("cp")
    await lab.begin_restore("failing", "cp", targetReadinessPolicy="FailImmediate")
    path = snapshots(lab.namespace, RESTORES, "failing")
    text = "Restore target VMI must be powered off before restore operation"
    assert await lab.api.until(path, failure) == ("True", text)
    with pytest.raises(Failed) as denial:
        await lab.begin_restore("next", "cp")
    assert denial.value.code == 422
    assert denial.value.message.endswith('denied the request: VirtualMachineRestore "failing" in progress')
    await lab.api.delete(path)
    await lab.api.until(path, lambda one: one is None)
    await lab.begin_restore("next", "cp", targetReadinessPolicy="WaitEventually")


async def test_a_restore_waits_for_its_target_to_stop(lab: Lab) -> None:
    await halted(lab)
    await lab.snapshot("cp")
    await lab.power("cp", "start")
    await lab.running("cp")
    await lab.begin_restore("waiting", "cp")
    path = snapshots(lab.namespace, RESTORES, "waiting")
    text = (
        "Waiting for target VM to be powered off. Please stop the restore target to proceed with restore, "
        "or the operation will fail after 5m0s"
    )
    await lab.api.until(path, lambda one: reasons(one).get("Ready") == ("False", text))
    await lab.power("cp", "stop", {"gracePeriod": 0})
    await lab.api.until(path, lambda one: (one.get("status") or {}).get("complete"))


async def test_stop_target_stops_it(lab: Lab) -> None:
    await halted(lab)
    await lab.snapshot("cp")
    await lab.power("cp", "start")
    await lab.running("cp")
    await lab.restore("stopping", "cp", targetReadinessPolicy="StopTarget")
    vm = await lab.api.get(kubevirt(lab.namespace, "virtualmachines", "cp"))
    assert vm["spec"]["runStrategy"] == "Halted"


async def test_an_unknown_snapshot_is_an_error_that_passes_once_it_is_there(lab: Lab) -> None:
    await halted(lab)
    await lab.begin_restore("early", "cp")
    path = snapshots(lab.namespace, RESTORES, "early")
    text = f"VMSnapshot {lab.namespace}/cp-snap does not exist"
    await lab.api.until(path, lambda one: reasons(one or {}).get("Ready") == ("False", text))
    await lab.snapshot("cp")
    await lab.api.until(path, lambda one: (one.get("status") or {}).get("complete"))


async def test_a_claim_that_never_binds_is_waited_for_and_left_behind_when_aborted(lab: Lab) -> None:
    await halted(lab)
    await lab.snapshot("cp")
    classes = "/apis/storage.k8s.io/v1/storageclasses/standard"
    await lab.api.merge(classes, {"parameters": {"binding": "never"}})
    restore = await lab.begin_restore("stuck", "cp")
    name = f"restore-{restore['metadata']['uid']}-rootdisk"
    await lab.api.until(core(lab.namespace, "persistentvolumeclaims", name), lambda one: one)
    path = snapshots(lab.namespace, RESTORES, "stuck")
    await lab.api.until(path, lambda one: reasons(one).get("Ready") == ("False", "Waiting for new PVCs"))
    await lab.api.delete(path)
    await lab.api.until(path, lambda one: one is None)
    vm = await lab.api.get(kubevirt(lab.namespace, "virtualmachines", "cp"))
    assert "restoreInProgress" not in vm["status"]
    left = await lab.api.get(core(lab.namespace, "persistentvolumeclaims", name))
    assert left["metadata"]["ownerReferences"][0]["kind"] == "VirtualMachine"
    assert left["metadata"]["annotations"]["restore.kubevirt.io/name"] == "stuck"


async def test_a_quota_too_small_for_a_second_disk_shows_in_the_conditions(lab: Lab) -> None:
    await halted(lab)
    await lab.snapshot("cp")
    quota = {"metadata": {"name": "small"}, "spec": {"hard": {"persistentvolumeclaims": "2"}}}
    await lab.api.create(core(lab.namespace, "resourcequotas"), quota)
    await lab.begin_restore("over", "cp")
    path = snapshots(lab.namespace, RESTORES, "over")
    await lab.api.until(path, lambda one: "exceeded quota: small" in reasons(one).get("Ready", ("", ""))[1])


async def test_deleting_the_vm_removes_its_restores(lab: Lab) -> None:
    await halted(lab)
    await lab.snapshot("cp")
    await lab.restore("one", "cp")
    await lab.api.delete(kubevirt(lab.namespace, "virtualmachines", "cp"))
    await lab.api.until(snapshots(lab.namespace, RESTORES, "cp-one"), lambda one: one is None)
    assert await lab.api.find(snapshots(lab.namespace, name="cp-snap")) is not None
