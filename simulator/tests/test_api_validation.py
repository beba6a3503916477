"""What the API server says about custom resources that break their schema, in its own words."""

from __future__ import annotations

from typing import Any

import pytest

from simulator.api import schema
from simulator.api.definitions.schemafaults import faults
from simulator.api.validation import defaulting
from simulator.api.validation.custom import validate

Obj = dict[str, Any]


def of(properties: Obj, **more: Any) -> schema.Schema:
    return schema.read({"type": "object", "properties": properties, **more})


def said(obj: Obj, tree: schema.Schema, old: Obj | None = None) -> list[str]:
    return [f"{cause.field}: {cause.message}" for cause in validate(obj, old, tree)]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ({"type": "integer"}, "x", 'a: Invalid value: "string": a in body must be of type integer: "string"'),
        ({"type": "string"}, 1, 'a: Invalid value: "integer": a in body must be of type string: "integer"'),
        ({"type": "string"}, None, 'a: Invalid value: "null": a in body must be of type string: "null"'),
        ({"type": "boolean"}, "true", 'a: Invalid value: "string": a in body must be of type boolean: "string"'),
        (
            {"type": "array", "items": {"type": "string"}},
            {},
            'a: Invalid value: "object": a in body must be of type array: "object"',
        ),
        ({"type": "string", "enum": ["x", "y"]}, "z", 'a: Unsupported value: "z": supported values: "x", "y"'),
        ({"type": "string", "pattern": "^[a-z]+$"}, "A", "a: Invalid value: \"A\": a in body should match '^[a-z]+$'"),
        ({"type": "string", "maxLength": 2}, "abc", "a: Too long: may not be more than 2 bytes"),
        ({"type": "string", "minLength": 2}, "a", 'a: Invalid value: "a": a in body should be at least 2 chars long'),
        ({"type": "integer", "minimum": 1}, 0, "a: Invalid value: 0: a in body should be greater than or equal to 1"),
        ({"type": "integer", "maximum": 5}, 6, "a: Invalid value: 6: a in body should be less than or equal to 5"),
        (
            {"type": "number", "exclusiveMinimum": True, "minimum": 0},
            0,
            "a: Invalid value: 0: a in body should be greater than 0",
        ),
        ({"type": "integer", "multipleOf": 2}, 3, "a: Invalid value: 3: a in body should be a multiple of 2"),
        (
            {"type": "string", "format": "date-time"},
            "soon",
            'a: Invalid value: "soon": a in body must be of type date-time: "soon"',
        ),
        ({"type": "string", "format": "uuid"}, "x", 'a: Invalid value: "x": a in body must be of type uuid: "x"'),
        (
            {"type": "array", "maxItems": 1, "items": {"type": "string"}},
            ["a", "b"],
            "a: Too many: 2: must have at most 1 items",
        ),
        (
            {"type": "array", "minItems": 1, "items": {"type": "string"}},
            [],
            "a: Invalid value: []: a in body should have at least 1 items",
        ),
        (
            {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            ["a", "a"],
            'a[1]: Duplicate value: "a"',
        ),
        (
            {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["n"],
                "items": {"type": "object", "properties": {"n": {"type": "string"}}},
            },
            [{"n": "x"}, {"n": "x"}],
            'a[1]: Duplicate value: {"n":"x"}',
        ),
        (
            {"x-kubernetes-int-or-string": True},
            [],
            'a: Invalid value: "array": a in body must be of type integer,string: "array"',
        ),
        ({"type": "object", "properties": {"b": {"type": "string"}}, "required": ["b"]}, {}, "a.b: Required value"),
        (
            {"type": "array", "items": {"type": "object", "required": ["b"], "properties": {"b": {"type": "string"}}}},
            [{}],
            "a[0].b: Required value",
        ),
        (
            {"type": "object", "additionalProperties": {"type": "integer"}},
            {"k": "v"},
            'a.k: Invalid value: "string": a.k in body must be of type integer: "string"',
        ),
        (
            {"type": "string", "anyOf": [{"pattern": "^a"}, {"pattern": "^b"}]},
            "c",
            'a: Invalid value: "c": "a" must validate at least one schema (anyOf)',
        ),
        (
            {"type": "string", "not": {"enum": ["x"]}},
            "x",
            'a: Invalid value: "x": "a" must not validate the schema (not)',
        ),
    ],
)
def test_message(field: Obj, value: Any, message: str) -> None:
    assert said({"a": value}, of({"a": field})) == [message]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ({"type": "string", "nullable": True}, None),
        ({"type": "integer"}, 3.0),
        ({"x-kubernetes-int-or-string": True}, "50%"),
        ({"type": "string", "format": "date-time"}, "2026-01-02T03:04:05.678Z"),
        ({"type": "string", "format": "unknown"}, "anything"),
        ({"type": "object", "x-kubernetes-preserve-unknown-fields": True}, {"x": [1]}),
    ],
)
def test_accepted(field: Obj, value: Any) -> None:
    assert said({"a": value}, of({"a": field})) == []


def test_what_did_not_change_is_not_judged_again() -> None:
    tree = of({"a": {"type": "string", "enum": ["x"]}, "b": {"type": "integer"}})
    assert said({"a": "old", "b": 2}, tree, {"a": "old", "b": 1}) == []
    assert len(said({"a": "new", "b": 2}, tree, {"a": "old", "b": 1})) == 1


AT = {"type": "string", "format": "date-time"}


def rule(text: str, **more: Any) -> Obj:
    return {"rule": text, **more}


def test_rule_that_does_not_hold_says_its_message_and_the_type() -> None:
    tree = of({"a": {"type": "integer"}}, **{"x-kubernetes-validations": [rule("self.a > 1", message="too small")]})
    assert said({"a": 1}, tree) == ['<nil>: Invalid value: "object": too small']
    assert said({"a": 2}, tree) == []


def test_rule_without_message_is_quoted() -> None:
    tree = of({"a": {"type": "integer", "x-kubernetes-validations": [rule("self > 1")]}})
    assert said({"a": 1}, tree) == ['a: Invalid value: "integer": failed rule: self > 1']


def test_message_expression_wins() -> None:
    made = rule("self > 1", messageExpression="'got ' + string(self)")
    assert said({"a": 0}, of({"a": {"type": "integer", "x-kubernetes-validations": [made]}})) == [
        'a: Invalid value: "integer": got 0'
    ]


@pytest.mark.parametrize("expression", ["'  '", "'two\\nlines'", "self.missing"])
def test_plain_message_stands_in_for_an_expression_that_gives_none(expression: str) -> None:
    made = rule("self.a > 1", messageExpression=expression, message="too small")
    tree = of({"a": {"type": "integer"}}, **{"x-kubernetes-validations": [made]})
    assert said({"a": 0}, tree) == ['<nil>: Invalid value: "object": too small']


def test_messages_see_times_and_what_was() -> None:
    text = "'%s is before %s'.format([string(self.t), string(oldSelf.t)])"
    made = rule("self.t >= oldSelf.t", messageExpression=text, fieldPath=".t", reason="FieldValueForbidden")
    tree = of({"t": AT}, **{"x-kubernetes-validations": [made]})
    old = {"t": "2026-01-01T00:00:00Z"}
    assert said({"t": "2026-01-01T00:00:00+01:00"}, tree, old) == [
        "t: Forbidden: 2025-12-31T23:00:00Z is before 2026-01-01T00:00:00Z"
    ]
    assert said({"t": "2026-01-01T01:00:00+01:00"}, tree, old) == []


def test_optional_old_self_is_there_on_creation_too() -> None:
    made = rule("oldSelf.hasValue() ? self >= oldSelf.value() : self == 1", optionalOldSelf=True, message="no")
    tree = of({"a": {"type": "integer", "x-kubernetes-validations": [made]}})
    assert said({"a": 1}, tree) == []
    assert said({"a": 2}, tree) == ['a: Invalid value: "integer": no']
    assert said({"a": 3}, tree, {"a": 2}) == []
    assert said({"a": 1}, tree, {"a": 2}) == ['a: Invalid value: "integer": no']


def test_transition_rule_holds_on_updates_only() -> None:
    tree = of({"a": {"type": "integer", "x-kubernetes-validations": [rule("self >= oldSelf", message="went back")]}})
    assert said({"a": 1}, tree) == []
    assert said({"a": 1}, tree, {"a": 2}) == ['a: Invalid value: "integer": went back']
    assert said({"a": 3}, tree, {"a": 2}) == []


def test_items_of_keyed_lists_are_compared_with_their_former_selves() -> None:
    item = {
        "type": "object",
        "properties": {"n": {"type": "string"}, "v": {"type": "integer"}},
        "x-kubernetes-validations": [rule("self.v >= oldSelf.v", message="went back")],
    }
    keyed = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"], "items": item}
    old = {"a": [{"n": "x", "v": 1}, {"n": "y", "v": 5}]}
    assert said({"a": [{"n": "y", "v": 4}, {"n": "x", "v": 2}]}, of({"a": keyed}), old) == [
        'a[0]: Invalid value: "object": went back'
    ]


def test_rules_are_left_out_when_the_object_does_not_fit_its_types() -> None:
    tree = of({"a": {"type": "integer"}}, **{"x-kubernetes-validations": [rule("self.a > 1")]})
    first, second = said({"a": "x"}, tree)
    assert "must be of type integer" in first
    assert second.startswith('<nil>: Invalid value: "null": some validation rules were not checked')


def test_missing_field_in_a_rule_is_an_error_of_the_rule() -> None:
    tree = of({"a": {"type": "integer"}}, **{"x-kubernetes-validations": [rule("self.a > 1", message="m")]})
    assert said({}, tree) == ['<nil>: Invalid value: "object": no such key: a evaluating rule: m']


@pytest.mark.parametrize(
    ("text", "value", "holds"),
    [
        ("has(self.a) && !has(self.z)", {"a": 1}, True),
        ("self.s.matches('^x+$')", {"s": "xx"}, True),
        ("self.s.startsWith('y')", {"s": "xx"}, False),
        ("self.l.all(i, i.n.size() > 0)", {"l": [{"n": "a"}, {"n": "b"}]}, True),
        ("self.l.exists_one(i, i.n == 'a')", {"l": [{"n": "a"}, {"n": "b"}]}, True),
        ("self.l.map(i, i.n) == ['a', 'b']", {"l": [{"n": "a"}, {"n": "b"}]}, True),
        ("self.m.all(k, self.m[k] > 0)", {"m": {"x": 1, "y": 2}}, True),
        ("self.__namespace__ == 'n'", {"namespace": "n"}, True),
        ("self.x__dash__y == 1", {"x-y": 1}, True),
        ("timestamp(self.t) < timestamp('2030-01-01T00:00:00Z')", {"t": "2026-01-01T00:00:00Z"}, True),
        ("self.t < timestamp('2030-01-01T00:00:00Z')", {"t": "2026-01-01T00:00:00Z"}, True),
        ("self.t.getFullYear() == 2026", {"t": "2026-01-01t00:00:00.5+01:00"}, False),
        ("self.t + self.d == timestamp('2026-01-01T00:01:30Z')", {"t": "2026-01-01T00:00:00Z", "d": "1m30s"}, True),
        ("self.d < duration('1h')", {"d": "90m"}, False),
        ("self.day == timestamp('2026-01-02T00:00:00Z')", {"day": "2026-01-02"}, True),
        ("self.w.all(x, x.at > timestamp('2026-01-01T00:00:00Z') || has(x.n))", {"w": [{"n": "a"}]}, True),
        ("self.w.exists(x, has(x.at) && x.at.getMonth() == 1)", {"w": [{}, {"at": "2026-02-01T00:00:00Z"}]}, True),
        ("has(self.t) || self.a == 1", {"a": 1, "d": "1s"}, True),
        ("self.f == 2.0", {"f": 2}, True),
        ("self.?z.orValue(3) == 3", {"a": 1}, True),
        ("self.s.split(',').size() == 2", {"s": "a,b"}, True),
        ("'%s-%d'.format([self.s, self.a]) == 'x-1'", {"s": "x", "a": 1}, True),
        ("[1, 2, 3].isSorted()", {}, True),
    ],
)
def test_rule_language(text: str, value: Obj, holds: bool) -> None:
    names = {"type": "object", "properties": {"n": {"type": "string"}}}
    tree = of(
        {
            "a": {"type": "integer"},
            "z": {"type": "integer"},
            "f": {"type": "number"},
            "s": {"type": "string"},
            "t": {"type": "string", "format": "date-time"},
            "d": {"type": "string", "format": "duration"},
            "day": {"type": "string", "format": "date"},
            "w": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "string"}, "at": AT}}},
            "namespace": {"type": "string"},
            "x-y": {"type": "integer"},
            "l": {"type": "array", "items": names},
            "m": {"type": "object", "additionalProperties": {"type": "integer"}},
        },
        **{"x-kubernetes-validations": [rule(text)]},
    )
    assert (said(value, tree) == []) is holds


def refused(source: Obj) -> list[str]:
    return [f"{cause.field}: {cause.message}" for cause in faults({"type": "object", **source}, "spec")]


RULES = "x-kubernetes-validations"


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (rule("self.a >"), '.rule: Invalid value: "self.a >": compilation failed: '),
        (rule("self.a > 1", reason="Whim"), '.reason: Unsupported value: "Whim": supported values: "FieldValueDup'),
        (rule("self.a > 1", fieldPath=".b"), '.fieldPath: Invalid value: ".b": fieldPath must be a valid path'),
        (rule("self.a > 1", fieldPath="a"), '.fieldPath: Invalid value: "a": fieldPath must be a valid path'),
        (
            rule("self.a > 1", messageExpression="'a' +"),
            ".messageExpression: Invalid value: \"'a' +\": messageExpression compilation failed: ",
        ),
        (rule("self.a > 1", message="a\nb"), '.message: Invalid value: "a\\nb": message must not contain line breaks'),
        (rule("self.a >\n1"), ".message: Required value: message must be specified if rule contains line breaks"),
        (rule(" "), ".rule: Required value: rule is not specified"),
        (
            rule("self.a > 1", optionalOldSelf=True),
            ".optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule",
        ),
        (
            rule("self.oldSelf == 'oldSelf'", optionalOldSelf=False),
            ".optionalOldSelf: Invalid value: false: may not be set if oldSelf is not used in rule",
        ),
    ],
)
def test_rule_that_cannot_be_is_refused_with_the_definition(made: Obj, told: str) -> None:
    fields = {"a": {"type": "integer"}, "oldSelf": {"type": "string"}}
    (said,) = refused({"properties": fields, RULES: [made]})
    assert said.startswith(f"spec.{RULES}[0]{told}")


@pytest.mark.parametrize("list_type", ["atomic", "set", None])
def test_transition_rules_below_lists_without_keys_are_refused(list_type: str | None) -> None:
    number = {"type": "integer", RULES: [rule("self >= oldSelf")]}
    inner = {"type": "array", "items": {"type": "object", "properties": {"n": number}}}
    source = {"properties": {"l": {"type": "array", "items": inner}}}
    if list_type:
        source["properties"]["l"]["x-kubernetes-list-type"] = list_type
    assert refused(source) == [
        f'spec.properties[l].items.items.properties[n].{RULES}[0].rule: Invalid value: "self >= oldSelf": oldSelf'
        " cannot be used on the uncorrelatable portion of the schema within spec.properties[l]"
    ]


def test_transition_rules_below_keyed_lists_and_maps_are_accepted() -> None:
    item = {
        "type": "object",
        "properties": {"n": {"type": "string"}},
        "required": ["n"],
        RULES: [rule("self == oldSelf")],
    }
    keyed = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"], "items": item}
    number = {"type": "integer", RULES: [rule("self >= oldSelf")]}
    held = {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": number}
    whole = {"type": "array", "items": {"type": "string"}, RULES: [rule("self == oldSelf")]}
    assert refused({"properties": {"l": keyed, "m": held, "w": whole}}) == []


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (
            {"properties": {"a": {}}},
            "spec.properties[a].type: Required value: must not be empty for specified object fields",
        ),
        (
            {"properties": {"a": {"type": "array", "items": {}}}},
            "spec.properties[a].items.type: Required value: must not be empty for specified array items",
        ),
        ({"type": ""}, "spec.type: Required value: must not be empty at the root"),
        ({"type": "string"}, 'spec.type: Invalid value: "string": must be object at the root'),
        (
            {"properties": {"a": {"type": "array", "x-kubernetes-list-type": "map", "items": {"type": "object"}}}},
            "spec.properties[a].x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type"
            " is map",
        ),
        (
            {
                "properties": {
                    "a": {
                        "type": "array",
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["n"],
                        "items": {"type": "object", "properties": {"n": {"type": "string"}}},
                    }
                }
            },
            "spec.properties[a].items.properties[n].default: Required value: this property is in"
            " x-kubernetes-list-map-keys, so it must have a default or be a required property",
        ),
        (
            {"properties": {"a": {"type": "string", "pattern": "("}}},
            'spec.properties[a].pattern: Invalid value: "(": must be a valid regular expression, but isn\'t: ',
        ),
    ],
)
def test_schema_that_is_not_structural_is_refused(source: Obj, told: str) -> None:
    (said,) = refused(source)
    assert said.startswith(told)


def test_rules_of_a_list_that_did_not_change_are_not_judged_again() -> None:
    item = {"type": "object", "properties": {"v": {"type": "integer"}}, RULES: [rule("self.v > 1", message="small")]}
    tree = of({"l": {"type": "array", "items": item}, "b": {"type": "integer"}})
    assert said({"l": [{"v": 1}], "b": 2}, tree, {"l": [{"v": 1}], "b": 1}) == []
    assert said({"l": [{"v": 1}, {"v": 2}]}, tree, {"l": [{"v": 1}]}) == ['l[0]: Invalid value: "object": small']


def test_transition_rules_are_judged_although_nothing_changed() -> None:
    tree = of({"a": {"type": "integer", RULES: [rule("self > oldSelf", message="grow")]}})
    assert said({"a": 1}, tree, {"a": 1}) == ['a: Invalid value: "integer": grow']


def test_the_word_old_self_in_a_string_is_no_transition() -> None:
    tree = of({"a": {"type": "string", RULES: [rule("self != 'oldSelf'", message="taken")]}})
    assert said({"a": "oldSelf"}, tree) == ['a: Invalid value: "string": taken']


def test_rules_name_the_field_they_are_about() -> None:
    made = [
        rule("self.a > 1", fieldPath=".a", message="m"),
        rule("self.b__dash__c > 1", fieldPath="['b-c']", message="m"),
    ]
    numbers = {"a": {"type": "integer"}, "b-c": {"type": "integer"}}
    tree = of({"s": {"type": "object", "properties": numbers, "x-kubernetes-validations": made}})
    told = said({"s": {"a": 1, "b-c": 1}}, tree)
    assert told == ['s.a: Invalid value: "object": m', 's.b-c: Invalid value: "object": m']


def test_defaults_fill_nested_objects_that_are_there() -> None:
    tree = of(
        {
            "spec": {"type": "object", "properties": {"n": {"type": "integer", "default": 1}}},
            "list": {
                "type": "array",
                "items": {"type": "object", "properties": {"p": {"type": "string", "default": "TCP"}}},
            },
            "gone": {"type": "object", "properties": {"n": {"type": "integer", "default": 1}}},
        }
    )
    obj: Obj = {"spec": {"n": None}, "list": [{}, {"p": "UDP"}]}
    defaulting.default(obj, tree)
    assert obj == {"spec": {"n": 1}, "list": [{"p": "TCP"}, {"p": "UDP"}]}


def test_unknown_fields_are_dropped_and_named() -> None:
    tree = of(
        {
            "spec": {"type": "object", "properties": {"a": {"type": "string"}}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {}}},
            "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
        }
    )
    obj: Obj = {
        "apiVersion": "v",
        "kind": "K",
        "metadata": {"name": "x"},
        "spec": {"a": "1", "b": 1},
        "free": {"x": 1},
        "map": {"k": {"x": 1}},
        "list": [{"a": "1", "z": 1}],
        "top": 1,
    }
    removed: list[str] = []
    defaulting.prune(obj, tree, root=True, removed=removed)
    assert removed == ["spec.b", "map.k.x", "list[0].z", "top"]
    assert obj["free"] == {"x": 1}
    assert obj["metadata"] == {"name": "x"}
