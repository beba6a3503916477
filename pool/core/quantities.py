"""Kubernetes quantities, exactly and in every form that the API server accepts: 20Gi, 1.5Ti, .5G, 1e3, 500m, 1k.

A suffix is binary (Ki to Ei), decimal (n to E) or an exponent; 1E is an exa, 1E3 a thousand.
"""

from __future__ import annotations

import re
from fractions import Fraction

PATTERN = r"\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?"
"""What is not negative: nothing here is owed."""

_FORM = re.compile(PATTERN)


def times(quantity: str, factor: int) -> str:
    """A quantity multiplied, in the same unit: times("20Gi", 5) is "100Gi". Raises ValueError for none."""
    found = _FORM.fullmatch(quantity)
    if found is None:
        raise ValueError(f"{quantity!r} is no quantity")
    number, suffix = found[1], found[3] or ""
    digits = len(number.partition(".")[2])
    # All digits are kept: a number with so many decimals is a whole one of so many tenths.
    whole = Fraction(number if number[-1] != "." else number[:-1]) * factor * 10**digits
    text = str(whole.numerator).rjust(digits + 1, "0")
    if not digits:
        return f"{text}{suffix}"
    return f"{text[:-digits]}.{text[-digits:]}".rstrip("0").rstrip(".") + suffix
