"""What the containers of launcher pods print: the guest's console, and nothing of the others."""

from __future__ import annotations

from simulator.api.reading.logs import Line
from simulator.client import Obj
from simulator.controllers.runtime.workqueue import Key
from simulator.controllers.virt.launcher import CONSOLE_LOG, CREATED_BY
from simulator.guests.console import Console


class ConsoleLogs:
    """The consoles of the instances that are there, by their namespace and name."""

    def __init__(self) -> None:
        self._consoles: dict[Key, Console] = {}

    def open(self, key: Key, uid: str) -> Console:
        """A new one, for an instance that starts."""
        console = self._consoles[key] = Console(uid)
        return console

    def close(self, key: Key) -> None:
        """The instance is gone, and its pod with it."""
        self._consoles.pop(key, None)

    def printed(self, pod: Obj, container: str) -> list[Line]:
        """What a container of a pod printed."""
        meta = pod["metadata"]
        labels = meta.get("labels") or {}
        console = self._consoles.get((meta.get("namespace", ""), labels.get("vm.kubevirt.io/name", "")))
        if console is None or container != CONSOLE_LOG or console.uid != labels.get(CREATED_BY):
            return []
        return list(console.lines)
