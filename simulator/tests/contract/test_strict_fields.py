"""Fields that KubeVirt's kinds do not have: refused, warned of or dropped, as the writer wishes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.api import MERGE, Api
from tests.http_api import Obj

SOURCE = {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": "vm"}
VM_SPEC: Obj = {
    "runStrategy": "Halted",
    "template": {"spec": {"domain": {"devices": {"disks": [{"name": "root", "disk": {"bus": "virtio"}}]}}}},
}
VM_SPEC["template"]["spec"]["volumes"] = [{"name": "root", "persistentVolumeClaim": {"claimName": "root"}}]
KINDS: dict[str, tuple[str, str, Obj]] = {
    "VirtualMachine": ("kubevirt.io/v1", "virtualmachines", VM_SPEC),
    "VirtualMachineSnapshot": ("snapshot.kubevirt.io/v1beta1", "virtualmachinesnapshots", {"source": SOURCE}),
    "VirtualMachineRestore": (
        "snapshot.kubevirt.io/v1beta1",
        "virtualmachinerestores",
        {"target": SOURCE, "virtualMachineSnapshotName": "snap"},
    ),
}


def root(kind: str, namespace: str) -> str:
    version, plural, _ = KINDS[kind]
    return f"/apis/{version}/namespaces/{namespace}/{plural}"


def of(kind: str, **spec: Any) -> Obj:
    version, _, own = KINDS[kind]
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "vm"}, "spec": {**own, **spec}}


def in_domain(**more: Any) -> Obj:
    """A VM with more in its domain."""
    vm = of("VirtualMachine")
    inside = VM_SPEC["template"]["spec"]
    vm["spec"]["template"] = {"spec": {**inside, "domain": {**inside["domain"], **more}}}
    return vm


@pytest.mark.parametrize("kind", KINDS)
async def test_a_strict_writer_is_told_of_unknown_fields(api: Api, namespace: str, kind: str) -> None:
    code, answer = await api.call("POST", f"{root(kind, namespace)}?fieldValidation=Strict", of(kind, x=1, y={"z": 1}))
    assert (code, answer["reason"]) == (400, "BadRequest")
    version = KINDS[kind][0].split("/")[1]
    assert answer["message"] == (
        f'{kind} in version "{version}" cannot be handled as a {kind}: strict decoding error: '
        'unknown field "spec.x", unknown field "spec.y"'
    )
    code, _ = await api.call("POST", f"{root(kind, namespace)}?fieldValidation=Strict&dryRun=All", of(kind))
    assert code == 201


async def test_unknown_fields_are_found_deep_in_a_template_and_in_lists(api: Api, namespace: str) -> None:
    path = f"{root('VirtualMachine', namespace)}?fieldValidation=Strict"
    _, answer = await api.call("POST", path, in_domain(memry={"guest": "1Gi"}))
    assert answer["message"].endswith('strict decoding error: unknown field "spec.template.spec.domain.memry"')
    _, answer = await api.call("POST", path, in_domain(devices={"disks": [{"name": "root", "dsk": {}}]}))
    assert answer["message"].endswith('unknown field "spec.template.spec.domain.devices.disks[0].dsk"')


async def test_metadata_of_a_template_may_be_anything(api: Api, namespace: str) -> None:
    vm = of("VirtualMachine")
    vm["spec"]["template"] = {**VM_SPEC["template"], "metadata": {"labels": {"a": "b"}}}
    path = f"{root('VirtualMachine', namespace)}?fieldValidation=Strict&dryRun=All"
    code, made = await api.call("POST", path, vm)
    assert (code, made["spec"]["template"]["metadata"]["labels"]) == (201, {"a": "b"})


@pytest.mark.parametrize("query", ["", "?fieldValidation=Warn"])
@pytest.mark.parametrize("kind", KINDS)
async def test_others_are_warned_and_the_field_is_dropped(api: Api, namespace: str, kind: str, query: str) -> None:
    warned = await api.warned("POST", root(kind, namespace) + query, of(kind, x=1))
    assert warned == ['299 - "unknown field \\"spec.x\\""']
    assert "x" not in (await api.get(f"{root(kind, namespace)}/vm"))["spec"]


@pytest.mark.parametrize("kind", KINDS)
async def test_who_does_not_care_is_told_nothing(api: Api, namespace: str, kind: str) -> None:
    path = f"{root(kind, namespace)}?fieldValidation=Ignore"
    assert await api.warned("POST", path, of(kind, x=1)) == []
    assert "x" not in (await api.get(f"{root(kind, namespace)}/vm"))["spec"]


async def test_a_strict_update_or_patch_is_refused_as_well(api: Api, namespace: str) -> None:
    made = await api.create(root("VirtualMachine", namespace), of("VirtualMachine"))
    path = f"{root('VirtualMachine', namespace)}/vm"
    code, answer = await api.call("PUT", f"{path}?fieldValidation=Strict", {**made, "spec": {**made["spec"], "x": 1}})
    assert (code, answer["message"]) == (
        400,
        'VirtualMachine in version "v1" cannot be handled as a VirtualMachine: strict decoding error: '
        'unknown field "spec.x"',
    )
    patch = {"spec": {"x": 1}}
    code, answer = await api.call("PATCH", f"{path}?fieldValidation=Strict", patch, content_type=MERGE)
    assert (code, answer["reason"]) == (422, "Invalid")
    assert answer["message"].startswith(' "" is invalid: patch: Invalid value: "{\\"apiVersion\\":\\"kubevirt.io/v1\\"')
    assert answer["message"].endswith('strict decoding error: unknown field "spec.x"')
    warned = await api.warned("PATCH", path, patch, MERGE)
    assert warned == ['299 - "unknown field \\"spec.x\\""']
