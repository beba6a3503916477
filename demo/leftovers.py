"""What a killed demo (or test session) left running: found by the records of its processes, ended by the next start.

A folder belongs to the process that holds its lock. The system drops the lock when that process dies, however it dies;
then what it started is left over.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil


class FolderInUse(RuntimeError):
    """Another process works in the folder; the message names it."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder`, which is made if it is missing. Raises FolderInUse if another process holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderInUse(f"another demo runs in {folder}; stop that one, or give this one a --folder") from None
        yield


def record(path: Path, pid: int, stop_signal: signal.Signals) -> None:
    """Write down a process that was started: its pid, when it was started (pids come again), and how to end it."""
    try:
        path.write_text(f"{pid} {psutil.Process(pid).create_time()} {stop_signal.value}")
    except psutil.NoSuchProcess:
        return  # ended already


async def end_leftovers(folder: Path) -> None:
    """End the process groups whose records are in `folder`, all at once, and remove the records."""
    await asyncio.gather(*(_end(path) for path in folder.glob("*.pid")))


async def _end(path: Path) -> None:
    pid, created, stop_signal = path.read_text().split()
    process = _process(int(pid), float(created))
    if process is not None:
        await end(process, signal.Signals(int(stop_signal)))
    path.unlink(missing_ok=True)


async def end(process: psutil.Process, stop_signal: signal.Signals, grace: float = 10.0) -> None:
    """End a process that leads its group: by its signal, and SIGKILL after `grace` seconds."""
    for number in (stop_signal, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            await asyncio.to_thread(process.wait, grace)
        except (ProcessLookupError, psutil.NoSuchProcess):
            return
        except psutil.TimeoutExpired:
            continue
        return


def _process(pid: int, created: float) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
        return process if process.create_time() == created else None
    except psutil.Error:
        return None
