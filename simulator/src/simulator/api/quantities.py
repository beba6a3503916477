"""Resource quantities and Go durations."""

from __future__ import annotations

import re
from decimal import Decimal

_QUANTITY = re.compile(r"^([+-]?[0-9]+(?:\.[0-9]*)?|[+-]?\.[0-9]+)((?:[eE][+-]?[0-9]+)|[EPTGMK]i|[numkMGTPE])?$")
_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def quantity(text: str | int | float) -> Decimal:
    """The number of a quantity (`10Gi`, `500m`). Raises ValueError when it is none."""
    found = _QUANTITY.match(str(text))
    if found is None:
        raise ValueError("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
    number, suffix = Decimal(found.group(1)), found.group(2) or ""
    if suffix in _BINARY:
        return number * _BINARY[suffix]
    if suffix in _DECIMAL:
        return number.scaleb(_DECIMAL[suffix])
    return number.scaleb(int(suffix[1:])) if suffix else number


def written(number: Decimal, like: str = "") -> str:
    """A quantity in the family of units of `like` (binary or decimal), as short as it is exact."""
    for suffix, size in sorted(_BINARY.items(), key=lambda item: -item[1]):
        if like.endswith("i") and number and number % size == 0:
            return f"{int(number / size)}{suffix}"
    if number == number.to_integral_value():
        return str(int(number))
    return f"{int(number * 1000)}m"


def seconds_of(duration: str) -> float:
    """A Go duration (`1h30m`) in seconds. Raises ValueError when it is none."""
    text = duration.lstrip("+-")
    if text == "0":
        return 0.0
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f'time: invalid duration "{duration}"')
    total = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    return -total if duration.startswith("-") else total
