"""The claims that a restore makes: names, owners, size, marks, what stays of those before.

| disk           | names                     | after the second restore                              |
|----------------|---------------------------|-------------------------------------------------------|
| template       | an override's             | called complete, and keeps the disk of the first      |
| template       | InPlace                   | one claim, a new one; its DataVolume is told so       |
| DataVolume     | RandomizeNames            | the first DataVolume and every claim since stay       |
"""

from __future__ import annotations

import pytest

from tests.contract.lab import Lab, claims, kubevirt, reasons, snapshots, volumes
from tests.contract.test_restores import path_of
from tests.contract.test_snapshot_sources import vm_with
from tests.contract.test_storage import data_volume, phase
from tests.http_api import Obj
from tests.lab import TEMPLATES

pytestmark = pytest.mark.needs_controllers

PRE_POPULATED = "cdi.kubevirt.io/storage.prePopulated"


@pytest.fixture
async def golden(lab: Lab) -> Lab:
    """A stopped VM `cp` and its snapshot `cp-snap`."""
    await lab.halted("cp")
    await lab.snapshot("cp")
    return lab


@pytest.fixture
async def plain(lab: Lab) -> Lab:
    """A stopped VM `cp` on the claim `disk`, which is a DataVolume's of its own, and its snapshot `cp-snap`."""
    await lab.api.create(volumes(lab.namespace), data_volume("disk", {"blank": {}}))
    await lab.api.until(volumes(lab.namespace, "disk"), phase("Succeeded"))
    marks = {"k8s.io/CloneOf": "true", "volume.kubernetes.io/x": "y", "volume.beta.kubernetes.io/x": "y", "own": "yes"}
    await lab.api.merge(claims(lab.namespace, "disk"), {"metadata": {"annotations": marks, "labels": {"own": "yes"}}})
    await vm_with(lab, "disk")
    await lab.snapshot("cp")
    return lab


async def restored(lab: Lab, name: str = "cp-one") -> Obj:
    """The claim that a restore made."""
    [entry] = (await lab.api.get(path_of(lab, name)))["status"]["restores"]
    return await lab.api.get(claims(lab.namespace, entry["persistentVolumeClaim"]))


async def test_a_restored_claim_has_what_is_its_owners_and_nothing_of_its_past(plain: Lab) -> None:
    before = await plain.api.get(claims(plain.namespace, "disk"))
    await plain.restore("one", "cp")
    claim = await restored(plain)
    restore = await plain.api.get(path_of(plain, "cp-one"))
    annotations, labels = claim["metadata"]["annotations"], claim["metadata"]["labels"]
    assert (annotations["own"], labels["own"]) == ("yes", "yes")
    assert not {"k8s.io/CloneOf", "volume.kubernetes.io/x", "volume.beta.kubernetes.io/x"} & annotations.keys()
    assert "cdi.kubevirt.io/storage.populatedFor" not in annotations
    assert annotations["restore.kubevirt.io/name"] == "cp-one"
    assert annotations["restore.kubevirt.io/lastRestoreUID"] == f"cp-one-{restore['metadata']['uid']}"
    assert labels["restore.kubevirt.io/source-vm-namespace"] == plain.namespace
    [owner] = claim["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["controller"], owner["blockOwnerDeletion"]) == ("VirtualMachine", True, True)
    for field in ("accessModes", "storageClassName", "volumeMode"):
        assert claim["spec"][field] == before["spec"][field]
    assert claim["spec"]["dataSource"]["name"] == claim["spec"]["dataSourceRef"]["name"]
    assert claim["spec"]["volumeName"] != before["spec"]["volumeName"]


async def test_a_restored_claim_is_nobodys_if_asked_to(plain: Lab) -> None:
    await plain.restore("one", "cp", volumeOwnershipPolicy="None")
    assert "ownerReferences" not in (await restored(plain))["metadata"]


async def test_an_override_names_and_marks_a_claim_and_restores_it_once(golden: Lab) -> None:
    override = {"volumeName": "rootdisk", "restoreName": "mine", "labels": {"a": "b"}, "annotations": {"c": "d"}}
    await golden.restore("one", "cp", volumeRestoreOverrides=[override], volumeRestorePolicy="PrefixTargetName")
    claim = await restored(golden)
    assert claim["metadata"]["name"] == "mine"
    assert (claim["metadata"]["labels"]["a"], claim["metadata"]["annotations"]["c"]) == ("b", "d")
    await golden.restore("two", "cp", volumeRestoreOverrides=[override])
    assert (await restored(golden, "cp-two"))["metadata"]["uid"] == claim["metadata"]["uid"]


async def test_a_prefixed_name_is_the_targets_and_the_volumes(golden: Lab) -> None:
    target = {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": "copy"}
    await golden.begin_restore("one", "cp", target=target, volumeRestorePolicy="PrefixTargetName")
    await golden.api.until(path_of(golden, "one"), lambda one: one and (one.get("status") or {}).get("complete"))
    assert (await restored(golden, "one"))["metadata"]["name"] == "copy-rootdisk"


async def test_a_data_volume_without_template_leaks_and_its_volume_becomes_a_claims(lab: Lab) -> None:
    await lab.api.create(volumes(lab.namespace), data_volume("disk", {"blank": {}}))
    await lab.api.until(volumes(lab.namespace, "disk"), phase("Succeeded"))
    vm = lab.vm("cp", strategy="Halted")
    del vm["spec"]["dataVolumeTemplates"]
    vm["spec"]["template"]["spec"]["volumes"][0] = {"name": "rootdisk", "dataVolume": {"name": "disk"}}
    await lab.secrets("cp")
    await lab.api.create(kubevirt(lab.namespace), vm)
    await lab.snapshot("cp")
    names = set()
    for run in ("one", "two"):
        await lab.restore(run, "cp")
        restore = await lab.api.get(path_of(lab, f"cp-{run}"))
        [entry] = restore["status"]["restores"]
        assert "dataVolumeName" not in entry
        assert not restore["status"].get("deletedDataVolumes")
        names.add(entry["persistentVolumeClaim"])
    assert set(await lab.claim_uids()) == {"disk", *names}
    assert await lab.api.names(volumes(lab.namespace)) == ["disk"]
    [disk, _] = (await lab.get_vm())["spec"]["template"]["spec"]["volumes"]
    assert disk == {"name": "rootdisk", "persistentVolumeClaim": {"claimName": entry["persistentVolumeClaim"]}}


async def test_a_disk_restored_in_place_keeps_its_data_volume_which_is_told(golden: Lab) -> None:
    before = await golden.api.get(volumes(golden.namespace, "cp-rootdisk"))
    for run in ("one", "two"):
        last = (await golden.claim_uids())["cp-rootdisk"]
        await golden.restore(run, "cp", volumeRestorePolicy="InPlace")
        assert (await golden.claim_uids())["cp-rootdisk"] != last
        restore = await golden.api.get(path_of(golden, f"cp-{run}"))
        [entry] = restore["status"]["restores"]
        assert (entry["persistentVolumeClaim"], entry["dataVolumeName"]) == ("cp-rootdisk", "cp-rootdisk")
        assert not restore["status"].get("deletedDataVolumes")
    after = await golden.api.get(volumes(golden.namespace, "cp-rootdisk"))
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["metadata"]["annotations"][PRE_POPULATED] == "cp-rootdisk"
    assert after["metadata"]["annotations"]["restore.kubevirt.io/name"] == "cp-two"
    assert set(await golden.claim_uids()) == {"cp-rootdisk"}
    path = claims(golden.namespace, "cp-rootdisk")
    await golden.api.until(path, lambda one: one and one["metadata"].get("ownerReferences", [{}])[0].get("kind"))
    assert (await golden.api.get(path))["metadata"]["ownerReferences"][0]["kind"] == "DataVolume"


async def test_a_data_volume_without_annotations_cannot_be_restored_in_place(golden: Lab) -> None:
    await golden.api.merge(volumes(golden.namespace, "cp-rootdisk"), {"metadata": {"annotations": None}})
    before = await golden.claim_uids()
    await golden.begin_restore("stuck", "cp", volumeRestorePolicy="InPlace")
    path = path_of(golden, "stuck")
    # The server's word for a JSON patch that does not apply; it says no more.
    text = "the server rejected our request due to an error in our request"
    await golden.api.until(path, lambda one: reasons(one).get("Ready") == ("False", text))
    assert await golden.claim_uids() == before
    assert (await golden.get_vm())["status"]["restoreInProgress"] == "stuck"
    await golden.api.merge(volumes(golden.namespace, "cp-rootdisk"), {"metadata": {"annotations": {"some": "thing"}}})
    await golden.api.until(path, lambda one: one and one["status"]["complete"])


async def test_a_source_by_name_is_looked_up_at_each_restore_and_waited_for(lab: Lab) -> None:
    sources = f"/apis/cdi.kubevirt.io/v1beta1/namespaces/{lab.namespace}/datasources"
    golden = {"source": {"pvc": {"namespace": TEMPLATES, "name": "golden"}}}
    named = {"apiVersion": "cdi.kubevirt.io/v1beta1", "kind": "DataSource", "metadata": {"name": "image"}}
    await lab.api.create(sources, {**named, "spec": golden})
    vm = lab.vm("cp", strategy="Halted")
    template = vm["spec"]["dataVolumeTemplates"][0]["spec"]
    del template["source"]
    template["sourceRef"] = {"kind": "DataSource", "namespace": lab.namespace, "name": "image"}
    await lab.secrets("cp")
    await lab.api.create(kubevirt(lab.namespace), vm)
    await lab.api.until(volumes(lab.namespace, "cp-rootdisk"), phase("Succeeded"))
    await lab.snapshot("cp")
    await lab.api.delete(f"{sources}/image")
    await lab.begin_restore("early", "cp")
    path = path_of(lab, "early")
    await lab.api.until(path, lambda one: '"image" not found' in reasons(one).get("Ready", ("", ""))[1])
    await lab.api.create(sources, {**named, "spec": golden})
    done = await lab.api.until(path, lambda one: one if one and one["status"].get("complete") else None)
    [entry] = done["status"]["restores"]
    volume = await lab.api.get(volumes(lab.namespace, entry["dataVolumeName"]))
    assert volume["spec"]["source"] == golden["source"]
    assert "sourceRef" in (await lab.get_vm())["spec"]["dataVolumeTemplates"][0]["spec"]


async def test_a_volume_left_out_of_the_snapshot_keeps_its_disk(golden: Lab) -> None:
    await golden.restore("one", "cp")
    after = (await golden.get_vm())["spec"]["template"]["spec"]["volumes"]
    assert after[1] == {"name": "cloudinit", "cloudInitNoCloud": {"secretRef": {"name": "cp-cloudinit"}}}
    content = (await golden.api.items(snapshots(golden.namespace, "virtualmachinesnapshotcontents")))[0]
    assert [one["volumeName"] for one in content["spec"]["volumeBackups"]] == ["rootdisk"]
