"""What the documents say is so: links lead somewhere, tables are those of the code, commands exist."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path

import jsonschema
import pytest
import yaml
from starlette.routing import BaseRoute, Match

from cks_pool.about import settings_table
from cks_pool.app import COMMANDS, app
from cks_pool.deployed import FLOWS
from cks_pool.secrets import DATABASE, FIRST, PREFECT, TLS, TOKENS
from gateway.app import build
from gateway.settings import GatewaySettings
from pool.core.crds import definitions
from pool.core.errors import __doc__ as error_tree
from pool.core.lifecycle import TRANSITIONS
from pool.core.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "deployments" / "rbac" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
YAML = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
OURS = re.compile(r"^\$ (?:\w+=\S+ |kubectl .* -- )*cks-pool ([^#|>\n]+)", re.MULTILINE)
NAMED = re.compile(r"\b(secret|deployment|statefulset|service|job)[ /](cks-pool[-\w]*)")
MINE = "deployments/overlays/mine"
"""An overlay of one's own, which documents have their reader write."""
CALL = re.compile(r"^\$ (?:curl|api) (.*?)\$GATEWAY(/[\w./-]+)(.*)", re.MULTILINE)
MAKE_TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@cache
def installed() -> dict[str, set[str]]:
    """Names in the manifests by kind; of Secrets those that the setup Job makes."""
    found: dict[str, set[str]] = {"secret": {TLS, FIRST, TOKENS, PREFECT, DATABASE}}
    for path in [path for folder in ("base", "components") for path in (ROOT / "deployments" / folder).rglob("*.yaml")]:
        for one in yaml.safe_load_all(path.read_text()):
            if isinstance(one, dict) and "metadata" in one:
                found.setdefault(one["kind"].lower(), set()).add(one["metadata"]["name"])
    return found


@cache
def routes() -> list[BaseRoute]:
    """What the gateway serves."""
    return build(GatewaySettings()).routes


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
class TestDocument:
    def test_links_lead_to_files_that_are_there(self, document: Path) -> None:
        for target in re.findall(r"\]\(([^)#\s]+)", document.read_text()):
            if not target.startswith(("http:", "https:")):
                assert (document.parent / target).exists(), f"{document.name} links to {target}"

    def test_make_commands_exist(self, document: Path) -> None:
        for target in re.findall(r"(?:^\$ |`)make ([a-z-]+)", document.read_text(), re.MULTILINE):
            assert target in MAKE_TARGETS, f"{document.name} says make {target}"

    def test_our_commands_are_ones_that_it_takes(self, document: Path) -> None:
        if document.name == "command.md":
            pytest.skip("written from the command, with examples that its own tests parse")
        for words in OURS.findall(document.read_text()):
            app.parse_args(shlex.split(words), exit_on_error=False, print_error=False)
        for name in re.findall(r"`cks-pool ([a-z]+)", document.read_text()):
            assert name in {command.name for command in COMMANDS}, f"{document.name} says cks-pool {name}"

    def test_what_kubectl_is_told_to_apply_is_there(self, document: Path) -> None:
        for block in CONSOLE.findall(document.read_text()):
            for path in re.findall(r" -[kf] (\S+/\S*)", block):
                assert path == MINE or (ROOT / path).exists(), f"{document.name} says {path}"

    def test_what_kubectl_is_asked_for_is_in_the_manifests(self, document: Path) -> None:
        for kind, name in NAMED.findall(document.read_text()):
            assert name in installed()[kind], f"{document.name} says {kind} {name}"

    def test_calls_of_the_api_are_served(self, document: Path) -> None:
        for before, path, after in CALL.findall(document.read_text()):
            said = re.search(r"-X ([A-Z]+)", before + after)
            method = said[1] if said else "POST" if "--json" in before + after else "GET"
            scope = {"type": "http", "method": method, "path": path, "headers": []}
            assert any(route.matches(scope)[0] is Match.FULL for route in routes()), f"{method} {path}"

    def test_flows_that_are_named_exist(self, document: Path) -> None:
        for line in re.findall(r"cks-pool run ([a-z-]+)", document.read_text()):
            assert line in FLOWS


def test_the_settings_page_is_the_table_of_the_code() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    assert settings_table(Settings) in page
    assert settings_table(GatewaySettings) in page


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
