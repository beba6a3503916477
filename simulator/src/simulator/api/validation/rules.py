"""Where the rules of a schema apply, and to which old value."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from simulator.api import cel
from simulator.api.errors import Cause
from simulator.api.schema import MISSING, Schema
from simulator.api.values import child_of, correlate, join, list_key, shown, type_name

Obj = dict[str, Any]
_QUOTED = re.compile(r"\['([^']+)'\]")


def broken(value: Any, old: Any, schema: Schema, path: str, *, kept: bool = False) -> Iterator[Cause]:
    """Every rule at or below `value` that does not hold.

    `kept`: something around it is as it was, so only rules about oldSelf are judged again.
    """
    if not schema.deep_rules or value is None:
        return
    kept = kept or (old is not MISSING and value == old)
    if kept and not schema.deep_transitions:
        return
    judged = [rule for rule in schema.rules if rule.transition or not kept]
    if judged:
        yield from _judged(judged, _Seen(value, schema, "self"), _Seen(old, schema, "oldSelf"), path)
    if isinstance(value, dict):
        before = old if isinstance(old, dict) else {}
        for name, item in value.items():
            child = child_of(name, schema)
            if child is not None:
                yield from broken(item, before.get(name, MISSING), child, join(path, name), kept=kept)
    elif isinstance(value, list) and schema.items is not None:
        correlated = correlate(old, schema)
        for index, item in enumerate(value):
            former = correlated.get(list_key(item, schema), MISSING)
            yield from broken(item, former, schema.items, f"{path}[{index}]", kept=kept)


class _Seen:
    """A value as rules see it under a name: made once for all of them."""

    def __init__(self, value: Any, schema: Schema, name: str) -> None:
        self.value, self._schema, self._name = value, schema, name

    @cached_property
    def data(self) -> Any:
        return for_cel(self.value, self._schema)

    @cached_property
    def typed(self) -> str:
        return times(self.value, self._schema, self._name)


def _judged(rules: list[cel.Rule], now: _Seen, before: _Seen, path: str) -> Iterator[Cause]:
    for rule in rules:
        yield from _rule(rule, now, before, path)


def _rule(rule: cel.Rule, now: _Seen, before: _Seen, path: str) -> Iterator[Cause]:
    unknown_old = before.value is MISSING or before.value is None
    if rule.transition and unknown_old and not rule.optional_old:
        return
    data: Obj = {"self": now.data}
    typed = {"self": now.typed}
    if rule.transition and not unknown_old:
        data["oldSelf"] = before.data
        typed["oldSelf"] = before.typed
    if rule.transition and rule.optional_old:
        typed["oldSelf"] = "optional.none()" if unknown_old else f"optional.of({typed['oldSelf'] or 'oldSelf'})"
    said = rule.broken(data, {name: made for name, made in typed.items() if made})
    if said is not None:
        below = _QUOTED.sub(r".\1", rule.path)
        where = f"{path}{below}" if path else below.lstrip(".")
        yield Cause(where or "<nil>", _rule_message(rule, now.value, said), rule.reason)


def _rule_message(rule: cel.Rule, value: Any, said: str) -> str:
    if rule.reason == "FieldValueForbidden":
        return f"Forbidden: {said}"
    if rule.reason == "FieldValueRequired":
        return f"Required value: {said}"
    if rule.reason == "FieldValueDuplicate":
        return f"Duplicate value: {shown(type_name(value))}"
    return f'Invalid value: "{type_name(value)}": {said}'


def for_cel(value: Any, schema: Schema) -> Any:
    """A value as rules see it: property names escaped, unknown fields hidden; `times` says what is a time in it."""
    if isinstance(value, dict):
        return {key: for_cel(item, child) if child else item for key, item, child in _visible(value, schema)}
    if isinstance(value, list):
        return [for_cel(item, schema.items) for item in value] if schema.items is not None else value
    return cel.scalar(value, schema.type, schema.format)


def times(value: Any, schema: Schema | None, at: str) -> str:
    """An expression that makes the value at `at` again, with timestamps and durations; empty if it has none."""
    if schema is None or not schema.deep_times:
        return ""
    if isinstance(value, str):
        return f"{'duration' if schema.format == 'duration' else 'timestamp'}({at})"
    if isinstance(value, dict):
        parts = [(json.dumps(key), item, child) for key, item, child in _visible(value, schema)]
        made = [(key, times(item, child, f"{at}[{key}]")) for key, item, child in parts]
        fields = ", ".join(f"{key}: {one or f'{at}[{key}]'}" for key, one in made)
        return f"{{{fields}}}" if any(one for _, one in made) else ""
    if isinstance(value, list):
        items = [times(item, schema.items, f"{at}[{index}]") for index, item in enumerate(value)]
        return f"[{', '.join(one or f'{at}[{index}]' for index, one in enumerate(items))}]" if any(items) else ""
    return ""


def _visible(value: Obj, schema: Schema) -> Iterator[tuple[str, Any, Schema | None]]:
    """The fields that rules see, by the names that they see."""
    for name, item in value.items():
        child = schema.properties.get(name)
        if child is not None:
            yield cel.escaped(name), item, child
        elif isinstance(schema.additional, Schema):
            yield name, item, schema.additional
        elif schema.additional or schema.preserve or schema.type == "":
            yield name, item, None
