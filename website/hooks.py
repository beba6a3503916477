"""How MkDocs makes the documents a site: READMEs beside the code are pages too, and links lead to pages or nowhere."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
BESIDE_THE_CODE = {
    "README.md": "index.md",
    "deployments/rbac/README.md": "rights.md",
    "deployments/templates/README.md": "templates.md",
    "deployments/components/monitoring/README.md": "alerts.md",
    "boot/README.md": "boot.md",
    "simulator/README.md": "simulator.md",
    "simulator/tests/contract/README.md": "contract.md",
    "benchmarks/README.md": "benchmarks.md",
    "CHANGELOG.md": "changelog.md",
}
"""Files of the repository that are pages, by the pages' names."""
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")


def on_config(config: MkDocsConfig) -> None:
    """Have the navigation list every decision under `Decisions`."""
    pages = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
    config.nav = [
        {"Decisions": ["adr/README.md", *[f"adr/{page.name}" for page in pages]]} if "Decisions" in entry else entry
        for entry in config.nav or []
    ]


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages that are not below `docs`."""
    for source, page in BESIDE_THE_CODE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Have links between files of the repository be links between pages."""
    return relinked(markdown, page.file.src_uri)


def relinked(markdown: str, page: str) -> str:
    """The page's text; a link to a file that is no page becomes its words, one to a file that is not there stays."""
    sources = {name: source for source, name in BESIDE_THE_CODE.items()}
    folder = posixpath.dirname(sources.get(page, f"docs/{page}"))

    def link(found: re.Match[str]) -> str:
        words, target, anchor = found[1], found[2], found[3] or ""
        if ":" in target:
            return found[0]
        source = posixpath.normpath(posixpath.join(folder, target))
        there = BESIDE_THE_CODE.get(source)
        if there is None and source.startswith("docs/"):
            there = source.removeprefix("docs/")
        if there is not None:
            return f"[{words}]({posixpath.relpath(there, posixpath.dirname(page) or '.')}{anchor})"
        return words if (ROOT / source).exists() else found[0]

    return LINK.sub(link, markdown)
