"""KubeVirt's, CDI's and the CSI snapshotter's kinds as clients see them: versions, short names, columns, warnings."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.api import Api
from tests.http_api import Obj

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
KUBEVIRT, SNAPSHOT = "kubevirt.io", "snapshot.kubevirt.io"
CDI, CSI = "cdi.kubevirt.io", "snapshot.storage.k8s.io"
DEPRECATED = "kubevirt.io/v1alpha3 is now deprecated and will be removed in a future release."

KINDS: list[tuple[str, str, list[str], list[str], list[str]]] = [
    # group, plural, short names, served versions, columns (those of wide output in brackets)
    (KUBEVIRT, "virtualmachines", ["vm", "vms"], ["v1", "v1alpha3"], ["Age", "Status", "Ready"]),
    (
        KUBEVIRT,
        "virtualmachineinstances",
        ["vmi", "vmis"],
        ["v1", "v1alpha3"],
        ["Age", "Phase", "IP", "NodeName", "Ready", "(Live-Migratable)", "(Paused)"],
    ),
    (
        SNAPSHOT,
        "virtualmachinesnapshots",
        ["vmsnapshot", "vmsnapshots"],
        ["v1beta1", "v1alpha1"],
        ["SourceKind", "SourceName", "Phase", "ReadyToUse", "CreationTime", "Error"],
    ),
    (
        SNAPSHOT,
        "virtualmachinesnapshotcontents",
        ["vmsnapshotcontent", "vmsnapshotcontents"],
        ["v1beta1", "v1alpha1"],
        ["ReadyToUse", "CreationTime", "Error"],
    ),
    (
        SNAPSHOT,
        "virtualmachinerestores",
        ["vmrestore", "vmrestores"],
        ["v1beta1", "v1alpha1"],
        ["TargetKind", "TargetName", "Complete", "RestoreTime"],
    ),
    (CDI, "datavolumes", ["dv", "dvs"], ["v1beta1"], ["Phase", "Progress", "Restarts", "Age"]),
    (
        CSI,
        "volumesnapshots",
        ["vs"],
        ["v1"],
        [
            "ReadyToUse",
            "SourcePVC",
            "SourceSnapshotContent",
            "RestoreSize",
            "SnapshotClass",
            "SnapshotContent",
            "CreationTime",
            "Age",
        ],
    ),
    (CSI, "volumesnapshotcontents", ["vsc", "vscs"], ["v1"], []),
    (CSI, "volumesnapshotclasses", ["vsclass", "vsclasses"], ["v1"], ["Driver", "DeletionPolicy", "Age"]),
]


async def resource(api: Api, group: str, version: str, plural: str) -> Obj:
    """What discovery says of a kind."""
    found = (await api.get(f"/apis/{group}/{version}"))["resources"]
    return next(one for one in found if one["name"] == plural)


@pytest.mark.parametrize(("group", "plural", "short", "versions", "columns"), KINDS, ids=lambda one: str(one)[:40])
async def test_a_kind_is_found_by_its_names_and_shown_in_its_columns(
    api: Api, group: str, plural: str, short: list[str], versions: list[str], columns: list[str]
) -> None:
    for version in versions:
        found = await resource(api, group, version, plural)
        assert found["shortNames"] == short
        assert ("all" in (found.get("categories") or [])) is (group != CSI)
        _, table = await api.call("GET", f"/apis/{group}/{version}/{plural}?limit=1", accept=TABLE)
        shown = [f"({one['name']})" if one["priority"] else one["name"] for one in table["columnDefinitions"]]
        assert shown[0] == "Name"
        assert shown[1:] == columns or not columns


@pytest.mark.parametrize("plural", ["virtualmachines", "virtualmachineinstances"])
async def test_a_deprecated_version_is_served_with_a_warning(api: Api, plural: str) -> None:
    assert await api.warnings(f"/apis/{KUBEVIRT}/v1alpha3/{plural}") == [f'299 - "{DEPRECATED}"']
    assert await api.warnings(f"/apis/{KUBEVIRT}/v1/{plural}") == []


async def test_a_snapshot_reads_the_same_in_both_its_versions(api: Api, namespace: str) -> None:
    source = {"apiGroup": KUBEVIRT, "kind": "VirtualMachine", "name": "none"}
    old, new = (
        f"/apis/{SNAPSHOT}/{version}/namespaces/{namespace}/{KINDS[2][1]}" for version in ("v1alpha1", "v1beta1")
    )
    body: dict[str, Any] = {"kind": "VirtualMachineSnapshot", "metadata": {"name": "one"}, "spec": {"source": source}}
    made = await api.create(old, {"apiVersion": f"{SNAPSHOT}/v1alpha1", **body})
    assert made["apiVersion"] == f"{SNAPSHOT}/v1alpha1"
    found = await api.get(f"{new}/one")
    assert found["apiVersion"] == f"{SNAPSHOT}/v1beta1"
    assert (found["metadata"]["uid"], found["spec"]["source"]) == (made["metadata"]["uid"], source)


async def test_a_vms_status_is_written_apart_and_an_instances_with_the_rest(api: Api) -> None:
    served = {one["name"] for one in (await api.get(f"/apis/{KUBEVIRT}/v1"))["resources"]}
    assert "virtualmachines/status" in served
    # Whoever may write an instance may write its status: there is no subresource for it.
    assert "virtualmachineinstances/status" not in served


def in_order(value: Any) -> bool:
    """Whether all maps in it have their keys sorted."""
    if isinstance(value, list):
        return all(in_order(one) for one in value)
    return not isinstance(value, dict) or (
        list(value) == sorted(value) and all(in_order(one) for one in value.values())
    )


async def test_custom_resources_come_with_their_keys_in_order(api: Api, namespace: str) -> None:
    root = f"/apis/snapshot.kubevirt.io/v1beta1/namespaces/{namespace}/virtualmachinesnapshots"
    source = {"name": "vm", "kind": "VirtualMachine", "apiGroup": "kubevirt.io"}
    meta = {"namespace": namespace, "name": "z", "labels": {"b": "", "a": ""}, "finalizers": ["contract/held"]}
    kind = {"kind": "VirtualMachineSnapshot", "apiVersion": "snapshot.kubevirt.io/v1beta1"}
    path = f"{root}/z"
    answers = [
        await api.create(root, {"spec": {"source": source, "deletionPolicy": "Delete"}, "metadata": meta, **kind})
    ]
    answers += [await api.get(path), await api.page(root), await api.page(root.replace("v1beta1", "v1alpha1"))]
    answers.append(await api.merge(path, {"metadata": {"annotations": {"b": "", "a": ""}, "labels": {"0": ""}}}))
    async for _, one in api.events(root):
        answers.append(one)
        break
    answers.append(await api.remove(path))
    await api.merge(path, {"metadata": {"finalizers": None}})
    assert [answer for answer in answers if not in_order(answer)] == []
