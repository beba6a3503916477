"""The first boot of a machine: runs the script that sets it up, step by step if it has steps, until that worked.

What a script with steps does around them is played, not run: it prints `UNIT: STEP: begins`, `failed: ...`,
`refused: ...`, `says: ...` and `UNIT: done` on the console, and keeps the same in a file.
"""

from __future__ import annotations

import asyncio
import re
from typing import Protocol

from simulator.guests.first_boot import Script, files_in
from simulator.guests.interpreter import Interpreter
from simulator.guests.node import Node, Owner
from simulator.guests.setup import Setup

TAG = re.compile(r"^\+\w+:\s*")
"""By which scripts tell lines of their own from those of the programs that they run."""
POINTS = ("kubeadm", "kubectl", "apt-get", "sync", "touch", "cp", "mv", "rm", "install", "crictl", "ctr")
"""Programs after which the power may be cut."""


class Stepping(Owner, Protocol):
    """A machine of which `step` says what it is at."""

    step: str


class FirstBoot:
    """Runs a script on a machine that is to become a node."""

    def __init__(self, machine: Stepping, node: Node, script: Script) -> None:
        self._machine = machine
        self._node = node
        self._script = script
        self._told = ""
        self._setup = Setup(machine, node, retried=script.restart is not None, aloud=not script.steps)

    async def run(self) -> None:
        """Until it worked, or nobody tries again."""
        while not await self._try():
            if self._script.restart is None:
                return
            await asyncio.sleep(self._script.restart / self._machine.delays.speed)

    async def _try(self) -> bool:
        """Whether there is nothing left to try."""
        script, files = self._script, self._machine.disk.files
        if not script.steps:
            return await self._whole()
        if script.synced:
            self._machine.disk.sync()
        for path in files_in(script.steps, files):
            self._machine.step = path.rpartition("/")[2]
            status, why = await self._step(files[path])
            if status:
                end = "refused" if status in script.final else "failed"
                self._record(f"{self._machine.step}: {end}: {why}", wrong=True)
                return end == "refused"
        self._machine.step = ""
        await self._finish()
        return True

    async def _whole(self) -> bool:
        """A script that does everything itself: what it prints goes to the console, of which only failures are told."""
        shell = self._interpreter()
        if await shell.run(self._script.text):
            self._machine.disk.settle()
            return True
        if shell.last != self._setup.failed:
            self._machine.say(shell.last or f"exit status {shell.status}", wrong=True)
        return shell.status in self._script.final

    async def _step(self, text: str) -> tuple[int, str]:
        """The exit status, and why it failed."""
        machine = self._machine
        self._record(f"{machine.step}: begins")
        await asyncio.sleep(machine.delays.step)
        await machine.reached("")
        shell = self._interpreter()
        await shell.run(text)
        if not shell.status:
            await machine.reached("end")
            if self._script.synced:
                machine.disk.sync()
                await machine.reached("synced")
        return shell.status, TAG.sub("", shell.last) or f"exit status {shell.status}"

    async def _finish(self) -> None:
        disk = self._machine.disk
        self._keep("done")
        for mark in self._script.marks:
            disk.files[mark] = ""
        disk.settle()
        await self._machine.reached("done")
        self._print("done")
        self._note("done")

    def _interpreter(self) -> Interpreter:
        machine = self._machine

        def says(line: str) -> None:
            self._print(f"{machine.step}: says: {line}")

        async def ran(words: list[str]) -> None:
            name = words[0].rpartition("/")[2]
            if name == "mv" and words[2:]:
                machine.disk.moved(*words[-2:])
            if name in POINTS:
                await machine.reached(" ".join([name, *words[1:2]]) if name in POINTS[:3] else name)

        return Interpreter(
            files=machine.disk.files,
            actions=self._setup.actions,
            says=says,
            console=machine.console.print,
            ran=ran,
            pause=machine.delays.retry,
        )

    def _record(self, text: str, *, wrong: bool = False) -> None:
        self._keep(text)
        self._print(text)
        if wrong and text != self._told:
            self._told = text
            self._machine.tell(f"{self._script.name}: {text}", wrong=True)
            self._note(text)

    def _keep(self, text: str) -> None:
        if self._script.state:
            self._machine.disk.files[self._script.state] = f"{text}\n"

    def _print(self, text: str) -> None:
        self._machine.console.print(f"{self._script.name}: {text}")

    def _note(self, text: str) -> None:
        """Said on the Node, as soon as there is one."""
        if self._script.says:
            self._node.note({self._script.says: text})
