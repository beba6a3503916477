"""DataVolumes that CDI refuses, and clones across namespaces that KubeVirt does not ask for without the right to."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.lab import Lab, claims, core, kubevirt, reasons, volumes
from tests.contract.test_data_volumes import event
from tests.contract.test_storage import data_volume, phase
from tests.http_api import Failed, Obj

pytestmark = pytest.mark.needs_controllers

DENIED = 'admission webhook "datavolume-validate.cdi.kubevirt.io" denied the request: '


def claim(name: str, **meta: Any) -> Obj:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"metadata": {"name": name, **meta}, "spec": spec}


async def test_a_data_volumes_spec_is_final_and_its_labels_are_not(lab: Lab) -> None:
    await lab.api.create(volumes(lab.namespace), data_volume("one", {"blank": {}}))
    path = volumes(lab.namespace, "one")
    with pytest.raises(Failed) as denial:
        await lab.api.merge(path, {"spec": {"storage": {"resources": {"requests": {"storage": "20Gi"}}}}})
    # CDI gives no reason, and leaves a space before what it says.
    assert (denial.value.code, denial.value.message) == (422, f"{DENIED} Cannot update DataVolume Spec")
    assert denial.value.body.get("reason", "") == ""
    [cause] = denial.value.body["details"]["causes"]
    assert (cause["field"], cause["reason"]) == ("DataVolume.Spec", "FieldValueDuplicate")
    changed = await lab.api.merge(path, {"metadata": {"labels": {"a": "b"}}})
    assert changed["metadata"]["labels"] == {"a": "b"}


async def test_a_data_volume_named_like_a_claim_is_refused(lab: Lab) -> None:
    await lab.api.create(claims(lab.namespace), claim("taken"))
    with pytest.raises(Failed) as denial:
        await lab.api.create(volumes(lab.namespace), data_volume("taken", {"blank": {}}))
    text = f"{DENIED} Destination PVC {lab.namespace}/taken already exists"
    assert (denial.value.code, denial.value.message) == (422, text)
    [cause] = denial.value.body["details"]["causes"]
    assert (cause["field"], cause["reason"]) == ("DataVolume.Name", "FieldValueDuplicate")


async def test_a_claim_that_is_promised_to_a_data_volume_is_taken_as_it_is(lab: Lab) -> None:
    promised = claim("promised", annotations={"cdi.kubevirt.io/storage.populatedFor": "promised"})
    made = await lab.api.create(claims(lab.namespace), promised)
    await lab.api.create(volumes(lab.namespace), data_volume("promised", {"blank": {}}))
    await lab.api.until(volumes(lab.namespace, "promised"), phase("Succeeded"))
    found = await lab.api.get(claims(lab.namespace, "promised"))
    assert found["metadata"]["uid"] == made["metadata"]["uid"]
    assert found["metadata"]["ownerReferences"][0]["kind"] == "DataVolume"


async def test_a_data_volume_whose_content_another_brings_waits_for_its_claim(lab: Lab) -> None:
    volume = data_volume("brought", {"blank": {}})
    volume["metadata"]["annotations"] = {"cdi.kubevirt.io/storage.prePopulated": "true"}
    await lab.api.create(volumes(lab.namespace), volume)
    path = volumes(lab.namespace, "brought")
    waiting = await lab.api.until(path, phase("Pending"))
    assert reasons(waiting)["Bound"] == ("False", "NotFound")
    assert await lab.api.find(claims(lab.namespace, "brought")) is None
    promised = claim("brought", annotations={"cdi.kubevirt.io/storage.populatedFor": "brought"})
    await lab.api.create(claims(lab.namespace), promised)
    await lab.api.until(path, phase("Succeeded"))


async def test_cloning_from_another_namespace_needs_the_right_to(lab: Lab) -> None:
    await lab.api.delete(lab.binding)
    await lab.secrets("cp")
    await lab.api.create(kubevirt(lab.namespace), lab.vm("cp"))
    path = kubevirt(lab.namespace, name="cp")
    vm = await lab.api.until(path, lambda vm: vm if "Failure" in reasons(vm) else None)
    [failure] = [one for one in vm["status"]["conditions"] if one["type"] == "Failure"]
    account = f"system:serviceaccount:{lab.namespace}:default"
    text = f"User {account} has insufficient permissions in clone source namespace vm-templates"
    refused = f"not authorized to create DataVolume: {text}"
    assert failure["message"] == f"Error encountered while creating DataVolumes: {refused}"
    told = await event(lab, "UnauthorizedDataVolumeCreate", "cp")
    assert told == f"Not authorized to create DataVolume cp-rootdisk: {text}"
    assert vm["status"]["printableStatus"] == "Stopped"
    assert await lab.api.find(volumes(lab.namespace, "cp-rootdisk")) is None
    await lab.allow_cloning()
    vm = await lab.running()
    assert "Failure" not in reasons(vm)


async def test_cloning_inside_a_namespace_needs_no_right(lab: Lab) -> None:
    await lab.api.delete(lab.binding)
    await lab.api.create(volumes(lab.namespace), data_volume("own", {"blank": {}}))
    vm = lab.vm("cp", strategy="Halted")
    template = vm["spec"]["dataVolumeTemplates"][0]["spec"]
    template["source"] = {"pvc": {"namespace": lab.namespace, "name": "own"}}
    template["storage"]["resources"]["requests"]["storage"] = "1Gi"
    await lab.secrets("cp")
    await lab.api.create(kubevirt(lab.namespace), vm)
    await lab.api.until(volumes(lab.namespace, "cp-rootdisk"), phase("Succeeded"))


async def test_a_restored_disk_needs_no_right_to_clone(lab: Lab) -> None:
    await lab.halted("cp")
    await lab.snapshot("cp")
    await lab.api.delete(lab.binding)
    await lab.restore("one", "cp")
    vm = await lab.get_vm()
    assert vm["spec"]["dataVolumeTemplates"][0]["spec"]["source"]["pvc"]["namespace"] == "vm-templates"
    assert "Failure" not in reasons(vm)
    found = await lab.api.items(core(lab.namespace, "events"))
    assert "UnauthorizedDataVolumeCreate" not in {one["reason"] for one in found}
