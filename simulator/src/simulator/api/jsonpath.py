"""The JSONPath of printer columns: fields, indexes, filters by equality."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

_STEP = re.compile(
    r"\.(?P<field>(?:[^.\[\]\\]|\\.)+)"
    r"|\[(?P<index>-?\d+|\*)\]"
    r"|\[['\"](?P<quoted>[^'\"]+)['\"]\]"
    r"|\[\?\(@\.(?P<key>[\w./-]+)\s*(?P<op>==|!=)\s*(?P<value>\"[^\"]*\"|'[^']*'|[\w.-]+)\)\]"
)
Step = Callable[[list[Any]], list[Any]]


@lru_cache(maxsize=4096)
def compiled(path: str) -> tuple[Step, ...]:
    """The steps of a path such as `.status.conditions[?(@.type=='Ready')].status`. Raises ValueError."""
    text = path.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    if text and text[0] not in ".[":
        text = f".{text}"
    steps: list[Step] = []
    at = 0
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None:
            raise ValueError(f"unrecognized JSONPath: {path}")
        steps.append(_step(found))
        at = found.end()
    return tuple(steps)


def _step(found: re.Match[str]) -> Step:
    name = found["field"] or found["quoted"]
    if name is not None:
        name = name.replace("\\.", ".")
        return lambda values: [value[name] for value in values if isinstance(value, dict) and name in value]
    if found["index"] == "*":
        return lambda values: [item for value in values if isinstance(value, list) for item in value]
    if found["index"] is not None:
        index = int(found["index"])
        return lambda values: [v[index] for v in values if isinstance(v, list) and -len(v) <= index < len(v)]
    return _filter(found["key"].split("."), found["op"] == "==", found["value"].strip("'\""))


def _filter(keys: list[str], equal: bool, wanted: str) -> Step:
    def fits(item: Any) -> bool:
        for key in keys:
            item = item.get(key) if isinstance(item, dict) else None
        shown = str(item).lower() if isinstance(item, bool) else str(item)
        return (shown == wanted) is equal

    return lambda values: [item for value in values if isinstance(value, list) for item in value if fits(item)]


def find(obj: Any, path: str) -> list[Any]:
    """All that the path finds."""
    values = [obj]
    for step in compiled(path):
        values = step(values)
    return values
