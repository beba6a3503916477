"""Faults as they are written: `kind,option=value,...` on a command line, names and values in JSON. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase
from itertools import count
from typing import Any

Obj = dict[str, Any]
numbers = count(1)
"""What faults of all kinds are told apart by when one is to be taken away."""


def read(text: str) -> Obj:
    """`kind,option=value,...` as names and values. Raises ValueError."""
    kind, *options = [part.strip() for part in text.split(",")]
    return dict([("kind", kind), *(_option(part) for part in options)])


def _option(part: str) -> tuple[str, str]:
    name, found, value = part.partition("=")
    if not found:
        raise ValueError(f"{part!r} is no option=value")
    return name.replace("-", "_"), value


def check_kind(given: Obj, kinds: Iterable[str]) -> str:
    """The kind named. Raises ValueError, naming those that there are."""
    kind, kinds = given.get("kind"), list(kinds)
    if kind not in kinds:
        raise ValueError(f"there is no fault {kind!r}; there are {', '.join(kinds)}")
    return str(kind)


def check_options(given: Obj, known: Collection[str]) -> None:
    """Raises ValueError for options that are not among `known`, naming those."""
    unknown = sorted(set(given) - {"kind", *known})
    if unknown:
        raise ValueError(
            f"there is no option {', '.join(unknown)} of {given.get('kind')}; there are {', '.join(known)}"
        )


def probability(value: Any) -> float:
    """Raises ValueError."""
    if not 0.0 <= float(value) <= 1.0:
        raise ValueError("probability is from 0 to 1")
    return float(value)


def times(value: Any) -> int | None:
    """A count; None is for ever. Raises ValueError."""
    return None if value is None else int(value)


def truth(value: Any) -> bool:
    return value if isinstance(value, bool) else str(value).lower() in ("true", "1", "yes")


def fits(pattern: str, *values: str) -> bool:
    """Whether one of the values is meant by a shell pattern; the empty pattern means all."""
    return not pattern or any(fnmatchcase(value, pattern) for value in values)
