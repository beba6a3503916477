"""Power cuts at chosen moments of a first boot."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from boot.console import Said
from pool.core.errors import InvalidInput

POWER_ON = "power-on"
"""What a cut may be counted from instead of a step: cloud-init has not written the steps yet."""
FORM = re.compile(rf"(?P<step>[0-9]{{2}}-[a-z0-9-]+|{POWER_ON})(?:\+(?P<seconds>[0-9]+))?")


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
    """The power goes `seconds` after `step` begins, or after the power came."""

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
                f"no place for a power cut: {one!r}",
                expected=f"steps of first boot, as 60-cluster or 60-cluster+15, or {POWER_ON}+8",
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
    for cut in cuts:
        if cut.step != POWER_ON:
            steps = await _begun(cut.step, node.name, words, steps)
        await asyncio.sleep(cut.seconds)
        await node.cut()
        tell(f"{node.name}: power cut at {cut}")
        await node.power_on()


async def _begun(step: str, name: str, words: AsyncIterator[Said], before: list[str]) -> list[str]:
    """Until the step begins: the steps that began up to it, those `before` among them. Raises CutMissed."""
    seen = list(before)
    async for said in words:
        if said.word == "begins":
            seen.append(said.step)
            if said.step == step:
                return seen
        elif said.word == "done":
            break
    raise CutMissed(f"{name} was done without the step {step}; it had {', '.join(seen)}")
