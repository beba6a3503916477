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
from pool.work.namespaces.manifests import guarded_labels
from tests.pool.builders import member, pool
from tests.pool.kubevirt.test_sources import SOURCES

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
EVERY = {"operator": "Exists"}
CHOSEN = pool(
    machines={
        "controlPlane": {"cpu": 4, "memory": "6Gi"},
        "worker": {"memory": "8Gi"},
        "cpuModel": "host-passthrough",
        "cpuRequest": "1500m",
        "nodeSelector": {"pool": "labs", "kubernetes.io/arch": "amd64"},
        "tolerations": [{"key": "labs", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}, EVERY],
        "priorityClassName": "labs",
    }
)
DEDICATED = pool(machines={"dedicatedCpus": True})


def machine_of(machine: Machine, of: Pool | None = None) -> dict[str, Any]:
    of = of or pool()
    return virtual_machine(machine, of, wanted_image(of), Settings())


@pytest.mark.parametrize("of", [pool(), FAST, CHOSEN, DEDICATED], ids=["defaults", "fast", "chosen", "dedicated"])
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
        *(("datavolumes.cdi.kubevirt.io", "v1beta1", image_disk(of, Settings())) for of in (FAST, *SOURCES.values())),
    ],
)
def test_other_manifests_are_valid(crd: str, version: str, manifest: dict[str, Any]) -> None:
    wanted = schema(crd, version)
    wanted["properties"]["metadata"] = {"type": "object"}
    jsonschema.validate(manifest, wanted)


def domain(vm: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = vm["spec"]["template"]["spec"]["domain"]
    return found


def test_vms_have_what_their_role_has_and_else_what_both_have() -> None:
    control_plane, worker = (domain(machine_of(machine, CHOSEN)) for machine in CLUSTER.machines)
    assert (control_plane["cpu"]["cores"], control_plane["memory"]["guest"]) == (4, "6Gi")
    assert (worker["cpu"]["cores"], worker["memory"]["guest"]) == (2, "8Gi")
    for one in (control_plane, worker):
        assert one["cpu"]["model"] == "host-passthrough"
        assert one["resources"] == {"requests": {"cpu": "1500m"}}


def test_vms_run_where_the_pool_says() -> None:
    spec = machine_of(CLUSTER.worker, CHOSEN)["spec"]["template"]["spec"]
    assert spec["nodeSelector"] == {"pool": "labs", "kubernetes.io/arch": "amd64"}
    assert spec["tolerations"] == [{"key": "labs", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}, EVERY]
    assert spec["priorityClassName"] == "labs"
    plain = machine_of(CLUSTER.worker)["spec"]["template"]["spec"]
    assert not plain.keys() & {"nodeSelector", "tolerations", "priorityClassName"}
    assert not domain(machine_of(CLUSTER.worker)).keys() & {"resources"}


def test_cores_are_pinned_if_the_pool_says_so() -> None:
    assert domain(machine_of(CLUSTER.worker, DEDICATED))["cpu"] == {"cores": 2, "dedicatedCpuPlacement": True}


def test_a_pair_likes_one_host_and_clusters_like_hosts_of_their_own() -> None:
    control_plane, worker = (machine_of(one)["spec"]["template"]["spec"]["affinity"] for one in CLUSTER.machines)
    (near,) = worker["podAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    labels = machine_of(CLUSTER.control_plane)["spec"]["template"]["metadata"]["labels"]
    assert near["podAffinityTerm"]["labelSelector"]["matchLabels"].items() <= labels.items()
    assert control_plane["podAffinity"] == worker["podAffinity"]
    assert "podAntiAffinity" not in worker
    (apart,) = control_plane["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    others = machine_of(member("cluster2").control_plane)["spec"]["template"]["metadata"]["labels"]
    assert apart["podAffinityTerm"]["labelSelector"]["matchLabels"].items() <= others.items()
    # Each cluster has a namespace of its own, with the cluster's labels.
    namespaces = apart["podAffinityTerm"]["namespaceSelector"]["matchLabels"]
    assert namespaces.items() <= guarded_labels(member("cluster2"), Settings()).items()
    assert apart["weight"] < near["weight"]


def test_consoles_are_logged_and_drains_are_never_blocked() -> None:
    spec = machine_of(CLUSTER.worker)["spec"]["template"]["spec"]
    assert spec["domain"]["devices"]["logSerialConsole"] is True
    assert spec["evictionStrategy"] == "LiveMigrateIfPossible"


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
