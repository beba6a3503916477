"""Cluster addresses of Services."""

from __future__ import annotations

import errno
import ipaddress
import random
import socket
from typing import Any

from simulator.api.admission import AdmissionRequest
from simulator.api.errors import Cause, invalid
from simulator.api.store import Store
from simulator.api.values import shown

Obj = dict[str, Any]
SERVICES = ("", "services")
TRIES = 10_000
"""Addresses tried before the range is called full."""


class Addresses:
    """Gives each Service an address of `cidr` that no other one has; an admission hook."""

    def __init__(self, store: Store, cidr: str) -> None:
        self._store = store
        self._network = ipaddress.ip_network(cidr)

    def __call__(self, request: AdmissionRequest) -> None:
        """Raises ApiError 422 for an address that is taken or outside the range."""
        if (request.gvr.group, request.gvr.plural) != SERVICES or request.operation == "DELETE" or request.subresource:
            return
        spec = request.object["spec"]
        if spec.get("type") == "ExternalName":
            return
        old = (request.old_object or {}).get("spec", {})
        given = spec.get("clusterIP")
        if not given:
            given = self._free(spec.get("ports") or [])
        elif given != "None" and given != old.get("clusterIP"):
            self._check(given, request)
        spec["clusterIP"] = given
        spec["clusterIPs"] = [given]

    def _taken(self) -> set[str]:
        return {str(stored.obj["spec"].get("clusterIP")) for stored in self._store.list(SERVICES)}

    def _free(self, ports: list[Obj]) -> str:
        """An address picked by chance, as the real allocator does. Another simulator on this machine has the same
        range, so one whose ports are listened on is passed over."""
        taken = self._taken()
        wanted = [port["port"] for port in ports if port.get("protocol", "TCP") == "TCP"]
        for _ in range(TRIES):
            address = str(self._network[random.randrange(2, self._network.num_addresses - 1)])
            if address not in taken and not any(_listened_on(address, port) for port in wanted):
                return address
        raise RuntimeError(f"no free address in {self._network}")

    def _check(self, given: str, request: AdmissionRequest) -> None:
        try:
            inside = ipaddress.ip_address(given) in self._network
            fault = (
                "" if inside else f"failed to allocate IP {given}: the provided IP ({given}) is not in the valid range."
            )
        except ValueError:
            fault = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
        if not fault and given in self._taken():
            fault = f"failed to allocate IP {given}: provided IP is already allocated"
        if fault:
            cause = Cause("spec.clusterIPs", f"Invalid value: {shown([given])}: {fault}")
            raise invalid("", "Service", request.name, [cause])


def _listened_on(address: str, port: int) -> bool:
    """Whether a process of this machine has the port. Addresses that are not this machine's have no listener."""
    with socket.socket() as probe:
        try:
            probe.bind((address, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False
