"""The expressions of one ValidatingAdmissionPolicy, compiled, and what they say of a write.

Objects are untyped, as for Kubernetes' own runtime; here the request and its namespace are, too. The variables
`params`, `authorizer` and functions that the CEL runtime in use does not have are refused when they are compiled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from simulator.api import cel
from simulator.api.errors import Cause
from simulator.api.values import shown

Obj = dict[str, Any]
NAMES = ("object", "oldObject", "request", "namespaceObject")
"""What every expression speaks of."""


class Failed(Exception):
    """An expression has no value."""


@dataclass(frozen=True)
class Expression:
    """One that compiles."""

    text: str
    program: Any

    def value(self, data: Obj) -> Any:
        """Raises Failed."""
        result = self.program.eval(data={name: one for name, one in data.items() if not isinstance(one, Failed)})
        said = cel.error_of(result)
        if said:
            raise Failed(f"expression '{self.text}' resulted in error: {_of_variable(said, data)}")
        return result.plain_value()


def _of_variable(said: str, data: Obj) -> str:
    """The error of the variable that has no value, if that is why."""
    for name, failure in data.items():
        if isinstance(failure, Failed) and f'"{name}"' in said:
            return f'composited variable "{name.partition(".")[2]}" fails to evaluate: {failure}'
    return said


@dataclass(frozen=True)
class Validation:
    """What has to be true, and what is said when it is not."""

    expression: Expression
    message_expression: Expression | None
    message: str
    reason: str

    def said(self, data: Obj) -> str:
        """The message of a write that is refused."""
        if self.message_expression is not None:
            try:
                found = str(self.message_expression.value(data)).strip()
            except Failed:
                found = ""
            if found and "\n" not in found:
                return found
        return self.message or f"failed expression: {self.expression.text.strip()}"


@dataclass(frozen=True)
class Expressions:
    """All of a policy's."""

    conditions: list[Expression]
    variables: dict[str, Expression]
    validations: list[Validation]
    strict: bool
    """Whether a write is refused when an expression fails (`failurePolicy: Fail`)."""

    def denials(self, data: Obj) -> Iterator[tuple[str, str]]:
        """Message and reason of each validation that does not hold for the write `data`."""
        try:
            # Conditions are judged before the namespace is looked at.
            if not all(one.value({**data, "namespaceObject": None}) for one in self.conditions):
                return
        except Failed as failure:
            yield from self._failed(failure)
            return
        given = self._given(data)
        for validation in self.validations:
            try:
                if not validation.expression.value(given):
                    yield validation.said(given), validation.reason
            except Failed as failure:
                yield from self._failed(failure)

    def _failed(self, failure: Failed) -> Iterator[tuple[str, str]]:
        if self.strict:
            yield str(failure), ""

    def _given(self, data: Obj) -> Obj:
        """The data with the variables' values; one that has none fails only those that use it."""
        given = dict(data)
        for name, expression in self.variables.items():
            try:
                given[f"variables.{name}"] = expression.value(given)
            except Failed as failure:
                given[f"variables.{name}"] = failure
        return given


def compiled(spec: Obj) -> tuple[Expressions, list[Cause]]:
    """The expressions of a policy's spec, and what is wrong with those that are not among them."""
    compiler = _Compiler()
    conditions = [
        compiler.compiled(one.get("expression"), f"spec.matchConditions[{index}].expression", "BOOL")
        for index, one in enumerate(spec.get("matchConditions") or [])
    ]
    variables: dict[str, Expression] = {}
    for index, one in enumerate(spec.get("variables") or []):
        found = compiler.compiled(one.get("expression"), f"spec.variables[{index}].expression", "")
        if found is not None:
            variables[one["name"]] = found
            compiler.types[f"variables.{one['name']}"] = found.program.return_type()
    validations = [
        compiler.validation(one, f"spec.validations[{index}]")
        for index, one in enumerate(spec.get("validations") or [])
    ]
    expressions = Expressions(
        [one for one in conditions if one],
        variables,
        [one for one in validations if one],
        spec.get("failurePolicy") != "Ignore",
    )
    return expressions, compiler.causes


class _Compiler:
    def __init__(self) -> None:
        self.types: dict[str, Any] = dict.fromkeys(NAMES, cel.DYN)
        self.causes: list[Cause] = []

    def validation(self, source: Obj, path: str) -> Validation | None:
        expression = self.compiled(source.get("expression"), f"{path}.expression", "BOOL")
        message = None
        if source.get("messageExpression"):
            message = self.compiled(source["messageExpression"], f"{path}.messageExpression", "STRING")
        if expression is None:
            return None
        return Validation(expression, message, (source.get("message") or "").strip(), source.get("reason") or "Invalid")

    def compiled(self, text: str | None, path: str, wanted: str) -> Expression | None:
        """`wanted`: the type of its value, if that matters."""
        if not (text or "").strip():
            said = "" if "Conditions" in path else ": expression is not specified"
            self.causes.append(Cause(path, f"Required value{said}", "FieldValueRequired"))
            return None
        assert text is not None
        try:
            program = cel.compiled(cel.environment(self.types), text)
        except ValueError as error:
            self.causes.append(Cause(path, f"Invalid value: {shown(text)}: {error}"))
            return None
        found = str(program.return_type()).rpartition(".")[2]
        if wanted and found != wanted:
            said = f"must evaluate to {wanted.lower()} but got {found.lower()}"
            self.causes.append(Cause(path, f"Invalid value: {shown(text)}: {said}"))
            return None
        return Expression(text, program)
