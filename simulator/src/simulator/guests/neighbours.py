"""The machines of a host and the network between them: Services, pod addresses, WireGuard links."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from simulator.client import Obj
from simulator.guests.control_plane import ControlPlane
from simulator.guests.disk import Disk
from simulator.guests.hardware import Hardware
from simulator.guests.network import Network
from simulator.timing.pulse import Pulse

Services = Callable[[str], Iterable[Obj]]
"""The host's Services of a namespace."""


class Neighbour(Protocol):
    """A running machine as others of its host meet it; `control_plane` is None unless it serves an API."""

    hardware: Hardware
    disk: Disk
    network: Network
    control_plane: ControlPlane | None


class Neighbours:
    """All running machines; `changed` beats when one comes, goes or starts to serve."""

    def __init__(self, services: Services) -> None:
        self.changed = Pulse()
        self._services = services
        self._machines: dict[str, Neighbour] = {}

    def add(self, machine: Neighbour) -> None:
        self._machines[machine.hardware.uid] = machine
        self.changed.beat()

    def remove(self, machine: Neighbour) -> None:
        self._machines.pop(machine.hardware.uid, None)
        self.changed.beat()

    def behind(self, host: str, namespace: str) -> Neighbour | None:
        """The machine that `host` leads to from inside a namespace: a pod address, a Service's address or its name
        (`name`, `name.namespace`, `name.namespace.svc[...]`)."""
        for machine in self._machines.values():
            if machine.hardware.address == host:
                return machine
        name, _, rest = host.partition(".")
        where = rest.split(".")[0] or namespace
        for service in self._services(where):
            spec = service.get("spec", {})
            if service["metadata"]["name"] == name or spec.get("clusterIP") == host:
                return self._selected(where, spec.get("selector") or {})
        for service in self._services(namespace):
            if service.get("spec", {}).get("clusterIP") == host:
                return self._selected(namespace, service["spec"].get("selector") or {})
        return None

    def _selected(self, namespace: str, selector: dict[str, str]) -> Neighbour | None:
        for machine in self._machines.values():
            if machine.hardware.namespace == namespace and selector:
                labels = machine.hardware.labels
                if all(labels.get(key) == value for key, value in selector.items()):
                    return machine
        return None
