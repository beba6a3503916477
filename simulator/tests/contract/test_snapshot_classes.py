"""Which VolumeSnapshotClass a disk is snapshotted with: none, one of several, one that is named or not served."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.contract.lab import CDI, STORAGE, Lab, claims, kubevirt, reasons, snapshots, unique, volumes
from tests.contract.test_snapshots import snapshot
from tests.contract.test_storage import CLASSES, phase, storage_class, vm_on
from tests.http_api import Obj

pytestmark = pytest.mark.needs_controllers

SNAPSHOT_CLASSES = f"{STORAGE}/volumesnapshotclasses"
KIND = {"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotClass"}


@asynccontextmanager
async def foreign_class(lab: Lab) -> AsyncIterator[str]:
    """Name of a snapshot class of a driver that is not there; it goes away again."""
    name = unique("contract")
    fields = {"driver": "contract.invalid", "deletionPolicy": "Delete"}
    await lab.api.create(SNAPSHOT_CLASSES, {**KIND, "metadata": {"name": name}, **fields})
    try:
        yield name
    finally:
        await lab.api.discard(f"{SNAPSHOT_CLASSES}/{name}")


async def name_snapshot_class(lab: Lab, storage_class: str, name: str) -> None:
    """Have CDI's profile of a storage class name its snapshot class."""
    profile = f"{CDI}/storageprofiles/{storage_class}"
    await lab.api.until(profile, lambda one: one is not None)
    await lab.api.merge(profile, {"spec": {"snapshotClass": name}})
    await lab.api.until(profile, lambda one: ((one or {}).get("status") or {}).get("snapshotClass") == name)


def told(**about: Any) -> Any:
    """A check for Api.until: whether the VM says so of one of its volumes."""
    return lambda vm: about in ((vm or {}).get("status") or {}).get("volumeSnapshotStatuses", [])


async def test_without_a_snapshot_class_a_disk_is_left_out_and_the_vm_says_why(lab: Lab) -> None:
    await lab.halted("cp")
    async with storage_class(lab, provisioner="contract.invalid") as lonely:
        claim = {"metadata": {"name": "extra"}}
        claim["spec"] = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": lonely,
        }
        await lab.api.create(claims(lab.namespace), claim)
        vm = await lab.get_vm()
        template = vm["spec"]["template"]["spec"]
        template["volumes"].append({"name": "extra", "persistentVolumeClaim": {"claimName": "extra"}})
        template["domain"]["devices"]["disks"].append({"name": "extra", "disk": {}})
        await lab.api.merge(kubevirt(lab.namespace, name="cp"), {"spec": {"template": {"spec": template}}})
        text = f"No VolumeSnapshotClass: Volume snapshots are not configured for this StorageClass [{lonely}] [extra]"
        check = told(name="extra", enabled=False, reason=text)
        await lab.api.until(kubevirt(lab.namespace, name="cp"), check)


async def test_of_several_snapshot_classes_none_is_taken_until_one_is_marked(lab: Lab) -> None:
    await lab.halted("cp")
    claim = await lab.api.get(claims(lab.namespace, "cp-rootdisk"))
    driver = (await lab.api.get(f"{CLASSES}/{claim['spec']['storageClassName']}"))["provisioner"]
    found = [one for one in await lab.api.items(SNAPSHOT_CLASSES) if one["driver"] == driver]
    mark = "snapshot.storage.kubernetes.io/is-default-class"
    if any(mark in (one["metadata"].get("annotations") or {}) for one in found):
        pytest.skip("this server has marked its snapshot class, and it is not for a test to unmark it")
    other = {**{key: found[0][key] for key in ("driver", "deletionPolicy", "parameters") if key in found[0]}}
    name = unique("contract")
    await lab.api.create(SNAPSHOT_CLASSES, {**KIND, **other, "metadata": {"name": name}})
    try:
        await lab.api.create(snapshots(lab.namespace), snapshot())
        path = snapshots(lab.namespace, name="cp-snap")
        locked = ("True", "Source locked and operation in progress")
        await lab.api.until(path, lambda one: reasons(one).get("Progressing") == locked)
        assert await lab.api.items(snapshots(lab.namespace, "virtualmachinesnapshotcontents")) == []
        await lab.api.merge(f"{SNAPSHOT_CLASSES}/{name}", {"metadata": {"annotations": {mark: "whatever"}}})
        await lab.api.until(path, lambda one: ((one or {}).get("status") or {}).get("readyToUse"))
    finally:
        await lab.api.discard(f"{SNAPSHOT_CLASSES}/{name}")


async def test_a_profile_that_names_an_absent_snapshot_class_leaves_its_disks_out(lab: Lab) -> None:
    async with storage_class(lab) as class_name:
        await name_snapshot_class(lab, class_name, "absent")
        path = await vm_on(lab, class_name)
        await lab.api.until(volumes(lab.namespace, "cp-rootdisk"), phase("Succeeded"))
        text = "No VolumeSnapshotClass: Volume snapshots are not configured for this StorageClass"
        reason = f"{text} [{class_name}] [rootdisk]"
        await lab.api.until(path, told(name="rootdisk", enabled=False, reason=reason))


async def test_a_profile_decides_between_several_snapshot_classes(lab: Lab) -> None:
    async with storage_class(lab) as class_name:
        driver = (await lab.api.get(f"{CLASSES}/{class_name}"))["provisioner"]
        [first, *_] = [one for one in await lab.api.items(SNAPSHOT_CLASSES) if one["driver"] == driver]
        name = unique("contract")
        fields = {key: first[key] for key in ("driver", "deletionPolicy", "parameters") if key in first}
        await lab.api.create(SNAPSHOT_CLASSES, {**KIND, "metadata": {"name": name}, **fields})
        try:
            await name_snapshot_class(lab, class_name, name)
            await taken(lab, class_name)
            [made] = await lab.api.items(f"{STORAGE}/namespaces/{lab.namespace}/volumesnapshots")
            assert made["spec"]["volumeSnapshotClassName"] == name
        finally:
            await lab.api.discard(f"{SNAPSHOT_CLASSES}/{name}")


async def taken(lab: Lab, class_name: str) -> None:
    """A snapshot of a VM whose disk is in the class."""
    await vm_on(lab, class_name)
    await lab.api.until(volumes(lab.namespace, "cp-rootdisk"), phase("Succeeded"))
    await lab.api.create(snapshots(lab.namespace), snapshot())
    await lab.api.until(snapshots(lab.namespace, name="cp-snap"), ready)


def ready(one: Obj | None) -> Any:
    return ((one or {}).get("status") or {}).get("readyToUse")


async def test_a_snapshot_that_no_driver_takes_is_never_ready_and_fails_at_its_deadline(lab: Lab) -> None:
    async with storage_class(lab) as class_name, foreign_class(lab) as foreign:
        await name_snapshot_class(lab, class_name, foreign)
        path = await vm_on(lab, class_name)
        await lab.api.until(volumes(lab.namespace, "cp-rootdisk"), phase("Succeeded"))
        await lab.api.create(snapshots(lab.namespace), snapshot(failureDeadline="1s"))
        failed = await lab.api.until(snapshots(lab.namespace, name="cp-snap"), phase("Failed"))
        assert reasons(failed)["Failure"] == ("True", "snapshot deadline exceeded")
        assert not failed["status"].get("readyToUse")
        await lab.api.until(path, lambda vm: vm and not vm["status"].get("snapshotInProgress"))
