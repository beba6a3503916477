"""What the documents say is so: links lead somewhere, tables are those of the code, commands exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import jsonschema
import pytest
import yaml

from cks_pool.about import settings_table
from cks_pool.deployed import FLOWS
from pool.core.crds import definitions
from pool.core.errors import __doc__ as error_tree
from pool.core.lifecycle import TRANSITIONS
from pool.core.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "deployments" / "rbac" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
YAML = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
MAKE_TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
class TestDocument:
    def test_links_lead_to_files_that_are_there(self, document: Path) -> None:
        for target in re.findall(r"\]\(([^)#\s]+)", document.read_text()):
            if not target.startswith(("http:", "https:")):
                assert (document.parent / target).exists(), f"{document.name} links to {target}"

    def test_make_commands_exist(self, document: Path) -> None:
        for target in re.findall(r"(?:^\$ |`)make ([a-z-]+)", document.read_text(), re.MULTILINE):
            assert target in MAKE_TARGETS, f"{document.name} says make {target}"

    def test_flows_that_are_named_exist(self, document: Path) -> None:
        for line in re.findall(r"cks-pool run ([a-z-]+)", document.read_text()):
            assert line in FLOWS


def test_the_settings_page_is_the_table_of_the_code() -> None:
    assert settings_table(Settings) in (ROOT / "docs" / "settings.md").read_text()


def test_the_architecture_page_has_every_phase_and_reason_of_the_lifecycle() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    for (source, target), reason in TRANSITIONS.items():
        assert f"| {source} | {target} | {reason} |" in page


def test_the_runbook_knows_every_failure_reason_it_names() -> None:
    page = (ROOT / "docs" / "runbook.md").read_text()
    for name in re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", page, re.MULTILINE):
        for reason in re.findall(r"`(\w+)`", name):
            if reason[0].isupper():
                assert reason in (error_tree or "")


def test_every_make_command_explains_itself() -> None:
    text = (ROOT / "Makefile").read_text()
    explained = set(re.findall(r"^([a-z-]+):.*## .+", text, re.MULTILINE))
    phony = set(shlex.split(re.findall(r"^\.PHONY: (.*)", text, re.MULTILINE)[0]))
    assert explained | {"clean"} >= phony


def test_the_resources_that_documents_show_are_as_the_crds_want_them() -> None:
    schemas = {crd["spec"]["names"]["kind"]: crd["spec"]["versions"][0]["schema"] for crd in definitions()}
    blocks = [block for path in DOCUMENTS for block in YAML.findall(path.read_text())]
    shown = [manifest for block in blocks for manifest in yaml.safe_load_all(block) if manifest["kind"] in schemas]
    assert shown, "the documents show no resource any more"
    for manifest in shown:
        schema = schemas[manifest["kind"]]["openAPIV3Schema"]
        jsonschema.validate(manifest, schema)
        assert manifest["spec"].keys() <= schema["properties"]["spec"]["properties"].keys()
