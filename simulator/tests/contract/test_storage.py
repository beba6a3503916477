"""Storage as VMs meet it: late binding, classes that are missing or too many, clones that hang, claims that are not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.contract.lab import CDI, Lab, claims, core, kubevirt, reasons, snapshots, unique, volumes
from tests.http_api import Obj

pytestmark = pytest.mark.needs_controllers

CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
DEFAULT = "storageclass.kubernetes.io/is-default-class"
RESTORES = "virtualmachinerestores"


@asynccontextmanager
async def storage_class(lab: Lab, **fields: Any) -> AsyncIterator[str]:
    """Name of a copy of the server's default class with other fields; it goes away again."""
    found = await lab.api.items(CLASSES)
    default = next(one for one in found if (one["metadata"].get("annotations") or {}).get(DEFAULT) == "true")
    kept = {key: default[key] for key in ("provisioner", "parameters", "reclaimPolicy") if key in default}
    name = unique("contract")
    await lab.api.create(CLASSES, {**kept, "metadata": {"name": name}, **fields})
    try:
        yield name
    finally:
        await lab.api.discard(f"{CLASSES}/{name}")


async def vm_on(lab: Lab, class_name: str) -> str:
    """A Halted VM `cp` with its disk in this class: the VM's path."""
    vm = lab.vm("cp", strategy="Halted")
    vm["spec"]["dataVolumeTemplates"][0]["spec"]["storage"]["storageClassName"] = class_name
    await lab.secrets("cp")
    await lab.api.create(kubevirt(lab.namespace), vm)
    return kubevirt(lab.namespace, name="cp")


def data_volume(name: str, source: Obj) -> Obj:
    storage = {"resources": {"requests": {"storage": "1Gi"}}}
    spec = {"source": source, "storage": storage}
    return {"apiVersion": "cdi.kubevirt.io/v1beta1", "kind": "DataVolume", "metadata": {"name": name}, "spec": spec}


def printable(*wanted: str) -> Any:
    """A check for Api.until: the VM once it reads one of these."""
    return lambda vm: vm if vm and (vm.get("status") or {}).get("printableStatus") in wanted else None


def phase(*wanted: str) -> Any:
    """A check for Api.until: the object once it is in one of these phases."""
    return lambda one: one if one and (one.get("status") or {}).get("phase") in wanted else None


async def started(lab: Lab) -> list[str]:
    """Start `cp`; what its status reads until it runs, repeated ones once."""
    first = await lab.get_vm()
    await lab.power("cp", "start")
    read: list[str] = []
    version = first["metadata"]["resourceVersion"]
    async for _, vm in lab.api.events(kubevirt(lab.namespace), version=version):
        status = vm["status"]["printableStatus"]
        if not read or read[-1] != status:
            read.append(status)
        if status == "Running":
            return read
    raise AssertionError("the watch ended")


async def test_a_late_binding_disk_is_populated_when_its_vm_first_starts(lab: Lab) -> None:
    async with storage_class(lab, volumeBindingMode="WaitForFirstConsumer") as late:
        path = await vm_on(lab, late)
        disk = volumes(lab.namespace, "cp-rootdisk")
        # With populators, or as CDI without them has it.
        await lab.api.until(disk, phase("PendingPopulation", "WaitForFirstConsumer"))
        await lab.api.until(path, printable("Stopped"))
        assert (await lab.api.get(claims(lab.namespace, "cp-rootdisk")))["status"]["phase"] == "Pending"
        assert "WaitingForVolumeBinding" in await started(lab)
        await lab.api.until(disk, phase("Succeeded"))


async def test_a_late_binding_restore_is_complete_before_a_byte_is_copied(lab: Lab) -> None:
    async with storage_class(lab, volumeBindingMode="WaitForFirstConsumer") as late:
        await vm_on(lab, late)
        await lab.launch()
        await lab.halt()
        await lab.snapshot("cp")
        await lab.restore("late", "cp")
        restore = await lab.api.get(snapshots(lab.namespace, RESTORES, "cp-late"))
        [made] = restore["status"]["restores"]
        claim = claims(lab.namespace, made["persistentVolumeClaim"])
        assert (await lab.api.get(claim))["status"]["phase"] == "Pending"
        # The DataVolume says Succeeded already: neither it nor the restore tells that content is there.
        await lab.api.until(volumes(lab.namespace, made["dataVolumeName"]), phase("Succeeded"))
        assert (await lab.get_vm())["status"]["printableStatus"] == "Stopped"
        assert "WaitingForVolumeBinding" in await started(lab)
        assert (await lab.api.get(claim))["status"]["phase"] == "Bound"


async def test_a_clone_of_nothing_hangs_and_never_fails(lab: Lab) -> None:
    source = {"pvc": {"namespace": lab.namespace, "name": "missing"}}
    await lab.api.create(volumes(lab.namespace), data_volume("orphan", source))
    path = volumes(lab.namespace, "orphan")
    hanging = await lab.api.until(path, lambda one: one if reasons(one).get("Running") else None)
    assert hanging["status"]["phase"] in ("Pending", "CloneScheduled")
    assert reasons(hanging)["Running"][0] == "False"
    # It was never given up: the source appears, and the copy is made.
    await lab.api.create(volumes(lab.namespace), data_volume("missing", {"blank": {}}))
    await lab.api.until(path, phase("Succeeded", "Failed"))
    assert (await lab.api.get(path))["status"]["phase"] == "Succeeded"


async def test_a_disk_beyond_the_quota_keeps_its_vm_provisioning_until_there_is_room(lab: Lab) -> None:
    quota = {"metadata": {"name": "small"}, "spec": {"hard": {"requests.storage": "1Gi"}}}
    await lab.api.create(core(lab.namespace, "resourcequotas"), quota)
    await lab.secrets("cp")
    await lab.api.create(kubevirt(lab.namespace), lab.vm("cp"))
    disk = volumes(lab.namespace, "cp-rootdisk")
    seen = await lab.api.until(disk, lambda one: one if "ErrExceededQuota" in str(reasons(one)) else None)
    assert seen["status"]["phase"] == "Pending"
    await lab.api.until(kubevirt(lab.namespace, name="cp"), printable("Provisioning"))
    await lab.api.delete(core(lab.namespace, "resourcequotas", "small"))
    await lab.running()


async def test_a_vm_whose_claim_is_missing_says_so_and_starts_once_it_is_there(lab: Lab) -> None:
    vm = lab.vm("cp")
    del vm["spec"]["dataVolumeTemplates"]
    vm["spec"]["template"]["spec"]["volumes"][0] = {
        "name": "rootdisk",
        "persistentVolumeClaim": {"claimName": "absent"},
    }
    await lab.secrets("cp")
    await lab.api.create(kubevirt(lab.namespace), vm)
    path = kubevirt(lab.namespace, name="cp")
    missing = await lab.api.until(path, printable("ErrorPvcNotFound"))
    assert reasons(missing)["Synchronized"] == ("False", "FailedPvcNotFound")
    await lab.api.create(volumes(lab.namespace), data_volume("absent", {"blank": {}}))
    await lab.running()


async def test_a_vm_whose_claim_never_binds_cannot_be_scheduled(lab: Lab) -> None:
    async with storage_class(lab, provisioner="contract.invalid") as lonely:
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        claim = {"metadata": {"name": "unbound"}, "spec": {**spec, "storageClassName": lonely}}
        await lab.api.create(claims(lab.namespace), claim)
        vm = lab.vm("cp")
        del vm["spec"]["dataVolumeTemplates"]
        vm["spec"]["template"]["spec"]["volumes"][0] = {
            "name": "rootdisk",
            "persistentVolumeClaim": {"claimName": "unbound"},
        }
        await lab.secrets("cp")
        await lab.api.create(kubevirt(lab.namespace), vm)
        found = await lab.api.until(kubevirt(lab.namespace, name="cp"), printable("ErrorUnschedulable"))
        assert reasons(found)["PodScheduled"] == ("False", "Unschedulable")
        pods = await lab.api.items(core(lab.namespace, "pods"))
        assert [pod["status"]["phase"] for pod in pods] == ["Pending"]


async def test_only_data_volumes_of_cdis_kinds_are_listed_with_all(lab: Lab) -> None:
    kinds = (await lab.api.get(CDI))["resources"]
    with_all = {one["name"] for one in kinds if "all" in (one.get("categories") or [])}
    assert "datavolumes" in with_all
    assert "storageprofiles" not in with_all


@pytest.mark.parametrize(
    ("strategy", "shown"),
    [
        ("copy", {"CloneInProgress"}),
        ("csi-clone", {"CSICloneInProgress"}),
        ("snapshot", {"SnapshotForSmartCloneInProgress", "CloneFromSnapshotSourceInProgress"}),
    ],
)
async def test_a_data_volume_shows_by_which_strategy_it_is_cloned(lab: Lab, strategy: str, shown: set[str]) -> None:
    await lab.api.create(volumes(lab.namespace), data_volume("source", {"blank": {}}))
    await lab.api.until(volumes(lab.namespace, "source"), phase("Succeeded"))
    async with storage_class(lab) as class_name:
        profile = f"{CDI}/storageprofiles/{class_name}"
        await lab.api.until(profile, lambda one: one is not None)
        await lab.api.merge(profile, {"spec": {"cloneStrategy": strategy}})
        await lab.api.until(profile, lambda one: ((one or {}).get("status") or {}).get("cloneStrategy") == strategy)
        clone = data_volume("clone", {"pvc": {"namespace": lab.namespace, "name": "source"}})
        clone["spec"]["storage"]["storageClassName"] = class_name
        made = await lab.api.create(volumes(lab.namespace), clone)
        seen = set()
        async for _, one in lab.api.events(
            volumes(lab.namespace), version=made["metadata"]["resourceVersion"], fieldSelector="metadata.name=clone"
        ):
            seen.add((one.get("status") or {}).get("phase"))
            if "Succeeded" in seen:
                break
        # A server whose driver cannot do it falls back to a copy, and says why.
        fallback = (await lab.api.get(volumes(lab.namespace, "clone")))["metadata"].get("annotations") or {}
        assert shown & seen or "cdi.kubevirt.io/cloneFallbackReason" in fallback
