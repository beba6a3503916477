"""Structural schemas of custom resources (apiextensions v1), read once into a tree that the other modules walk."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from simulator.api.cel import Rule

Obj = dict[str, Any]


class _Missing:
    """No default, no old value: JSON's null is a value of its own."""

    def __bool__(self) -> bool:
        return False


MISSING = _Missing()


@dataclass
class Schema:
    """One node. `deep_*` say whether anything at or below it has rules, such of oldSelf, defaults, times, or can lose
    fields."""

    type: str = ""
    properties: dict[str, Schema] = field(default_factory=dict)
    items: Schema | None = None
    additional: Schema | bool | None = None
    required: tuple[str, ...] = ()
    nullable: bool = False
    preserve: bool = False
    int_or_string: bool = False
    embedded: bool = False
    default: Any = MISSING
    enum: tuple[Any, ...] | None = None
    format: str = ""
    pattern: re.Pattern[str] | None = None
    limits: dict[str, Any] = field(default_factory=dict)
    list_type: str = "atomic"
    list_keys: tuple[str, ...] = ()
    map_type: str = "granular"
    merge_key: str | None = None
    """For strategic merge patch: the key of a list's items; empty for a set of plain values."""
    standing: dict[str, Any] = field(default_factory=dict)
    """Fields that Go never leaves out, with what they are when nobody has set them."""
    all_of: tuple[Schema, ...] = ()
    any_of: tuple[Schema, ...] = ()
    one_of: tuple[Schema, ...] = ()
    not_: Schema | None = None
    rules: tuple[Rule, ...] = ()
    deep_rules: bool = False
    deep_transitions: bool = False
    deep_defaults: bool = False
    deep_prunes: bool = False
    deep_times: bool = False


TIMES = ("date-time", "date", "duration")
"""Formats of strings that CEL has types of its own for."""
LIMITS = (
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
)


def read(source: Obj) -> Schema:
    """The tree of an `openAPIV3Schema`. Raises ValueError for a rule or pattern that cannot be."""
    return measured(
        Schema(
            type=source.get("type", ""),
            properties={name: read(child) for name, child in (source.get("properties") or {}).items()},
            items=read(source["items"]) if isinstance(source.get("items"), dict) else None,
            additional=_additional(source.get("additionalProperties")),
            required=tuple(source.get("required") or ()),
            nullable=bool(source.get("nullable")),
            preserve=bool(source.get("x-kubernetes-preserve-unknown-fields")),
            int_or_string=bool(source.get("x-kubernetes-int-or-string")),
            embedded=bool(source.get("x-kubernetes-embedded-resource")),
            default=source.get("default", MISSING),
            enum=tuple(source["enum"]) if source.get("enum") else None,
            format=source.get("format", ""),
            pattern=_pattern(source.get("pattern")),
            limits={name: source[name] for name in LIMITS if name in source},
            list_type=source.get("x-kubernetes-list-type", "atomic"),
            list_keys=tuple(source.get("x-kubernetes-list-map-keys") or ()),
            map_type=source.get("x-kubernetes-map-type", "granular"),
            all_of=tuple(read(part) for part in source.get("allOf") or ()),
            any_of=tuple(read(part) for part in source.get("anyOf") or ()),
            one_of=tuple(read(part) for part in source.get("oneOf") or ()),
            not_=read(source["not"]) if "not" in source else None,
            rules=tuple(Rule.read(rule) for rule in source.get("x-kubernetes-validations") or ()),
        )
    )


def _additional(source: Any) -> Schema | bool | None:
    return read(source) if isinstance(source, dict) else source


def _pattern(source: str | None) -> re.Pattern[str] | None:
    try:
        return re.compile(source) if source else None
    except re.error as error:
        raise ValueError(f"must be a valid regular expression, but isn't: {error}") from error


def measured(schema: Schema) -> Schema:
    """The node with its `deep_*` marks set from its children's."""
    children = [*schema.properties.values()]
    children += [child for child in (schema.items, schema.additional) if isinstance(child, Schema)]
    schema.deep_rules = bool(schema.rules) or any(child.deep_rules for child in children)
    schema.deep_transitions = any(rule.transition for rule in schema.rules) or any(
        child.deep_transitions for child in children
    )
    schema.deep_defaults = any(child.deep_defaults or child.default is not MISSING for child in children)
    closed = schema.type == "object" and not schema.preserve and schema.additional in (None, False)
    schema.deep_prunes = closed or schema.embedded or any(child.deep_prunes for child in children)
    schema.deep_times = schema.format in TIMES or any(child.deep_times for child in children)
    return schema
