"""The machines of a host and the network between them: Services, pod addresses, WireGuard links."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from simulator.client import Obj
from simulator.guests.pulse import Pulse

if TYPE_CHECKING:
    from simulator.guests.machine import Machine

Services = Callable[[str], Iterable[Obj]]
"""The host's Services of a namespace."""


class Neighbours:
    """All running machines; `changed` beats when one comes, goes or starts to serve."""

    def __init__(self, services: Services) -> None:
        self.changed = Pulse()
        self._services = services
        self._machines: dict[str, Machine] = {}

    def add(self, machine: Machine) -> None:
        self._machines[machine.hardware.uid] = machine
        self.changed.beat()

    def remove(self, machine: Machine) -> None:
        self._machines.pop(machine.hardware.uid, None)
        self.changed.beat()

    def behind(self, host: str, namespace: str) -> Machine | None:
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

    def _selected(self, namespace: str, selector: dict[str, str]) -> Machine | None:
        for machine in self._machines.values():
            if machine.hardware.namespace == namespace and selector:
                labels = machine.hardware.labels
                if all(labels.get(key) == value for key, value in selector.items()):
                    return machine
        return None
