"""The three kinds of patches, and quantities, as tables."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from simulator.api.builtin.kinds import only
from simulator.api.errors import ApiError
from simulator.api.quantities import quantity, seconds_of, written
from simulator.api.writing import patching, strategic

Obj = dict[str, Any]


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": 1}, {"a": None}, {}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": None}}, {"a": {"c": 2}}),
        ({"a": [1]}, {"a": [2]}, {"a": [2]}),
        ({"a": [1]}, {"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
        ({}, {"a": {"b": {"c": None}}}, {"a": {"b": {}}}),
    ],
)
def test_merge_patch(target: Obj, patch: Obj, result: Obj) -> None:
    before = repr(target)
    assert patching.merge(target, patch) == result
    assert repr(target) == before


def test_json_patch_applies_all_operations() -> None:
    operations = [
        {"op": "test", "path": "/a/0", "value": 1},
        {"op": "add", "path": "/a/-", "value": 2},
        {"op": "remove", "path": "/b"},
        {"op": "replace", "path": "/c~1d", "value": 4},
    ]
    assert patching.json_patch({"a": [1], "b": 1, "c/d": 3}, operations) == {"a": [1, 2], "c/d": 4}


@pytest.mark.parametrize(
    "operations",
    [
        [{"op": "test", "path": "/a", "value": 2}],
        [{"op": "remove", "path": "/missing"}],
        [{"op": "add", "path": "/missing/x", "value": 1}],
        [{"op": "nonsense", "path": "/a"}],
    ],
)
def test_json_patch_that_does_not_apply_is_unprocessable(operations: list[Obj]) -> None:
    with pytest.raises(ApiError) as caught:
        patching.json_patch({"a": 1}, operations)
    assert (caught.value.code, caught.value.reason) == (422, "Invalid")


PODS = only(["pods"])[0]


def containers(*items: Obj) -> Obj:
    return {"spec": {"containers": list(items)}}


@pytest.mark.parametrize(
    ("current", "patch", "result"),
    [
        (
            containers({"name": "a", "image": "1"}, {"name": "b"}),
            containers({"name": "a", "image": "2"}),
            containers({"name": "a", "image": "2"}, {"name": "b"}),
        ),
        (containers({"name": "a"}), containers({"name": "b"}), containers({"name": "a"}, {"name": "b"})),
        (
            containers({"name": "a"}, {"name": "b"}),
            containers({"name": "a", "$patch": "delete"}),
            containers({"name": "b"}),
        ),
        (containers({"name": "a"}), containers({"$patch": "replace"}, {"name": "z"}), containers({"name": "z"})),
        (
            containers({"name": "a"}, {"name": "b"}),
            {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}},
            containers({"name": "b"}, {"name": "a"}),
        ),
        (
            containers({"name": "a", "args": ["1", "2"]}),
            containers({"name": "a", "args": ["3"]}),
            containers({"name": "a", "args": ["3"]}),
        ),
        (
            {"metadata": {"finalizers": ["a/a"]}},
            {"metadata": {"finalizers": ["b/b"]}},
            {"metadata": {"finalizers": ["a/a", "b/b"]}},
        ),
        (
            {"metadata": {"finalizers": ["a/a", "b/b"]}},
            {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/a"]}},
            {"metadata": {"finalizers": ["b/b"]}},
        ),
        ({"spec": {"a": 1, "nodeName": "x"}}, {"spec": {"$retainKeys": ["nodeName"]}}, {"spec": {"nodeName": "x"}}),
        ({"metadata": {"labels": {"a": "1"}}}, {"metadata": {"labels": {"a": None}}}, {"metadata": {"labels": {}}}),
        (
            {"metadata": {"labels": {"a": "1"}}},
            {"metadata": {"labels": {"$patch": "replace", "b": "2"}}},
            {"metadata": {"labels": {"b": "2"}}},
        ),
    ],
)
def test_strategic_merge_patch(current: Obj, patch: Obj, result: Obj) -> None:
    before = repr(current)
    assert strategic.patched(current, patch, PODS) == result
    assert repr(current) == before


@pytest.mark.parametrize(
    ("text", "number"),
    [("10Gi", 10 * 2**30), ("500m", Decimal("0.5")), ("1e3", 1000), ("1.5k", 1500), ("2", 2), ("0.1", Decimal("0.1"))],
)
def test_quantity(text: str, number: int | Decimal) -> None:
    assert quantity(text) == number


@pytest.mark.parametrize("text", ["", "x", "1GiB", "1 Gi"])
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="quantities must match"):
        quantity(text)


@pytest.mark.parametrize(
    ("number", "like", "text"),
    [(10 * 2**30, "1Gi", "10Gi"), (1536 * 2**20, "1Gi", "1536Mi"), (2, "4", "2"), (0, "1Gi", "0")],
)
def test_quantity_is_written_in_the_unit_of_its_limit(number: int, like: str, text: str) -> None:
    assert written(Decimal(number), like) == text


def test_durations_are_those_of_go() -> None:
    assert seconds_of("1h30m0.5s") == 5400.5
    with pytest.raises(ValueError, match="invalid duration"):
        seconds_of("5")
