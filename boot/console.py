"""What a node's first boot says on its serial console, read from the file that QEMU writes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from pool.guest.first_boot import PREFIX

PAUSE = 0.1
"""Seconds between two looks at the file: a power cut comes that late after the line that it waits for, at most."""
SAID = re.compile(
    PREFIX + r"(?:(?P<step>[0-9]{2}-[a-z0-9-]+): (?P<word>begins|failed|refused|says)|done)(?:: (?P<text>.*))?$"
)
TERMINAL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f]")
"""What a console has between the words: control sequences, the carriage returns of line ends."""


@dataclass(frozen=True)
class Said:
    """A line of first boot: its step (empty at the end), a word (begins, failed, refused, says, done), its text."""

    step: str
    word: str
    text: str = ""

    def __str__(self) -> str:
        """As on the console, without the prefix."""
        return ": ".join(part for part in (self.step, self.word, self.text) if part)


def said(line: str) -> Said | None:
    """What a line of a console says of the first boot, if it does. Pure."""
    found = SAID.search(TERMINAL.sub("", line))
    if found is None:
        return None
    return Said(found["step"] or "", found["word"] or "done", found["text"] or "")


def size(path: Path) -> int:
    """How much a console has said, in bytes."""
    return path.stat().st_size if path.exists() else 0


async def follow(path: Path, position: int) -> AsyncIterator[Said]:
    """What the console says from byte `position` on, for ever, over restarts that append to the same file."""
    rest = b""
    while True:
        if path.exists():
            with path.open("rb") as console:
                console.seek(position)
                new = console.read()
            position += len(new)
            *lines, rest = (rest + new).split(b"\n")
            for line in lines:
                if (word := said(line.decode(errors="replace"))) is not None:
                    yield word
        await asyncio.sleep(PAUSE)


def tail(path: Path, lines: int = 12) -> str:
    """The last lines of a console, for whom the words do not tell enough."""
    text = TERMINAL.sub("", path.read_text(errors="replace")) if path.exists() else ""
    return "\n".join(text.splitlines()[-lines:])
