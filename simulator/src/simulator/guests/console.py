"""The serial console of a virtual machine: what its guest prints, as KubeVirt keeps it for `guest-console-log`."""

from __future__ import annotations

from collections import deque
from datetime import datetime

from simulator.timing.clock import today

LINES = 1000
"""How many are kept; KubeVirt's file is rotated at some size, too."""
LONGEST = 4096
"""Characters of a line that are kept."""


class Console:
    """The console of one instance (its UID), from power-on on: the last lines, each with its time."""

    def __init__(self, uid: str) -> None:
        self.uid = uid
        self.lines: deque[tuple[datetime, str]] = deque(maxlen=LINES)

    def print(self, text: str) -> None:
        for line in text.splitlines():
            self.lines.append((today(), line[:LONGEST]))
