"""What of a CEL rule is judged by its schema: the fields it names on self and oldSelf, and what their types allow.

The CEL runtime in use knows no object types. So fields are looked up here, and plain ones are typed by standing for
variables. What a macro binds (`self.all(e, e.x)`) stays untyped, and costs are not estimated, as kube-apiserver would.
"""

from __future__ import annotations

import re
from typing import Any

from simulator.api import cel

Obj = dict[str, Any]
_STRING = re.compile(r"""\"(?:[^"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'""")
_CHAIN = re.compile(r"(?<![\w.])(?:self|oldSelf)((?:\s*\.\s*\??\s*[A-Za-z_]\w*(?!\w|\s*\())+)")
_STEP = re.compile(r"\s*(\.)\s*\??\s*(\w+)")
_META = {"type": "object", "properties": {"name": {"type": "string"}, "generateName": {"type": "string"}}}
_IDENTITY = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": _META}
_CALLED = re.compile(r"(?<!\w)has\($")


def fault(text: str, source: Obj, wanted: str, *, root: bool) -> str:
    """Why the expression, with self of the schema `source`, is none of type `wanted` (BOOL, STRING); empty if it is."""
    plain = _STRING.sub(lambda found: "'" + "_" * (len(found[0]) - 2) + "'", text)
    typed: dict[str, str] = {}
    named = text
    for chain in _CHAIN.finditer(plain):
        at: Obj | None = source
        whole = root
        for step in _STEP.finditer(plain, chain.start(1), chain.end(1)):
            known = _fields(at or {}, whole) if at is not None else None
            if known is not None and step[2] not in known:
                return _undefined(text, step[2], _column(plain, chain.start(), step.start(1)))
            at, whole = None if known is None else known[step[2]], False
        # As long as what it stands for, so that the compiler points at the same place.
        variable = chain[0].replace(".", "_")
        if at is not None and _is_plain(at) and variable.isidentifier() and not _CALLED.search(plain[: chain.start()]):
            typed[variable] = at["type"]
            named = named[: chain.start()] + variable + named[chain.end() :]
    return _mistyped(text, named, typed, wanted)


def _is_plain(source: Obj) -> bool:
    """Whether a value of that schema is of its plain type, and never null; dates are more than texts."""
    dated = source.get("format") in ("date", "date-time", "duration", "byte")
    return source.get("type") in cel.TYPES and not dated and not source.get("nullable")


def _mistyped(text: str, named: str, typed: dict[str, str], wanted: str) -> str:
    why = cel.miswritten(named, typed)
    if why and not any(mixed in why for mixed in ("(int, double)", "(double, int)")):
        return why.replace(f" | {named}\n", f" | {text}\n")
    found = cel.result_type(text) if why else cel.result_type(named, typed)
    return "" if found in (wanted, "DYN") else f"must evaluate to a {wanted.lower()}"


def _fields(source: Obj, root: bool) -> Obj | None:
    """The fields there by the names rules use; None where any may be."""
    if source.get("x-kubernetes-int-or-string") or isinstance(source.get("additionalProperties"), dict | bool):
        return None
    known = {cel.escaped(name): child for name, child in (source.get("properties") or {}).items()}
    return {**known, **_IDENTITY} if root or source.get("x-kubernetes-embedded-resource") else known


def _column(text: str, start: int, dot: int) -> int:
    """Where the compiler points: at the dot, or at the macro that the selection is of."""
    macro = _CALLED.search(text[:start])
    return macro.end() if macro else dot + 1


def _undefined(text: str, name: str, column: int) -> str:
    before = text[: column - 1]
    line, inside = before.count("\n") + 1, len(before.rpartition("\n")[2])
    shown = text.split("\n")[line - 1]
    where = f"<input>:{line}:{inside + 1}"
    return f"compilation failed: ERROR: {where}: undefined field '{name}'\n | {shown}\n | {'.' * inside}^"
