"""What virt-api lets in of a VM, what it fills in, and what it says."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.contract.api import MERGE, Api
from tests.contract.lab import Lab, kubevirt
from tests.http_api import Failed, Obj

pytestmark = pytest.mark.needs_controllers

DENIED = 'admission webhook "virtualmachine-validator.kubevirt.io" denied the request: '
BOTH = "Running and RunStrategy are mutually exclusive. Note that Running is deprecated, please use RunStrategy instead"
NOWHERE = "DataVolumeTemplate entry spec.dataVolumeTemplate[0] must be referenced in the VMI template's 'volumes' list"
NO_SOURCE = "Data volume should have either Source, SourceRef, or be externally populated"
TWICE = "Duplicate storage definition, both target storage and target pvc defined"
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
SOURCE = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "x"}


async def refused(lab: Lab, vm: Obj) -> list[tuple[str, str]]:
    """Messages and reasons of the causes for which a new VM is denied."""
    with pytest.raises(Failed) as denial:
        await lab.api.create(kubevirt(lab.namespace), vm)
    body = denial.value.body
    assert (denial.value.code, body["reason"]) == (422, "Invalid")
    causes = body["details"]["causes"]
    assert denial.value.message == DENIED + ", ".join(cause["message"] for cause in causes)
    return [(cause["message"], cause["reason"]) for cause in causes]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"running": True}, BOTH),
        ({"runStrategy": None}, "RunStrategy must be specified"),
        ({"runStrategy": "Never"}, "Invalid RunStrategy (Never)"),
    ],
)
async def test_a_vm_runs_by_one_known_strategy(lab: Lab, change: Obj, text: str) -> None:
    vm = lab.vm("cp")
    vm["spec"] = {key: value for key, value in (vm["spec"] | change).items() if value is not None}
    assert await refused(lab, vm) == [(text, "FieldValueInvalid")]


@pytest.mark.parametrize(
    ("change", "text", "reason"),
    [
        ({"storage": None}, "Missing Data volume PVC or Storage", "FieldValueInvalid"),
        ({"pvc": CLAIM}, TWICE, "FieldValueInvalid"),
        ({"source": None}, NO_SOURCE, "FieldValueInvalid"),
        ({"source": {}}, "Missing dataVolume valid source", "FieldValueInvalid"),
        (
            {"source": {"blank": {}, "pvc": {"name": "x", "namespace": "y"}}},
            "Multiple dataVolume sources",
            "FieldValueInvalid",
        ),
        (
            {"storage": CLAIM | {"dataSource": SOURCE}},
            "External population is incompatible with Source and SourceRef",
            "FieldValueInvalid",
        ),
    ],
)
async def test_a_template_of_a_disk_has_one_claim_and_one_source(
    lab: Lab, change: dict[str, Any], text: str, reason: str
) -> None:
    vm = lab.vm("cp")
    [template] = vm["spec"]["dataVolumeTemplates"]
    template["spec"] = {key: value for key, value in (template["spec"] | change).items() if value is not None}
    assert await refused(lab, vm) == [(text, reason)]


async def test_a_vm_without_template_is_refused_before_anything_else_is_looked_at(lab: Lab) -> None:
    vm = lab.vm("cp")
    vm["spec"] = {"running": True, "runStrategy": "Never"}
    with pytest.raises(Failed) as denial:
        await lab.api.create(kubevirt(lab.namespace), vm)
    assert (denial.value.code, denial.value.body["reason"]) == (422, "Invalid")
    webhook = 'admission webhook "virtualmachines-mutator.kubevirt.io" denied the request: '
    assert denial.value.message == f"{webhook}spec.template in body is required"
    await lab.api.create(kubevirt(lab.namespace), lab.vm("cp", strategy="Halted"))
    with pytest.raises(Failed) as denial:
        await lab.api.merge(kubevirt(lab.namespace, name="cp"), {"spec": {"template": None}})
    assert denial.value.message == f"{webhook}spec.template in body is required"


async def test_a_disk_may_be_filled_by_somebody_else(lab: Lab) -> None:
    vm = lab.vm("cp", strategy="Halted")
    [template] = vm["spec"]["dataVolumeTemplates"]
    template["spec"] = {"storage": CLAIM | {"dataSource": SOURCE}}
    await lab.api.create(kubevirt(lab.namespace), vm)


async def test_all_templates_are_used_and_all_faults_are_told_at_once(lab: Lab) -> None:
    vm = lab.vm("cp")
    vm["spec"]["dataVolumeTemplates"][0]["metadata"]["name"] = "unused"
    del vm["spec"]["runStrategy"]
    found = await refused(lab, vm)
    assert (NOWHERE, "FieldValueRequired") in found
    assert ("RunStrategy must be specified", "FieldValueInvalid") in found


async def test_a_template_is_of_the_vms_namespace_and_that_is_looked_at_last(lab: Lab) -> None:
    vm = lab.vm("cp")
    vm["spec"]["dataVolumeTemplates"][0]["metadata"]["namespace"] = "elsewhere"
    text = f"Embedded DataVolume namespace elsewhere differs from VM namespace {lab.namespace}"
    assert await refused(lab, vm) == [(text, "FieldValueInvalid")]
    del vm["spec"]["runStrategy"]
    assert await refused(lab, vm) == [("RunStrategy must be specified", "FieldValueInvalid")]


async def test_a_vm_that_says_running_is_let_in_with_a_warning(lab: Lab) -> None:
    vm = lab.vm("cp")
    del vm["spec"]["runStrategy"]
    vm["spec"]["running"] = False
    warning = '299 - "spec.running is deprecated, please use spec.runStrategy instead."'
    assert warning in await lab.api.warned("POST", kubevirt(lab.namespace), vm)
    path = kubevirt(lab.namespace, name="cp")
    assert warning in await lab.api.warned("PATCH", path, {"metadata": {"labels": {"a": "b"}}}, MERGE)
    change = {"spec": {"running": None, "runStrategy": "Halted"}}
    assert warning not in await lab.api.warned("PATCH", path, change, MERGE)


def firmware(vm: Obj) -> Obj:
    found: Obj = vm["spec"]["template"]["spec"]["domain"].get("firmware") or {}
    return found


async def test_a_new_vm_gets_a_firmware_identity_of_its_own_unless_it_has_one(api: Api, lab: Lab) -> None:
    given = lab.vm("cp", strategy="Halted")
    made = firmware(await api.create(kubevirt(lab.namespace), given))
    assert made["uuid"] == firmware(given)["uuid"]
    assert str(uuid.UUID(made["serial"])) == made["serial"]
    found = set()
    for name, empty in (("wk", {}), ("other", {"uuid": "", "serial": ""})):
        vm = lab.vm(name, strategy="Halted")
        vm["spec"]["template"]["spec"]["domain"]["firmware"] = empty
        made = firmware(await api.create(kubevirt(lab.namespace), vm))
        found |= {str(uuid.UUID(made["uuid"])), str(uuid.UUID(made["serial"]))}
    assert len(found) == 4
    path = kubevirt(lab.namespace, name="wk")
    changed = await api.merge(path, {"spec": {"template": {"spec": {"domain": {"firmware": {"serial": "mine"}}}}}})
    assert firmware(changed)["serial"] == "mine"
