"""What the README says of the folders is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

HOME = REPOSITORY / "simulator"
PACKAGE = HOME / "src" / "simulator"
DOCUMENTS = [HOME / "README.md", HOME / "tests" / "contract" / "README.md"]


def test_every_room_is_explained() -> None:
    _, page = (HOME / "README.md").read_text().split("## Find your way")
    section = page.partition("\n## ")[0]
    folders = {path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("__init__.py")} - {"."}
    rooms = {one for one in folders if "/" not in one}
    assert set(re.findall(r"^\| `([a-z]+)/` \|", section, re.MULTILINE)) == rooms
    assert {one for one in folders - rooms if f"`{one.rpartition('/')[2]}/`" not in section} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.parent.name)
def test_links_lead_to_files_that_are_there(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", document.read_text()):
        if not target.startswith(("http:", "https:")):
            assert (document.parent / target).exists(), target


def test_the_contract_names_every_one_of_its_files() -> None:
    page = (HOME / "tests" / "contract" / "README.md").read_text()
    files = {path.stem for path in (HOME / "tests" / "contract").glob("test_*.py")}
    assert {one for one in files if f"`{one}`" not in page and f"`{one}.py`" not in page} == set()
