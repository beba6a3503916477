"""One run of a machine, from its power-on to its end: a process of QEMU, spoken to over QMP."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from demo.leftovers import record

GREETING = 30.0
"""Seconds until QEMU answers: it begins to before the machine does."""


class QemuFailed(RuntimeError):
    """QEMU ended or said no; the message has what it wrote."""


class Qemu:
    """A running machine. Made by `power_on`; it ends by `power_down`, `cut` or by itself."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def running(self) -> bool:
        """Whether the machine is on."""
        return self._process.returncode is None

    async def power_down(self, timeout: float) -> None:
        """Press the power button and wait until the guest has switched itself off. Raises QemuFailed in the end."""
        await self._say("system_powerdown")
        try:
            await asyncio.wait_for(self._process.wait(), timeout)
        except TimeoutError:
            raise QemuFailed(f"the guest did not switch itself off within {timeout:.0f} s") from None
        finally:
            self._forget()

    async def cut(self) -> None:
        """Cut the power: what the guest had not written to its disk is lost."""
        if self.running:
            self._process.kill()
        await self._process.wait()
        self._forget()

    async def greet(self) -> None:
        """Wait until QEMU is there. Raises QemuFailed."""
        try:
            async with asyncio.timeout(GREETING):
                await self._answer()
                await self._say("qmp_capabilities")
        except TimeoutError:
            raise QemuFailed(f"QEMU said nothing for {GREETING:.0f} s") from None

    async def _say(self, order: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"execute": order}).encode() + b"\n")
        while "return" not in (answer := await self._answer()):
            if "error" in answer:
                raise QemuFailed(f"{order}: {answer['error']['desc']}")

    async def _answer(self) -> dict[str, Any]:
        """The next answer or event."""
        assert self._process.stdout is not None
        if not (line := await self._process.stdout.readline()):
            await self._process.wait()
            raise QemuFailed(f"QEMU ended: {self._log.read_text(errors='replace').strip() or self._process.returncode}")
        return dict(json.loads(line))

    def _forget(self) -> None:
        self._log.with_suffix(".pid").unlink(missing_ok=True)


async def power_on(command: Sequence[str], log: Path) -> Qemu:
    """Switch a machine on: QEMU's errors go to `log`, its record (demo.leftovers) beside it. Raises QemuFailed."""
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            # Ctrl-C is for us; the machines are ended by us.
            start_new_session=True,
        )
    record(log.with_suffix(".pid"), process.pid, signal.SIGTERM)
    made = Qemu(process, log)
    try:
        await made.greet()
    except BaseException:
        await made.cut()
        raise
    return made
