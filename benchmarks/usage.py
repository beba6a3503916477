"""What processes use, with their children: CPU seconds, which a busy machine does not change much, and memory."""

from __future__ import annotations

from contextlib import suppress

import psutil


def cpu(pid: int) -> float:
    """Seconds so far, of the process and all its children, those that have ended too."""
    process = psutil.Process(pid)
    seconds = sum(process.cpu_times()[:4])
    for child in process.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            seconds += sum(child.cpu_times()[:4])
    return seconds


def memory(pid: int) -> float:
    """MiB. Of several processes, what they share counts once; of those that end meanwhile there is nothing to count."""
    process = psutil.Process(pid)
    children = process.children(recursive=True)
    if not children:
        return process.memory_info().rss / 2**20
    used = process.memory_full_info().pss
    for child in children:
        with suppress(psutil.NoSuchProcess):
            used += child.memory_full_info().pss
    return used / 2**20


def connections(pid: int, port: int) -> int:
    """To that port."""
    return sum(bool(one.raddr) and one.raddr.port == port for one in psutil.Process(pid).net_connections("tcp"))
