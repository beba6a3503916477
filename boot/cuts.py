"""Power cuts at chosen steps of a first boot."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from boot.console import Said
from pool.core.errors import InvalidInput

FORM = re.compile(r"(?P<step>[0-9]{2}-[a-z0-9-]+)(?:\+(?P<seconds>[0-9]+))?")


class Powered(Protocol):
    """A machine whose power can be cut (boot.node.Node)."""

    @property
    def name(self) -> str:
        """The machine's."""

    async def cut(self) -> None:
        """Cut its power."""

    async def power_on(self) -> None:
        """Switch it on."""


class CutMissed(RuntimeError):
    """First boot never came to a step at which the power was to be cut; the message says which steps it had."""


@dataclass(frozen=True)
class Cut:
    """The power goes `seconds` after `step` begins."""

    step: str
    seconds: int = 0

    def __str__(self) -> str:
        """As `cuts_of` takes it."""
        return f"{self.step}+{self.seconds}" if self.seconds else self.step


def cuts_of(text: str) -> list[Cut]:
    """What the command line says, as 20-link,60-cluster+15. Raises InvalidInput."""
    cuts = []
    for one in filter(None, text.split(",")):
        found = FORM.fullmatch(one.strip())
        if found is None:
            raise InvalidInput(
                f"no place for a power cut: {one!r}", expected="steps of first boot, as 60-cluster or 60-cluster+15"
            )
        cuts.append(Cut(found["step"], int(found["seconds"] or 0)))
    return cuts


async def cut_and_restart(
    node: Powered, words: AsyncIterator[Said], cuts: Sequence[Cut], tell: Callable[[str], None]
) -> None:
    """Cut the node's power at each of these in turn, and switch it on again; `words` are its console's.

    Raises CutMissed: a step that the node does not have (each role has its own) is an error.
    """
    steps: list[str] = []
    left = list(cuts)
    if not left:
        return
    async for said in words:
        if said.word == "begins":
            steps.append(said.step)
        if said.word == "done":
            raise CutMissed(f"{node.name} was done without the step {left[0].step}; it had {', '.join(steps)}")
        if said.word == "begins" and said.step == left[0].step:
            await asyncio.sleep(left[0].seconds)
            await node.cut()
            tell(f"{node.name}: power cut at {left.pop(0)}")
            await node.power_on()
            if not left:
                return
