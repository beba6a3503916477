"""How things are printed: aligned columns as kubectl's, JSON, YAML, or names that kubectl takes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import yaml

GAP = 3
"""Spaces between two columns, as many as kubectl has."""


def say(text: str) -> None:
    """A command's output."""
    print(text)  # noqa: T201 - that is what a command is for


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows below their head, aligned; what is empty is shown as `-`. Pure."""
    lines = [list(head), *[[cell or "-" for cell in row] for row in rows]]
    widths = [max(len(line[index]) for line in lines) for index in range(len(head))]
    padded = ["".join(cell.ljust(width + GAP) for cell, width in zip(line, widths, strict=True)) for line in lines]
    return "\n".join(line.rstrip() for line in padded)


def data(content: Any, form: str) -> str:
    """The content (of JSON's types) as `json` or `yaml`. Pure."""
    if form == "json":
        return json.dumps(content, indent=2)
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True).rstrip()


def short(span: timedelta) -> str:
    """A duration as kubectl writes ages: two parts at most, 45s, 59m, 5h30m, 3d4h. Pure."""
    total = max(0, int(span.total_seconds()))
    parts = [(total // 86400, "d"), (total // 3600 % 24, "h"), (total // 60 % 60, "m"), (total % 60, "s")]
    if total >= 600:
        parts = parts[:3]  # seconds tell nothing any more
    first = next((index for index, (count, _) in enumerate(parts) if count), len(parts) - 1)
    return "".join(f"{count}{unit}" for count, unit in parts[first : first + 2] if count) or "0s"


def clock(moment: datetime) -> str:
    """A moment's time of day, UTC."""
    return f"{moment:%H:%M:%S} UTC"


def short_seconds(seconds: float) -> str:
    """As `short`."""
    return short(timedelta(seconds=seconds))
