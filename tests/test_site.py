"""The documents as a site: built strictly, every link leads somewhere, and a page fetches nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from website.__main__ import DOCS, GENERATED, filled
from website.hooks import relinked

ROOT = Path(__file__).resolve().parent.parent
FETCHING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "object": "data"}
FETCHED_LINKS = {"stylesheet", "icon", "preconnect", "preload", "dns-prefetch", "modulepreload", "manifest"}

# One process builds it once; a busy machine takes a minute for it.
pytestmark = [pytest.mark.xdist_group("site"), pytest.mark.timeout(300)]


@dataclass
class Seen(HTMLParser):
    """What a page fetches by itself, where its links lead, and the places that links can name."""

    fetched: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    classes: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.anchors.add(found.get("id", ""))
        self.classes.update(found.get("class", "").split())
        if tag == "link" and FETCHED_LINKS & set(found.get("rel", "").split()):
            self.fetched.append(found["href"])
        if (source := found.get(FETCHING.get(tag, ""))) is not None:
            self.fetched.append(source)
        if tag == "a" and "href" in found:
            self.links.append(found["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    # Said of the theme to a person who installs it, not of these documents.
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=250, check=False)
    assert built.returncode == 0, built.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Seen]:
    pages = {}
    for path in sorted(site.rglob("*.html")):
        pages[path] = Seen()
        pages[path].feed(path.read_text())
    return pages


def test_pages_fetch_nothing_from_elsewhere(site: Path, pages: dict[Path, Seen]) -> None:
    for path, page in pages.items():
        assert [source for source in page.fetched if urlsplit(source).netloc] == [], path.name
        # The theme's script fetches what draws these from a CDN.
        assert "mermaid" not in page.classes, f"{path.name}: draw it as an SVG"
    for style in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", style.read_text()), style.name


def test_every_link_within_the_site_leads_somewhere(pages: dict[Path, Seen]) -> None:
    for path, page in pages.items():
        # Served for addresses at any depth, its links are absolute.
        if path.name == "404.html":
            continue
        for link in page.links:
            target = urlsplit(link)
            if target.scheme or target.netloc:
                continue
            there = (path.parent / unquote(target.path)).resolve() if target.path else path
            there = there / "index.html" if there.is_dir() else there
            assert there.exists(), f"{path.name} links to {link}"
            if target.fragment and there in pages:
                assert unquote(target.fragment) in pages[there].anchors, f"{path.name} links to {link}"


@pytest.mark.parametrize("name", GENERATED)
def test_generated_parts_are_what_the_code_says(name: str) -> None:
    page = (DOCS / name).read_text()
    assert filled(page, GENERATED[name]()) == page, f"docs/{name} is not up to date: make docs"


class TestLinksOfPages:
    def test_between_documents_they_stay(self) -> None:
        assert relinked("[a](runbook.md#b)", "nodes.md") == "[a](runbook.md#b)"

    def test_to_a_readme_beside_the_code_they_lead_to_its_page(self) -> None:
        assert relinked("[a](../../boot/README.md)", "adr/0001-x.md") == "[a](../boot.md)"

    def test_from_a_readme_they_lead_from_its_page(self) -> None:
        assert relinked("[a](../../docs/nodes.md#b)", "rights.md") == "[a](nodes.md#b)"

    def test_to_code_they_become_words(self) -> None:
        assert relinked("[`pool/`](pool)", "index.md") == "`pool/`"

    def test_to_nothing_they_stay_for_the_strict_build_to_refuse(self) -> None:
        assert relinked("[a](nowhere.md)", "nodes.md") == "[a](nowhere.md)"

    def test_to_other_sites_they_stay(self) -> None:
        assert relinked("[a](https://example.com)", "nodes.md") == "[a](https://example.com)"
