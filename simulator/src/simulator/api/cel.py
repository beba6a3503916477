"""Validation rules in CEL (`x-kubernetes-validations`), evaluated by Google's CEL runtime.

Objects are dynamically typed here; what a definition's schema says against a rule is judged by `celfields`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

from cel_expr_python import cel
from cel_expr_python.ext import ext_math, ext_optional, ext_strings

Obj = dict[str, Any]
_STRING = re.compile(r"""\"(?:[^"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'""")
_OLD_SELF = re.compile(r"(?<![\w.])oldSelf\b")
_RESERVED = """
true false null in as break const continue else for function if import let loop package namespace return var void while
"""
KEYWORDS = frozenset(_RESERVED.split())
_ESCAPES = (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__"))


REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
"""What a rule may give as its cause's reason."""


@lru_cache(maxsize=4096)
def escaped(name: str) -> str:
    """A property's name as rules have to write it."""
    if name in KEYWORDS:
        return f"__{name}__"
    for plain, written in _ESCAPES:
        name = name.replace(plain, written)
    return name


def _is_sorted(items: Any) -> bool:
    values = list(items)
    return all(left <= right for left, right in pairwise(values))


def _is_url(text: str) -> bool:
    parts = urlsplit(text)
    return bool(parts.scheme and (parts.netloc or parts.path.startswith("/")))


def _function(name: str, parameter: Any, result: Any, call: Callable[[Any], Any], *, member: bool = True) -> Any:
    overload = cel.Overload(f"{name}_{'member' if member else 'global'}", result, [parameter], member, call)
    return cel.FunctionDecl(name, [overload])


TYPES = {"string": cel.Type.STRING, "integer": cel.Type.INT, "boolean": cel.Type.BOOL}
"""The runtime's types of plain values, by their types in schemas."""


DYN = cel.Type.DYN
"""The type of what may be anything."""


def environment(variables: Mapping[str, Any]) -> Any:
    """Where expressions over these variables, by the runtime's types, are compiled."""
    kinds = cel.Type
    functions = [
        _function("isSorted", kinds.LIST, kinds.BOOL, _is_sorted),
        _function("sum", kinds.LIST, kinds.DYN, lambda items: sum(list(items))),
        _function("min", kinds.LIST, kinds.DYN, lambda items: min(list(items))),
        _function("max", kinds.LIST, kinds.DYN, lambda items: max(list(items))),
        _function("isURL", kinds.STRING, kinds.BOOL, _is_url, member=False),
    ]
    return cel.NewEnv(
        variables=dict(variables),
        extensions=[ext_strings.ExtStrings(), ext_math.ExtMath(), ext_optional.ExtOptional()],
        functions=functions,
    )


@lru_cache(maxsize=256)
def _environment(typed: tuple[tuple[str, str], ...] = ()) -> Any:
    """`typed`: variables beside self and oldSelf, and their types in schemas."""
    return environment({"self": DYN, "oldSelf": DYN, **{name: TYPES[type_] for name, type_ in typed}})


@lru_cache(maxsize=4096)
def _compiled(expression: str, typed: tuple[tuple[str, str], ...] = ()) -> Any:
    return compiled(_environment(typed), expression)


def compiled(environment: Any, expression: str) -> Any:
    """The program that an expression is. Raises ValueError when it does not compile."""
    try:
        return environment.compile(expression)
    except RuntimeError as error:
        said = str(error).replace("INVALID_ARGUMENT: ", "").removesuffix(" [INVALID_ARGUMENT]")
        raise ValueError(f"compilation failed: {said}") from error


def miswritten(expression: str, typed: Mapping[str, str] | None = None) -> str:
    """Why an expression does not compile, with more variables of these types in schemas; empty if it does."""
    try:
        _compiled(expression, tuple(sorted((typed or {}).items())))
    except ValueError as error:
        return str(error)
    return ""


def result_type(expression: str, typed: Mapping[str, str] | None = None) -> str:
    """The type of the value of an expression that compiles: BOOL, STRING, ...; DYN where it depends."""
    found = _compiled(expression, tuple(sorted((typed or {}).items()))).return_type()
    return str(found).rpartition(".")[2]


def speaks_of_old(text: str) -> bool:
    """Whether a rule uses the variable oldSelf: not a field of that name, nor the word in a string."""
    return bool(_OLD_SELF.search(_STRING.sub("''", text)))


@dataclass(frozen=True)
class Rule:
    """One rule; `transition`: it speaks of oldSelf, so it holds on updates only."""

    text: str
    message: str
    message_expression: str
    reason: str
    path: str
    transition: bool
    optional_old: bool

    @classmethod
    def read(cls, source: Obj) -> Rule:
        """Raises ValueError when the rule or its message does not compile."""
        text = source["rule"]
        rule = cls(
            text=text,
            message=source.get("message", "").strip(),
            message_expression=source.get("messageExpression", ""),
            reason=source.get("reason", "FieldValueInvalid"),
            path=source.get("fieldPath", ""),
            transition=speaks_of_old(text),
            optional_old=bool(source.get("optionalOldSelf")),
        )
        _compiled(text)
        if rule.message_expression:
            _compiled(rule.message_expression)
        return rule

    def broken(self, data: Obj, typed: Mapping[str, str]) -> str | None:
        """What to say when the rule does not hold for `data` (self, oldSelf); None when it holds.

        `typed`: expressions that stand for self and oldSelf in it, where plain data cannot.
        """
        result = _compiled(_within(self.text, typed)).eval(data=data)
        if result.type() == cel.Type.BOOL:
            return None if result.value() else self._said(data, typed)
        return f"{error_of(result)} evaluating rule: {self.message or self.text}"

    def _said(self, data: Obj, typed: Mapping[str, str]) -> str:
        """The expression's message if it is one line of text, else the plain one."""
        if self.message_expression:
            text = _compiled(_within(self.message_expression, typed, "map", "[0]")).eval(data=data)
            found = str(text.value()).strip() if text.type() == cel.Type.STRING else ""
            if found and "\n" not in found:
                return found
        return self.message or f"failed rule: {self.text}"


def _within(text: str, typed: Mapping[str, str], macro: str = "all", tail: str = "") -> str:
    """`text` with other values under the names of `typed`: the runtime takes no timestamps, but it makes them."""
    for name, made in typed.items():
        text = f"[{made}].{macro}({name}, {text}\n){tail}"
    return text


def error_of(result: Any) -> str:
    """What went wrong in an evaluation, in the words of Kubernetes' runtime; empty if it has a value."""
    if result.type() != cel.Type.ERROR:
        return ""
    text = str(result.value())
    missing = text.partition('Key not found in map : "')[2]
    if missing:
        return f"no such key: {missing.rstrip(chr(34))}"
    unfit = "No matching overloads" in text or "Applying SELECT to non-message type" in text
    return "no such overload" if unfit else text


def scalar(value: Any, type_: str, format_: str) -> Any:
    """A value of a schema's type as CEL has it: numbers are doubles, bytes are decoded.

    Times stay strings, in a form that CEL's `timestamp` and `duration` read: the runtime takes no such values in.
    """
    if type_ == "number" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type_ != "string" or not isinstance(value, str):
        return value
    if format_ == "byte":
        return base64.b64decode(value)
    if format_ == "date":
        return f"{value}T00:00:00Z"
    return value.upper() if format_ == "date-time" else value
