"""The committed CRDs are the models', and are structural as the API server demands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from cks_pool.crds import files, main
from pool.core.clusters import PooledCluster
from pool.core.crds import definitions
from pool.core.lifecycle import TRANSITIONS, ClusterPhase, SessionPhase
from pool.core.sessions import Session

COMMITTED = Path(__file__).resolve().parents[3] / "deployments" / "crds"
SCHEMAS = {
    crd["spec"]["names"]["kind"]: crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"] for crd in definitions()
}


def nodes(schema: dict[str, Any]) -> list[dict[str, Any]]:
    children = [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]
    return [schema, *(node for child in children for node in nodes(child))]


def test_committed_files_are_what_the_models_generate() -> None:
    assert {path.name: path.read_text() for path in COMMITTED.glob("cks.io_*.yaml")} == files()
    assert main(["--check", str(COMMITTED)]) == 0


def test_check_names_the_file_that_differs_and_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path)]) == 0
    (tmp_path / "cks.io_sessions.yaml").write_text("old")
    assert main(["--check", str(tmp_path)]) == 1
    assert "cks.io_sessions.yaml" in capsys.readouterr().err
    assert (tmp_path / "cks.io_sessions.yaml").read_text() == "old"


@pytest.mark.parametrize("kind", SCHEMAS)
def test_schemas_are_structural_and_described(kind: str) -> None:
    for node in nodes(SCHEMAS[kind]):
        assert "type" in node
        assert not node.keys() & {"$ref", "anyOf", "oneOf", "allOf", "const", "title", "exclusiveMinimum"}
        assert ("items" in node) == (node["type"] == "array")
    for part in ("spec", "status"):
        for node in nodes(SCHEMAS[kind]["properties"][part]):
            assert all(child.get("description") for child in node.get("properties", {}).values())


def test_phases_and_transitions_are_the_lifecycles() -> None:
    cluster, session = (SCHEMAS[kind]["properties"]["status"] for kind in ("PooledCluster", "Session"))
    assert cluster["properties"]["phase"]["enum"] == list(ClusterPhase)
    assert session["properties"]["phase"]["enum"] == list(SessionPhase)
    (rule,) = (r["rule"] for r in cluster["x-kubernetes-validations"] if "no such transition" in r["message"])
    assert {f"{a}>{b}" for a, b in TRANSITIONS} == set(rule.split("[")[1].split("'")[1::2])


@pytest.mark.parametrize(
    ("kind", "model", "obj"),
    [
        ("PooledCluster", PooledCluster, {"metadata": {"name": "c1"}, "spec": {"namespace": "c1"}}),
        ("Session", Session, {"metadata": {"name": "s1"}, "spec": {"ttlSeconds": 60}}),
    ],
)
def test_what_the_models_write_fits_their_schema(
    kind: str, model: type[PooledCluster | Session], obj: dict[str, Any]
) -> None:
    jsonschema.validate(model.from_object(obj).to_object(), SCHEMAS[kind])


@pytest.mark.parametrize("name", ["phase", "assignedSession", "expiresAt", "operation", "golden"])
def test_kubectl_get_pc_shows(name: str) -> None:
    (kind,) = (crd for crd in definitions() if crd["spec"]["names"]["kind"] == "PooledCluster")
    columns = kind["spec"]["versions"][0]["additionalPrinterColumns"]
    assert any(name in column["jsonPath"] for column in columns)
