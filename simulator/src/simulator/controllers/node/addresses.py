"""Addresses of the host's pods: loopback ones, so that what listens in them can be dialled."""

from __future__ import annotations

import random
import socket
from collections.abc import Container
from contextlib import suppress

from simulator.api.upkeep.addresses import hold
from simulator.controllers.runtime.workqueue import Key

POD_NETWORK = "127.97."
"""Pods get addresses of 127.97.0.0/16."""


class Addresses:
    """Those in use. Other simulators on this machine take theirs from the same range, so each is held for as long as
    its pod lives."""

    def __init__(self) -> None:
        self._held: dict[Key, socket.socket] = {}

    def take(self, key: Key, used: Container[str | None]) -> str:
        """A new address for the pod `key`, which gives back the one it has; none of `used`."""
        while True:
            address = f"{POD_NETWORK}{random.randrange(256)}.{random.randrange(1, 255)}"
            if address in used:
                continue
            with suppress(OSError):
                held = hold(address)
                self.give_back(key)
                self._held[key] = held
                return address

    def give_back(self, key: Key) -> None:
        if key in self._held:
            self._held.pop(key).close()

    def close(self) -> None:
        """Give all back."""
        for key in list(self._held):
            self.give_back(key)
