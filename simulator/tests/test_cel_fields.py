"""Rules judged by the schema they are written for, when a definition is made: in kube-apiserver's words and places."""

from __future__ import annotations

from typing import Any

import pytest

from simulator.api.definitions.schemafaults import faults

Obj = dict[str, Any]
SPEC = {
    "a": {"type": "string"},
    "n": {"type": "integer"},
    "b": {"type": "boolean"},
    "when": {"type": "string", "format": "date-time"},
    "maybe": {"type": "string", "nullable": True},
    "o": {"type": "object", "properties": {"x": {"type": "integer"}}},
    "m": {"type": "object", "additionalProperties": {"type": "string"}},
    "l": {"type": "array", "items": {"type": "object", "properties": {"k": {"type": "string"}}}},
    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    "any": {"x-kubernetes-int-or-string": True},
    "in-x": {"type": "string"},
}


def judged(rule: str, **more: str) -> list[str]:
    """What is said of a rule on that spec."""
    spec = {"type": "object", "properties": SPEC, "x-kubernetes-validations": [{"rule": rule, **more}]}
    return [one.message.partition(": ")[2] for one in faults({"type": "object", "properties": {"spec": spec}}, "s")]


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("self.foo > 1", "<input>:1:5: undefined field 'foo'\n | self.foo > 1\n | ....^"),
        ("has(self.foo)", "<input>:1:4: undefined field 'foo'\n | has(self.foo)\n | ...^"),
        ("self.o.y == 1", "<input>:1:7: undefined field 'y'\n | self.o.y == 1\n | ......^"),
        ("oldSelf.nope == self.a", "<input>:1:8: undefined field 'nope'\n | oldSelf.nope == self.a\n | .......^"),
        ("self.metadata.name == ''", "<input>:1:5: undefined field 'metadata'\n | self.metadata.name == ''\n | ....^"),
        ("self.free.foo == 'x'", "<input>:1:10: undefined field 'foo'\n | self.free.foo == 'x'\n | .........^"),
        (
            "self.a > 1",
            "<input>:1:8: found no matching overload for '_>_' applied to '(string, int)'\n | self.a > 1\n | .......^",
        ),
        (
            "self.n + 'x' == 'y'",
            "<input>:1:8: found no matching overload for '_+_' applied to '(int, string)'\n"
            " | self.n + 'x' == 'y'\n | .......^",
        ),
    ],
)
def test_a_rule_that_does_not_fit_its_schema_does_not_compile(rule: str, told: str) -> None:
    (said,) = judged(rule)
    assert said.endswith(f"compilation failed: ERROR: {told}")


@pytest.mark.parametrize("rule", ["1", "self.a", "self.n + 1"])
def test_a_rule_is_true_or_false(rule: str) -> None:
    (said,) = judged(rule)
    assert said.endswith("cel expression must evaluate to a bool")


@pytest.mark.parametrize(
    "rule",
    [
        "self.b",
        "self.a.size() > 1 && self.n > self.o.x",
        "self.n > 1.5",
        "self.m.foo == 'x'",
        "self.l.all(e, e.k != '')",
        "self.in__dash__x == ''",
        "self.when > timestamp('2026-01-01T00:00:00Z')",
        "self.maybe == null",
        "self.any == 1 || self.any == '1'",
        "has(self.o) && has(self.o.x)",
        "self.a == 'self.foo'",
        "self.?o.x.orValue(1) == 1",
        "self == oldSelf",
    ],
)
def test_what_fits_is_let_in(rule: str) -> None:
    assert judged(rule) == []


def test_what_a_rule_says_is_a_text() -> None:
    (said,) = judged("self.b", messageExpression="self.n")
    assert said.endswith("messageExpression must evaluate to a string")
    assert judged("self.b", messageExpression="'is ' + self.a") == []


def test_the_root_of_an_object_knows_what_it_is() -> None:
    rule = "self.metadata.name != self.kind && self.apiVersion != ''"
    assert list(faults({"type": "object", "x-kubernetes-validations": [{"rule": rule}]}, "s")) == []
