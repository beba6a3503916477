"""VM manifests against KubeVirt's own schemas, and what they must say for resets to work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from pool.core.pools import Pool
from pool.core.settings import Settings
from pool.kubevirt.cluster import Machine
from pool.kubevirt.manifests import image_disk, restore, snapshot, virtual_machine, wanted_image
from tests.pool.builders import member, pool

SHARED = Path(__file__).resolve().parents[4] / "shared"
CLUSTER = member()


def schema(crd: str, version: str) -> dict[str, Any]:
    file = SHARED / "kubevirt" / "crds" / f"{crd}.yaml"
    if not file.exists():
        pytest.skip(f"KubeVirt's CRDs are not on this machine: {file.name}")
    versions = yaml.load(file.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["spec"]["versions"]
    found: dict[str, Any] = next(v["schema"]["openAPIV3Schema"] for v in versions if v["name"] == version)
    return strict(found)


def strict(node: Any) -> Any:
    """The schema with unknown fields refused, as the API server does with fieldValidation=Strict."""
    if isinstance(node, dict):
        node = {key: strict(value) for key, value in node.items()}
        if "properties" in node and not node.get("x-kubernetes-preserve-unknown-fields"):
            node.setdefault("additionalProperties", False)
        if node.get("x-kubernetes-int-or-string"):
            node.pop("type", None)
    return [strict(item) for item in node] if isinstance(node, list) else node


FAST = pool(machines={"storage_class": "fast", "cpu": 4, "memory": "8Gi"})


def machine_of(machine: Machine, of: Pool | None = None) -> dict[str, Any]:
    of = of or pool()
    return virtual_machine(machine, of, wanted_image(of), Settings())


@pytest.mark.parametrize("of", [pool(), FAST], ids=["defaults", "fast"])
def test_virtual_machines_are_valid(of: Pool) -> None:
    wanted = schema("virtualmachines.kubevirt.io", "v1")
    # metadata is described by the API server, not by the CRD.
    wanted["properties"]["metadata"] = {"type": "object"}
    for template in (
        wanted["properties"]["spec"]["properties"]["dataVolumeTemplates"]["items"],
        wanted["properties"]["spec"]["properties"]["template"],
    ):
        template["properties"]["metadata"] = {"type": "object"}
    for machine in CLUSTER.machines:
        jsonschema.validate(machine_of(machine, of), wanted)


@pytest.mark.parametrize(
    ("crd", "version", "manifest"),
    [
        (
            "virtualmachinesnapshots.snapshot.kubevirt.io",
            "v1beta1",
            snapshot(CLUSTER.worker, "wk-snap", Settings()),
        ),
        ("virtualmachinerestores.snapshot.kubevirt.io", "v1beta1", restore(CLUSTER.worker, "wk-snap", "r1")),
        ("datavolumes.cdi.kubevirt.io", "v1beta1", image_disk(FAST, Settings())),
    ],
)
def test_other_manifests_are_valid(crd: str, version: str, manifest: dict[str, Any]) -> None:
    wanted = schema(crd, version)
    wanted["properties"]["metadata"] = {"type": "object"}
    jsonschema.validate(manifest, wanted)


def test_labels_are_on_everything_that_comes_of_a_vm() -> None:
    vm = machine_of(CLUSTER.control_plane)
    expected = {
        "cks.io/cluster-id": "cluster1",
        "cks.io/cluster-uid": "uid-cluster1",
        "cks.io/pool": "default",
        "cks.io/pool-uid": "uid-default",
        "cks.io/vm-role": "control-plane",
    }
    assert vm["metadata"]["labels"] == expected
    assert vm["spec"]["template"]["metadata"]["labels"] == expected
    assert vm["spec"]["dataVolumeTemplates"][0]["metadata"]["labels"] == expected


def test_identity_of_a_vm_never_changes() -> None:
    first, second = (machine_of(CLUSTER.worker) for _ in range(2))
    assert first == second
    other = machine_of(member("cluster2").worker)
    for path in (("domain", "firmware", "uuid"), ("domain", "devices", "interfaces")):
        one, two = first["spec"]["template"]["spec"], other["spec"]["template"]["spec"]
        for key in path:
            one, two = one[key], two[key]
        assert one != two


def test_mac_addresses_are_locally_administered_unicast() -> None:
    for machine in CLUSTER.machines:
        assert int(machine.mac_address[:2], 16) & 0b11 == 0b10


def test_restores_use_new_names_and_fail_rather_than_wait() -> None:
    spec = restore(CLUSTER.worker, "wk-snap", "run-1")["spec"]
    assert spec["targetReadinessPolicy"] == "FailImmediate"
    # Unset is RandomizeNames: the other policies leak disks, or restore nothing the second time.
    assert "volumeRestorePolicy" not in spec
