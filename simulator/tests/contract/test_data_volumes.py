"""DataVolumes as CDI fills them: what a clone tells of itself, why it is slow, why it hangs, and who may ask for it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.contract.lab import CDI, Lab, claims, core, kubevirt, reasons, volumes
from tests.contract.test_storage import data_volume, phase, printable, storage_class
from tests.http_api import Obj

pytestmark = pytest.mark.needs_controllers

ANNOTATION = "cdi.kubevirt.io/"
ORDER = [
    "Pending",
    "CloneScheduled",
    "SnapshotForSmartCloneInProgress",
    "CloneFromSnapshotSourceInProgress",
    "CSICloneInProgress",
    "CloneInProgress",
    "PrepClaimInProgress",
    "RebindInProgress",
    "Succeeded",
]
"""Phases of clones, as they can follow each other."""
FROM_SNAPSHOT = "Creating PVC from snapshot source is in progress (for pvc {0}/source)"


def clone_of(lab: Lab, source: str, class_name: str | None = None, size: str = "1Gi") -> Obj:
    """A DataVolume `clone` of a claim of the namespace."""
    clone = data_volume("clone", {"pvc": {"namespace": lab.namespace, "name": source}})
    clone["spec"]["storage"]["resources"]["requests"]["storage"] = size
    if class_name is not None:
        clone["spec"]["storage"]["storageClassName"] = class_name
    return clone


async def blank(lab: Lab, name: str, size: str = "1Gi") -> None:
    """A claim with nothing on it."""
    volume = data_volume(name, {"blank": {}})
    volume["spec"]["storage"]["resources"]["requests"]["storage"] = size
    await lab.api.create(volumes(lab.namespace), volume)
    await lab.api.until(volumes(lab.namespace, name), phase("Succeeded"))


async def use_strategy(lab: Lab, class_name: str, strategy: str) -> None:
    profile = f"{CDI}/storageprofiles/{class_name}"
    await lab.api.until(profile, lambda one: one is not None)
    await lab.api.merge(profile, {"spec": {"cloneStrategy": strategy}})
    await lab.api.until(profile, lambda one: ((one or {}).get("status") or {}).get("cloneStrategy") == strategy)


async def lived(lab: Lab, volume: Obj) -> list[Obj]:
    """All versions of a DataVolume that is created, until it succeeded."""
    made = await lab.api.create(volumes(lab.namespace), volume)
    seen = []
    query = {"fieldSelector": f"metadata.name={volume['metadata']['name']}"}
    version = made["metadata"]["resourceVersion"]
    async for _, one in lab.api.events(volumes(lab.namespace), version=version, **query):
        seen.append(one)
        if (one.get("status") or {}).get("phase") == "Succeeded":
            return seen
    raise AssertionError("the watch ended")


def notes(obj: Obj) -> dict[str, str]:
    """CDI's annotations without their prefix."""
    found = (obj["metadata"].get("annotations") or {}).items()
    return {key.removeprefix(ANNOTATION): value for key, value in found if key.startswith(ANNOTATION)}


async def event(lab: Lab, reason: str, name: str) -> str:
    """What an event of that reason says of the object of that name."""
    async for _, one in lab.api.events(core(lab.namespace, "events")):
        if one["reason"] == reason and one["involvedObject"]["name"] == name:
            return str(one["message"])
    raise AssertionError("the watch ended")


@pytest.mark.parametrize("strategy", ["copy", "csi-clone", "snapshot"])
async def test_a_clone_tells_how_far_it_is_and_how_it_was_made(lab: Lab, strategy: str) -> None:
    await blank(lab, "source")
    async with storage_class(lab) as class_name:
        await use_strategy(lab, class_name, strategy)
        versions = await lived(lab, clone_of(lab, "source", class_name))
        claim = notes(await lab.api.get(claims(lab.namespace, "clone")))
        if "cloneFallbackReason" not in claim:
            assert claim["cloneType"] == strategy
        done = await lab.api.until(
            volumes(lab.namespace, "clone"), lambda one: one if reasons(one)["Running"][1] == "Completed" else None
        )
    assert notes(done)["cloneType"] == claim["cloneType"]
    statuses = [one["status"] for one in versions if "status" in one]
    phases = [status["phase"] for status in statuses]
    assert phases == sorted(phases, key=ORDER.index)
    progress = [status["progress"] for status in statuses if "progress" in status]
    assert all(re.fullmatch(r"N/A|\d{1,3}\.\d{1,2}%", one) for one in progress), progress
    assert done["status"]["progress"] == "100.0%"
    assert reasons(done) == {"Bound": ("True", "Bound"), "Ready": ("True", ""), "Running": ("False", "Completed")}
    assert (await lab.api.until(claims(lab.namespace, "clone"), cloned))["clonePhase"] == "Succeeded"


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        ("copy", {"CloneInProgress": "Cloning from {0}/source into {0}/clone in progress"}),
        ("csi-clone", {"CSICloneInProgress": "CSI Volume clone in progress (for pvc {0}/source)"}),
        (
            "snapshot",
            {
                "CloneFromSnapshotSourceInProgress": FROM_SNAPSHOT,
                "CloneSucceeded": "Successfully cloned from {0}/source into {0}/clone",
                "Bound": "PVC clone Bound",
            },
        ),
    ],
)
async def test_a_clone_is_told_of_in_events(lab: Lab, strategy: str, said: dict[str, str]) -> None:
    await blank(lab, "source")
    async with storage_class(lab) as class_name:
        await use_strategy(lab, class_name, strategy)
        await lived(lab, clone_of(lab, "source", class_name))
        if fallback(await lab.api.get(claims(lab.namespace, "clone"))):
            pytest.skip("this server's driver cannot clone so")
        for reason, text in said.items():
            assert await event(lab, reason, "clone") == text.format(lab.namespace)


def cloned(claim: Obj | None) -> dict[str, Any] | None:
    """CDI's annotations of a claim whose clone is over."""
    found = notes(claim) if claim else {}
    return found if found.get("clonePhase") == "Succeeded" else None


async def test_a_clone_that_runs_is_not_ready_and_says_that_it_runs(lab: Lab) -> None:
    await blank(lab, "source")
    async with storage_class(lab) as class_name:
        await use_strategy(lab, class_name, "copy")
        versions = await lived(lab, clone_of(lab, "source", class_name))
    running = [reasons(one) for one in versions if reasons(one).get("Running", ("", ""))[0] == "True"]
    assert running
    assert {one["Ready"] for one in running} == {("False", "TransferRunning")}


async def test_a_clone_that_falls_back_to_copying_says_why(lab: Lab) -> None:
    await blank(lab, "source")
    async with storage_class(lab, provisioner="contract.invalid") as lonely:
        await use_strategy(lab, lonely, "snapshot")
        await lab.api.create(volumes(lab.namespace), clone_of(lab, "source", lonely))
        told = await lab.api.until(claims(lab.namespace, "clone"), lambda one: fallback(one))
        assert told["cloneType"] == "copy"
        assert told["cloneFallbackReason"] == "No compatible volumesnapshotclass found"
        assert await event(lab, "NoVolumeSnapshotClass", "clone") == told["cloneFallbackReason"]
        # Nobody makes volumes of that class: the copy hangs, and is not called failed.
        await lab.api.until(volumes(lab.namespace, "clone"), phase("CloneInProgress"))


def fallback(claim: Obj | None) -> dict[str, str] | None:
    found = notes(claim) if claim else {}
    return found if "cloneFallbackReason" in found else None


async def test_a_clone_without_its_source_says_that_it_waits_for_it(lab: Lab) -> None:
    await lab.api.create(volumes(lab.namespace), clone_of(lab, "absent"))
    assert await event(lab, "CloneWithoutSource", "clone") == "The source pvc absent doesn't exist"


async def test_a_clone_smaller_than_its_source_hangs_with_an_error(lab: Lab) -> None:
    # CDI judges the size at admission if the source is there by then.
    await lab.api.create(volumes(lab.namespace), clone_of(lab, "source"))
    await lab.api.until(volumes(lab.namespace, "clone"), lambda one: "Running" in reasons(one))
    await blank(lab, "source", "2Gi")
    stuck = await lab.api.until(
        volumes(lab.namespace, "clone"), lambda one: one if reasons(one)["Running"][1] == "Error" else None
    )
    assert stuck["status"]["phase"] in ("Pending", "CloneScheduled")
    [running] = [one for one in stuck["status"]["conditions"] if one["type"] == "Running"]
    assert running["status"] == "False"
    assert running["message"] == "target resources requests storage size is smaller than the source"
    assert notes(await lab.api.get(claims(lab.namespace, "clone")))["clonePhase"] == "Error"


async def test_an_import_that_cannot_be_fetched_is_tried_again_and_its_vm_says_so(lab: Lab) -> None:
    vm = lab.vm("cp")
    template = vm["spec"]["dataVolumeTemplates"][0]
    template["spec"]["source"] = {"http": {"url": "http://contract.invalid/disk.qcow2"}}
    await lab.secrets("cp")
    await lab.api.create(kubevirt(lab.namespace), vm)
    disk = volumes(lab.namespace, "cp-rootdisk")
    broken = await lab.api.until(disk, lambda one: one if reasons(one).get("Running") == ("False", "Error") else None)
    [running] = [one for one in broken["status"]["conditions"] if one["type"] == "Running"]
    assert "no such host" in running["message"]
    assert broken["status"]["phase"] == "ImportInProgress"
    assert await event(lab, "Error", "cp-rootdisk") == running["message"]
    await lab.api.until(kubevirt(lab.namespace, name="cp"), printable("DataVolumeError"))
    again = await lab.api.until(disk, lambda one: one if one["status"].get("restartCount", 0) >= 2 else None)
    assert again["status"]["phase"] == "ImportInProgress"
    assert notes(await lab.api.get(claims(lab.namespace, "cp-rootdisk")))["storage.pod.restarts"] >= "2"


async def test_an_import_is_scheduled_then_runs_then_is_complete(lab: Lab) -> None:
    versions = await lived(lab, data_volume("disk", {"blank": {}}))
    phases = [one["status"]["phase"] for one in versions if "status" in one]
    order = ["Pending", "ImportScheduled", "ImportInProgress", "Succeeded"]
    assert phases == sorted(phases, key=order.index)
    assert "ImportInProgress" in phases
    assert versions[-1]["status"]["progress"] == "100.0%"
    path = volumes(lab.namespace, "disk")
    done = await lab.api.until(path, lambda one: one if reasons(one)["Running"][1] == "Completed" else None)
    assert reasons(done) == {"Bound": ("True", "Bound"), "Ready": ("True", ""), "Running": ("False", "Completed")}


async def test_a_source_that_a_pod_uses_is_cloned_once_it_is_free(lab: Lab) -> None:
    await blank(lab, "source")
    container = {"name": "holder", "image": "busybox", "command": ["sleep", "3600"]}
    volume = {"name": "disk", "persistentVolumeClaim": {"claimName": "source"}}
    spec = {"containers": [container], "volumes": [volume], "terminationGracePeriodSeconds": 0}
    await lab.api.create(core(lab.namespace, "pods"), {"metadata": {"name": "holder"}, "spec": spec})
    await lab.api.create(volumes(lab.namespace), clone_of(lab, "source"))
    text = f"pod {lab.namespace}/holder using PersistentVolumeClaim source"
    assert await event(lab, "CloneSourceInUse", "clone") == text
    await lab.api.delete(core(lab.namespace, "pods", "holder"))
    await lab.api.until(volumes(lab.namespace, "clone"), phase("Succeeded"))


async def test_a_disk_whose_claim_is_deleted_is_made_again(lab: Lab) -> None:
    await blank(lab, "disk")
    old = await lab.api.get(claims(lab.namespace, "disk"))
    await lab.api.delete(claims(lab.namespace, "disk"))
    await lab.api.until(
        claims(lab.namespace, "disk"), lambda one: one and one["metadata"]["uid"] != old["metadata"]["uid"]
    )
    await lab.api.until(claims(lab.namespace, "disk"), phase("Bound"))
    await lab.api.until(volumes(lab.namespace, "disk"), phase("Succeeded"))


async def test_a_late_binding_disk_is_filled_at_once_when_that_is_asked_for(lab: Lab) -> None:
    async with storage_class(lab, volumeBindingMode="WaitForFirstConsumer") as late:
        asked = data_volume("asked", {"blank": {}})
        asked["spec"]["storage"]["storageClassName"] = late
        asked["metadata"]["annotations"] = {"cdi.kubevirt.io/storage.bind.immediate.requested": "true"}
        await lab.api.create(volumes(lab.namespace), asked)
        await lab.api.until(volumes(lab.namespace, "asked"), phase("Succeeded"))
        await lab.api.until(claims(lab.namespace, "asked"), phase("Bound"))


async def test_a_claim_whose_content_nobody_knows_stays_pending(lab: Lab) -> None:
    source = {"apiGroup": "contract.invalid", "kind": "Nothing", "name": "nothing"}
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    unknown = {"metadata": {"name": "unknown"}, "spec": {**spec, "dataSourceRef": source}}
    await lab.api.create(claims(lab.namespace), unknown)
    await blank(lab, "known")
    assert (await lab.api.get(claims(lab.namespace, "unknown")))["status"]["phase"] == "Pending"
