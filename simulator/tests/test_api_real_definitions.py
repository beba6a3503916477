"""The real definitions of KubeVirt, CDI and the CSI snapshotter, where they are at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from generators.fields import generate

from simulator import manifests
from simulator.api.definitions import crds
from simulator.api.validation import defaulting
from simulator.api.validation.custom import validate
from simulator.manifests import definitions
from tests.conftest import SHARED

CRDS = SHARED / "kubevirt" / "crds"
FILES = sorted(CRDS.glob("*.yaml"))
pytestmark = pytest.mark.skipif(not FILES, reason="the real definitions are not on this machine")


def definition(path: Path) -> Any:
    return yaml.load(path.read_text(), Loader=yaml.CSafeLoader)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_real_definition_is_accepted(path: Path) -> None:
    crd = definition(path)
    crds.prepare(crd, None)
    assert crds.faults(crd, None) == []
    assert crds.kind_of(crd).plural == crd["spec"]["names"]["plural"]


def shown(crd: Any) -> Any:
    """What a client sees of a definition: names, and of each served version its columns, status and warning."""
    names = {key: crd["spec"]["names"].get(key) or [] for key in ("kind", "shortNames", "categories")}
    versions = {
        version["name"]: (
            version["storage"],
            "status" in (version.get("subresources") or {}),
            version.get("deprecationWarning"),
            [
                (one["name"], one["type"], one["jsonPath"], one.get("priority", 0))
                for one in version["additionalPrinterColumns"]
            ],
        )
        for version in crd["spec"]["versions"]
        if version["served"]
    }
    return crd["spec"]["scope"], names, versions


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_simulators_kinds_are_named_and_shown_as_the_real_ones(path: Path) -> None:
    real = definition(path)
    [own] = [one for one in definitions() if one["metadata"]["name"] == real["metadata"]["name"]]
    assert shown(own) == shown(real)


def test_the_simulators_kinds_have_the_fields_of_the_real_ones() -> None:
    written = Path(manifests.__file__).with_name("fields.json").read_bytes()
    assert generate([definition(path) for path in FILES]) == json.loads(written)


@pytest.mark.skipif(not (CRDS / "virtualmachines.kubevirt.io.yaml").exists(), reason="no VirtualMachine definition")
def test_real_schema_judges_a_virtual_machine() -> None:
    crd = definition(CRDS / "virtualmachines.kubevirt.io.yaml")
    schema = crds.kind_of(crd).versions["v1"].schema
    assert schema is not None
    disks = [{"name": "root", "disk": {"bus": "virtio"}}]
    template = {"spec": {"domain": {"devices": {"disks": disks}, "typo": 1}}}
    vm = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": "x"},
        "spec": {"template": template},
    }
    removed: list[str] = []
    defaulting.prune(vm, schema, root=True, removed=removed)
    assert removed == ["spec.template.spec.domain.typo"]
    assert validate(vm, None, schema) == []
    vm["spec"] = {"template": {"spec": {}}}
    # The definition has CEL rules, so a second cause says that they were not checked.
    missing, *_ = validate(vm, None, schema)
    assert (missing.field, missing.message) == ("spec.template.spec.domain", "Required value")
