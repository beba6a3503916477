"""Child processes of the demo: started with a log file each, awaited until ready, ended by their own pid."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from demo.leftovers import record


class ChildFailed(RuntimeError):
    """A child ended, or did not get ready in time; the message has the end of its log."""


@dataclass
class Child:
    """A running child process and the file that has its output."""

    name: str
    process: asyncio.subprocess.Process
    log: Path
    stop_signal: signal.Signals

    def tail(self, lines: int = 8) -> str:
        """The last `lines` lines of the child's output."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    async def stop(self, grace: float = 10.0) -> None:
        """End the child and its own children: by its stop signal, and SIGKILL after `grace` seconds."""
        if self.process.returncode is None:
            _signal_group(self.process.pid, self.stop_signal)
            try:
                await asyncio.wait_for(self.process.wait(), grace)
            except TimeoutError:
                _signal_group(self.process.pid, signal.SIGKILL)
                await self.process.wait()
        self.log.with_suffix(".pid").unlink(missing_ok=True)


async def start(
    name: str,
    command: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str],
    stop_signal: signal.Signals = signal.SIGTERM,
) -> Child:
    """Start `command` in a process group of its own, its output going to `log`, its record (leftovers) beside it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **env},
            start_new_session=True,
        )
    record(log.with_suffix(".pid"), process.pid, stop_signal)
    return Child(name, process, log, stop_signal)


async def until_ready(child: Child, ready: Callable[[], Awaitable[bool]], *, timeout: float) -> None:
    """Wait until `ready()` holds. Raises ChildFailed when the child ends first or `timeout` seconds have passed."""
    try:
        async with asyncio.timeout(timeout):
            while not await ready():
                if child.process.returncode is not None:
                    code = child.process.returncode
                    raise ChildFailed(f"{child.name} ended with status {code}; its log says:\n{child.tail()}")
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise ChildFailed(f"{child.name} was not ready within {timeout:.0f} s; its log says:\n{child.tail()}") from None


async def ready_or_stopped(child: Child, ready: Callable[[], Awaitable[bool]], *, timeout: float) -> Child:
    """`until_ready`, and a child that does not get there is stopped."""
    try:
        await until_ready(child, ready, timeout=timeout)
    except BaseException:
        await child.stop()
        raise
    return child


async def answers(url: str) -> bool:
    """Whether `url` answers 200 to a GET."""
    async with httpx.AsyncClient(timeout=2.0, trust_env=False) as client:
        try:
            return (await client.get(url)).status_code == 200
        except httpx.HTTPError:
            return False


PORTS = range(20_000, 32_768)
"""Below those that Linux gives to outgoing connections, which could take one before who asked for it listens there."""


def free_port(preferred: int = 0) -> int:
    """`preferred` if nothing listens there on loopback, else any free port."""
    for port in (preferred or random.choice(PORTS), *random.sample(PORTS, 1000)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError(f"no free port among 1000 from {PORTS.start} to {PORTS.stop} on 127.0.0.1")


def _signal_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return  # ended by itself in the meantime
