"""Label selectors: what they choose, and what kube-apiserver says of those that cannot be read."""

from __future__ import annotations

import pytest

from simulator.api.errors import ApiError
from simulator.api.reading.selectors import labels

LABELS = {"a": "b", "n": "5", "x.io/y": "", "in": "in"}


@pytest.mark.parametrize(
    ("selector", "chosen"),
    [
        ("", True),
        ("a", True),
        ("!a", False),
        ("! z", True),
        ("a=b", True),
        (" a == b ", True),
        ("a!=b", False),
        ("z!=b", True),
        ("a=", False),
        ("x.io/y=", True),
        ("a in (b,c)", True),
        ("a in(c)", False),
        ("x.io/y in ()", True),
        ("x.io/y in (,c)", True),
        ("z notin (b)", True),
        ("a notin (b)", False),
        ("in in (in)", True),
        ("n>4", True),
        ("n>5", False),
        ("n<6", True),
        ("a>1", False),
        ("a=b,n=5", True),
        ("a=b,!n", False),
    ],
)
def test_a_selector_chooses_by_all_of_its_requirements(selector: str, chosen: bool) -> None:
    assert labels(selector)({"metadata": {"labels": LABELS}}) is chosen


@pytest.mark.parametrize(
    ("selector", "told"),
    [
        (",", "found ',', expected: !, identifier, or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a===b", "unable to parse requirement: found '=', expected: identifier"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a in (b c)", "unable to parse requirement: found 'c', expected: ',' or ')'"),
        (
            "a>b",
            "unable to parse requirement: values[0]: Invalid value: \"b\": for 'Gt', 'Lt' operators, the value must",
        ),
        (
            "a=-b",
            'unable to parse requirement: values[0][a]: Invalid value: "-b": a valid label must be an empty string',
        ),
        ("-a", 'unable to parse requirement: <nil>: Invalid value: "-a": name part must consist of alphanumeric'),
        ("x/y/z", 'unable to parse requirement: <nil>: Invalid value: "x/y/z": a qualified name must consist of'),
    ],
)
def test_a_selector_that_cannot_be_read_is_a_bad_request(selector: str, told: str) -> None:
    with pytest.raises(ApiError) as refusal:
        labels(selector)
    assert (refusal.value.code, refusal.value.reason) == (400, "BadRequest")
    assert refusal.value.message.startswith(told)
