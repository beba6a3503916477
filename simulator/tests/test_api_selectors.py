"""Label and field selectors as tables."""

from __future__ import annotations

import pytest

from simulator.api.errors import ApiError
from simulator.api.reading import selectors

OBJECT = {
    "metadata": {"name": "x", "namespace": "n", "labels": {"app": "web", "tier": "", "a.b/c": "1"}},
    "status": {"phase": "Running", "ready": True, "count": 3},
}


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app=db", False),
        ("app!=db", True),
        ("app!=web", False),
        ("missing!=x", True),
        ("app", True),
        ("missing", False),
        ("!missing", True),
        ("!app", False),
        ("tier=", True),
        ("app in (web,db)", True),
        ("app in (db)", False),
        ("app notin (db, cache)", True),
        ("app notin (web)", False),
        ("missing notin (web)", True),
        ("app in (web),a.b/c=1", True),
        ("app=web,missing", False),
        (" app = web , !missing ", True),
    ],
)
def test_label_selector(selector: str, matches: bool) -> None:
    assert selectors.labels(selector)(OBJECT) is matches


@pytest.mark.parametrize("selector", ["app in", "a b", "=x", "(x)"])
def test_unreadable_label_selector_is_a_bad_request(selector: str) -> None:
    with pytest.raises(ApiError) as caught:
        selectors.labels(selector)
    assert caught.value.code == 400


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("metadata.name=x", True),
        ("metadata.name!=x", False),
        ("metadata.name==x,status.phase=Running", True),
        ("status.phase=Pending", False),
        ("status.ready=true", True),
        ("status.count=3", True),
        ("status.missing=", True),
    ],
)
def test_field_selector(selector: str, matches: bool) -> None:
    known = ("metadata.name", "status.phase", "status.ready", "status.count", "status.missing")
    assert selectors.fields(selector, known)(OBJECT) is matches


def test_field_that_is_not_selectable_is_named() -> None:
    with pytest.raises(ApiError, match=r"field label not supported: spec\.x"):
        selectors.fields("spec.x=1", ("metadata.name",))
