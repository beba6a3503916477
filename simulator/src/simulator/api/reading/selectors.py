"""Label and field selectors, all operators of both."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any

from simulator.api.errors import bad_request
from simulator.api.reading import labelselectors

Obj = dict[str, Any]
Matches = Callable[[Obj], bool]

_EQUAL = re.compile(r"^\s*([^\s,!=()]+)\s*(==|=|!=)\s*([^\s,()]*)\s*$")


def labels(selector: str) -> Matches:
    """Whether an object's labels match. Raises ApiError 400 when the selector cannot be read."""
    tests = labelselectors.parse(selector)

    def matches(obj: Obj) -> bool:
        have = obj["metadata"].get("labels") or {}
        return all(test(have) for test in tests)

    return matches


def fields(selector: str, selectable: Collection[str], *, plain: bool = False) -> Matches:
    """Whether an object's fields match `path=value,path!=value`.

    Only `selectable` paths may be asked for, as Kubernetes allows few. Raises ApiError 400 for others, in the words of
    kinds that have just those of every object if `plain`.
    """
    tests: list[tuple[list[str], bool, str]] = []
    for part in selector.split(","):
        if not part:
            continue
        found = _EQUAL.match(part)
        if found is None:
            raise bad_request(f"invalid selector: {part!r}; can't understand {part!r}")
        path, operator, value = found.groups()
        if path not in selectable:
            raise bad_request(_not_selectable(path, selectable, plain=plain))
        tests.append((path.split("."), operator != "!=", value))
    return lambda obj: all((_at(obj, path) == value) is equal for path, equal, value in tests)


def _not_selectable(path: str, selectable: Collection[str], *, plain: bool) -> str:
    if not plain:
        return f"field label not supported: {path}"
    known = ", ".join(f'"{one}"' for one in selectable)
    return f'"{path}" is not a known field selector: only {known}'


def _at(obj: Any, path: list[str]) -> str:
    for part in path:
        obj = obj.get(part) if isinstance(obj, dict) else None
    if isinstance(obj, bool):
        return "true" if obj else "false"
    return "" if obj is None else str(obj)
