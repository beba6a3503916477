"""A guest's words as they may be shown anywhere: whoever wrote them may be root on it."""

from __future__ import annotations

import re

SHOWN = 200
"""Characters that are kept of a guest's words."""
UNPLAIN = re.compile(r"[^A-Za-z0-9 .,:;=+%'/-]|//+|\bwww\.")
"""What is taken out of a guest's words: control characters, markup of terminals, Markdown and rich, links."""


LEFT_OUT = " ... "


def cleaned(text: str) -> str:
    """Plain characters in one line. Pure.

    Of a long one the beginning is kept, and the end, where programs in Go name the cause.
    """
    plain = " ".join(UNPLAIN.sub(" ", text[: 10 * SHOWN]).split())
    if len(plain) <= SHOWN:
        return plain
    half = (SHOWN - len(LEFT_OUT)) // 2
    return f"{plain[:half]}{LEFT_OUT}{plain[-half:]}"
