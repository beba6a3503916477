"""Resource quantities. Pure."""

from __future__ import annotations

import re
from decimal import Decimal

_SUFFIXES = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{letter: Decimal(1000) ** (index + 1) for index, letter in enumerate("kMGTPE")},
    **{f"{letter}i": Decimal(1024) ** (index + 1) for index, letter in enumerate("KMGTPE")},
}


def parse(quantity: str | float) -> Decimal:
    """The number that a quantity stands for ("10Gi", "500m", 3). Raises ValueError."""
    found = re.fullmatch(r"([+-]?[0-9.]+)([A-Za-z]*)", str(quantity))
    if not found or found[2] not in _SUFFIXES:
        raise ValueError(f"no quantity: {quantity!r}")
    return Decimal(found[1]) * _SUFFIXES[found[2]]


def larger(one: str, other: str) -> str:
    """The larger of two quantities."""
    return one if parse(one) >= parse(other) else other
