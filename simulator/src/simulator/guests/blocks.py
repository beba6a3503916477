"""The order in which a script's commands are run: blocks, conditions, loops, chains."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import MutableMapping
from dataclasses import dataclass, field

from simulator.guests import shell, words
from simulator.guests.shell import Block, For, Function, If, Loop


class Stopped(Exception):
    """The script is over, with that status."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


class Continue(Exception):
    """The next turn of a loop."""


class Break(Exception):
    """The end of a loop."""


@dataclass(kw_only=True)
class Blocks(ABC):
    """`files`: those of the disk; `pause`: seconds (scaled) between two tries of a loop."""

    files: MutableMapping[str, str]
    pause: float
    _variables: dict[str, str] = field(default_factory=dict)
    _functions: dict[str, Block] = field(default_factory=dict)
    _strict: bool = False
    """Whether a failure ends the script (`set -e`)."""
    _final: bool = True
    """Whether the last command run was the last of its chain."""

    @abstractmethod
    async def _command(self, command: str) -> bool | None:
        """The status of one command, None when nothing can be said of it."""

    @abstractmethod
    async def _expanded(self, text: str) -> str:
        """Text with the values of variables and the output of commands in their places."""

    async def _block(self, block: Block) -> bool | None:
        status: bool | None = True
        for node in block:
            match node:
                case Function():
                    self._functions[node.name] = node.body
                case If():
                    status = await self._if(node)
                case For():
                    status = await self._for(node)
                case Loop():
                    status = await self._loop(node)
                case _:
                    status = await self._chain(node)
                    if status is False and self._strict and self._final:
                        raise Stopped(1)
        return status

    async def _if(self, node: If) -> bool | None:
        for condition, body in node.branches:
            if not condition or await self._condition(condition):
                return await self._block(body)
        return True

    async def _condition(self, line: str) -> bool | None:
        """As a condition: no failure in it ends the script, in functions that it calls neither."""
        kept, self._strict = self._strict, False
        try:
            return await self._chain(line)
        finally:
            self._strict = kept

    async def _for(self, node: For) -> bool | None:
        status: bool | None = True
        for word in words.globbed(words.split(await self._expanded(node.words)), self.files):
            self._variables[node.name] = word
            try:
                status = await self._block(node.body)
            except Continue:
                continue
            except Break:
                break
        return status

    async def _loop(self, node: Loop) -> bool:
        while True:
            held = await self._condition(node.condition)
            if held is None or held is node.until:
                return True
            try:
                await self._block(node.body)
            except Continue:
                pass
            except Break:
                return True
            await asyncio.sleep(self.pause)

    async def _chain(self, line: str) -> bool | None:
        """The status of `a && b || c`; None when nothing can be said of it."""
        status: bool | None = True
        commands = shell.chain(line)
        for place, (before, command) in enumerate(commands):
            if (before == "&&" and status is not True) or (before == "||" and status is not False):
                continue
            final = place == len(commands) - 1
            status = await (self._command(command) if final else self._condition(command))
            self._final = final
        return status
