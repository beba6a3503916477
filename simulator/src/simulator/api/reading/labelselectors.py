"""Label selectors, read and complained of as apimachinery's pkg/labels does."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from simulator.api.errors import ApiError, bad_request
from simulator.api.names import key_causes, value_causes
from simulator.api.values import shown

Labels = dict[str, str]
Test = Callable[[Labels], bool]
_TOKEN = re.compile(r"[ \t\r\n]*(==|!=|[=!(),<>]|[^\s=!(),<>]+|$)")
_SYMBOLS = frozenset(["=", "==", "!=", "!", "(", ")", ",", "<", ">", ""])
_OPERATORS = ("in", "notin", "=", "==", "!=", ">", "<")
_INTEGER = re.compile(r"[+-]?\d+")


def parse(selector: str) -> list[Test]:
    """The requirements, all of which labels have to meet. Raises ApiError 400 when the selector cannot be read."""
    tokens = _Tokens([found[1] for found in _TOKEN.finditer(selector)])
    tests: list[Test] = []
    while tokens.next:
        if not (tokens.named or tokens.next == "!"):
            raise bad_request(f"found '{tokens.next}', expected: !, identifier, or 'end of string'")
        try:
            tests.append(_requirement(tokens))
        except ApiError as error:
            raise bad_request(f"unable to parse requirement: {error.message}") from error
        separator = tokens.take()
        if separator not in ("", ","):
            raise bad_request(f"found '{separator}', expected: ',' or 'end of string'")
        if separator and not (tokens.named or tokens.next == "!"):
            raise bad_request(f"found '{tokens.next}', expected: identifier after ','")
    return tests


@dataclass
class _Tokens:
    """What is left of a selector; its end is an empty token."""

    left: list[str]

    @property
    def next(self) -> str:
        return self.left[0] if self.left else ""

    @property
    def named(self) -> bool:
        """Whether a key or a value comes next."""
        return self.next not in _SYMBOLS

    def take(self) -> str:
        return self.left.pop(0) if self.left else ""


def _requirement(tokens: _Tokens) -> Test:
    absent = tokens.next == "!"
    if absent:
        tokens.take()
    if not tokens.named:
        raise bad_request(f"found '{tokens.next}', expected: identifier")
    key = tokens.take()
    for cause in key_causes(key, "<nil>"):
        raise bad_request(f"{cause.field}: {cause.message}")
    if absent:
        return lambda have: key not in have
    if tokens.next in ("", ","):
        return lambda have: key in have
    operator = tokens.take()
    if operator not in _OPERATORS:
        raise bad_request(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")
    values = _listed(tokens) if operator in ("in", "notin") else {_exact(tokens)}
    _judge(key, operator, values)
    return _test(key, operator, values)


def _exact(tokens: _Tokens) -> str:
    if tokens.next in ("", ","):
        return ""
    if not tokens.named:
        raise bad_request(f"found '{tokens.next}', expected: identifier")
    return tokens.take()


def _listed(tokens: _Tokens) -> set[str]:
    opening = tokens.take()
    if opening != "(":
        raise bad_request(f"found '{opening}' expected: '('")
    values = {""} if tokens.next == ")" else set()
    while tokens.next != ")":
        if tokens.named:
            values.add(tokens.take())
        elif tokens.next == ",":
            values.add("")
        else:
            raise bad_request(f"found '{tokens.next}', expected: ',', ')' or identifier")
        if tokens.next not in (",", ")"):
            raise bad_request(f"found '{tokens.next}', expected: ',' or ')'")
        if tokens.next == "," and tokens.take() and tokens.next == ")":
            values.add("")
    tokens.take()
    return values


def _judge(key: str, operator: str, values: set[str]) -> None:
    for index, value in enumerate(sorted(values)):
        if operator in ("<", ">") and not _INTEGER.fullmatch(value):
            said = "for 'Gt', 'Lt' operators, the value must be an integer"
            raise bad_request(f"values[{index}]: Invalid value: {shown(value)}: {said}")
        for cause in value_causes(value, f"values[{index}][{key}]"):
            raise bad_request(f"{cause.field}: {cause.message}")


def _test(key: str, operator: str, values: set[str]) -> Test:
    if operator in ("in", "=", "=="):
        return lambda have: have.get(key) in values
    if operator in ("notin", "!="):
        return lambda have: have.get(key) not in values
    [bound] = map(int, values)
    sign = 1 if operator == ">" else -1

    def compare(have: Labels) -> bool:
        return bool(_INTEGER.fullmatch(have.get(key, ""))) and sign * int(have[key]) > sign * bound

    return compare
