"""What is said of each step of first boot elsewhere: in the documents, and to whoever meets its refusal."""

from __future__ import annotations

from pathlib import Path

import pytest

from pool.guest.booting import ABOUT
from pool.guest.node_files import STEPS
from pool.kubevirt.cluster import Role
from tests.pool import builders
from tests.pool.guest.rendered import Kind

DOCS = Path(__file__).parents[3] / "docs"
SCRIPTS = {
    file.path.rpartition("/")[2]: file.content
    for file in Kind(Role.CONTROL_PLANE, everything=True).files(builders.member())
    if file.path.startswith(STEPS)
}
REFUSING = sorted(name for name, text in SCRIPTS.items() if "refuse '" in text or 'refuse "' in text)


def rows(page: str) -> dict[str, list[str]]:
    """The rows of a page's tables whose first cell names steps, by step."""
    found: dict[str, list[str]] = {}
    for line in (DOCS / page).read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        found |= {name: cells[1:] for name in SCRIPTS if line.startswith("|") and f"`{name}`" in cells[0]}
    return found


def test_the_page_on_nodes_says_of_each_step_what_it_does_and_whether_it_refuses() -> None:
    said = rows("nodes.md")
    assert list(said) == sorted(SCRIPTS)
    assert sorted(name for name, (_, _, refuses) in said.items() if refuses) == REFUSING


@pytest.mark.parametrize("name", sorted(set(SCRIPTS) - {"30-clock"}))
def test_the_runbook_has_a_cure_for_each_step_that_can_fail(name: str) -> None:
    assert rows("runbook.md").get(name)


def test_each_step_that_refuses_has_a_field_of_the_pool_to_change() -> None:
    assert set(REFUSING) <= set(ABOUT)
