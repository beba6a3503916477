"""What an API server refuses in a definition's schema: what is not structural, and rules that cannot be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from simulator.api import cel
from simulator.api.definitions import celfields
from simulator.api.errors import Cause, required
from simulator.api.schema import read
from simulator.api.validation import custom as validation
from simulator.api.values import shown

Obj = dict[str, Any]
_STEP = re.compile(r"\.(\w+)|\['([^']+)'\]")
_LEVELS = {"root": "at the root", "field": "for specified object fields", "item": "for specified array items"}


def faults(source: Obj, path: str, level: str = "root", uncorrelated: str = "") -> Iterator[Cause]:
    """Everything wrong at or below `source`, an `openAPIV3Schema` or a part of one.

    `level`: root, field or item; `uncorrelated`: the outermost list around it whose items have no former selves.
    """
    yield from _type(source, path, level)
    yield from _list(source, path)
    yield from _default(source, path)
    yield from _pattern(source, path)
    for index, rule in enumerate(source.get("x-kubernetes-validations") or ()):
        at = f"{path}.x-kubernetes-validations[{index}]"
        yield from _rule(rule, source, at, uncorrelated, root=level == "root")
    for name, child in (source.get("properties") or {}).items():
        yield from faults(child, f"{path}.properties[{name}]", "field", uncorrelated)
    if isinstance(source.get("additionalProperties"), dict):
        yield from faults(source["additionalProperties"], f"{path}.additionalProperties", "field", uncorrelated)
    if isinstance(source.get("items"), dict):
        correlated = source.get("x-kubernetes-list-type") == "map"
        yield from faults(source["items"], f"{path}.items", "item", uncorrelated or ("" if correlated else path))


def _type(source: Obj, path: str, level: str) -> Iterator[Cause]:
    free = source.get("x-kubernetes-int-or-string") or source.get("x-kubernetes-preserve-unknown-fields")
    if not source.get("type") and not free:
        yield Cause(f"{path}.type", f"Required value: must not be empty {_LEVELS[level]}", "FieldValueRequired")
    elif level == "root" and source.get("type") not in (None, "", "object"):
        yield Cause(f"{path}.type", f"Invalid value: {shown(source['type'])}: must be object at the root")


def _default(source: Obj, path: str) -> Iterator[Cause]:
    value = source.get("default")
    if value is not None:
        # As it stands there: what is in it has no defaults of its own yet, which rules may miss.
        for cause in validation.validate(value, None, read(source)):
            if cause is not validation.UNCHECKED:
                yield Cause(f"{path}.default{cause.field.removeprefix('<nil>')}", cause.message, cause.reason)


def _list(source: Obj, path: str) -> Iterator[Cause]:
    if source.get("type") == "array" and source.get("items") is None:
        yield required(f"{path}.items", "must be specified")
    type_, keys = source.get("x-kubernetes-list-type"), source.get("x-kubernetes-list-map-keys") or ()
    if type_ and source.get("type") != "array":
        said = "must be array if x-kubernetes-list-type is specified"
        yield Cause(f"{path}.type", f"Invalid value: {shown(source.get('type', ''))}: {said}")
    if type_ != "map":
        return
    if not keys:
        said = "Required value: must not be empty if x-kubernetes-list-type is map"
        yield Cause(f"{path}.x-kubernetes-list-map-keys", said, "FieldValueRequired")
    items = source.get("items") or {}
    for key in keys:
        field = (items.get("properties") or {}).get(key)
        if field is None:
            said = f"Invalid value: {shown(key)}: entries must all be names of item properties"
            yield Cause(f"{path}.x-kubernetes-list-map-keys[{list(keys).index(key)}]", said)
        elif "default" not in field and key not in (items.get("required") or ()):
            said = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            yield Cause(f"{path}.items.properties[{key}].default", f"Required value: {said}", "FieldValueRequired")


def _pattern(source: Obj, path: str) -> Iterator[Cause]:
    pattern = source.get("pattern")
    try:
        re.compile(pattern or "")
    except re.error as error:
        said = f"must be a valid regular expression, but isn't: {error}"
        yield Cause(f"{path}.pattern", f"Invalid value: {shown(pattern)}: {said}")


def _rule(rule: Obj, source: Obj, path: str, uncorrelated: str, *, root: bool) -> Iterator[Cause]:
    text, message = str(rule.get("rule") or ""), str(rule.get("message") or "")
    if not text.strip():
        yield Cause(f"{path}.rule", "Required value: rule is not specified", "FieldValueRequired")
        return
    if message and "\n" in message.strip():
        yield Cause(f"{path}.message", f"Invalid value: {shown(message)}: message must not contain line breaks")
    elif "\n" in text.strip() and not message.strip():
        said = "Required value: message must be specified if rule contains line breaks"
        yield Cause(f"{path}.message", said, "FieldValueRequired")
    if rule.get("reason", cel.REASONS[0]) not in cel.REASONS:
        choice = ", ".join(f'"{one}"' for one in cel.REASONS)
        said = f"Unsupported value: {shown(rule['reason'])}: supported values: {choice}"
        yield Cause(f"{path}.reason", said, "FieldValueNotSupported")
    if rule.get("fieldPath") and not _leads(source, rule["fieldPath"]):
        said = f"Invalid value: {shown(rule['fieldPath'])}: fieldPath must be a valid path"
        yield Cause(f"{path}.fieldPath", said)
    yield from _expressions(rule, text, source, path, root=root)
    yield from _old(rule, text, path, uncorrelated)


def _expressions(rule: Obj, text: str, source: Obj, path: str, *, root: bool) -> Iterator[Cause]:
    if why := _miswritten(text, source, "BOOL", root=root):
        said = why if why.startswith("compilation") else f"cel expression {why}"
        yield Cause(f"{path}.rule", f"Invalid value: {shown(text)}: {said}")
    expression = rule.get("messageExpression")
    if expression and (why := _miswritten(expression, source, "STRING", root=root)):
        yield Cause(f"{path}.messageExpression", f"Invalid value: {shown(expression)}: messageExpression {why}")


def _miswritten(expression: str, source: Obj, wanted: str, *, root: bool) -> str:
    return cel.miswritten(expression) or celfields.fault(expression, source, wanted, root=root)


def _old(rule: Obj, text: str, path: str, uncorrelated: str) -> Iterator[Cause]:
    if cel.speaks_of_old(text):
        if uncorrelated:
            said = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {uncorrelated}"
            yield Cause(f"{path}.rule", f"Invalid value: {shown(text)}: {said}")
    elif rule.get("optionalOldSelf") is not None:
        said = "may not be set if oldSelf is not used in rule"
        yield Cause(f"{path}.optionalOldSelf", f"Invalid value: {shown(rule['optionalOldSelf'])}: {said}")


def _leads(source: Obj, path: str) -> bool:
    """Whether a rule's fieldPath (`.a.b`, `['a-b']`) names a field of the schema."""
    if _STEP.sub("", path):
        return False
    at: Any = source
    for dotted, quoted in _STEP.findall(path):
        if not isinstance(at, dict):
            return False
        at = (at.get("properties") or {}).get(dotted or quoted, at.get("additionalProperties"))
    return isinstance(at, dict)
