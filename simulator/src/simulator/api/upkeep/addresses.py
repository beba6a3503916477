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
HELD_AT = 6443
"""UDP port of the sockets that hold addresses."""


class Addresses:
    """Gives each Service an address of `cidr` that no other one has; an admission hook."""

    def __init__(self, store: Store, cidr: str) -> None:
        self._store = store
        self._network = ipaddress.ip_network(cidr)
        self._held: dict[str, socket.socket] = {}

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
            given = self._free()
        elif given != "None" and given != old.get("clusterIP"):
            self._check(given, request)
        spec["clusterIP"] = given
        spec["clusterIPs"] = [given]

    def _taken(self) -> set[str]:
        return {str(stored.obj["spec"].get("clusterIP")) for stored in self._store.list(SERVICES)}

    def close(self) -> None:
        """Give all back."""
        self._give_back(set(self._held))

    def _free(self) -> str:
        """An address picked by chance, as the real allocator does. Another simulator on this machine has the same
        range, so each is held for as long as its Service lives."""
        taken = self._taken()
        self._give_back(self._held.keys() - taken)
        for _ in range(TRIES):
            address = str(self._network[random.randrange(2, self._network.num_addresses - 1)])
            if address not in taken and self._hold(address):
                return address
        raise RuntimeError(f"no free address in {self._network}")

    def _hold(self, address: str) -> bool:
        """Whether nobody else has it. Nobody listens on one that is not this machine's."""
        try:
            self._held[address] = hold(address)
        except OSError as error:
            return error.errno != errno.EADDRINUSE
        return True

    def _give_back(self, addresses: set[str]) -> None:
        for address in addresses:
            self._held.pop(address).close()

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


def hold(address: str) -> socket.socket:
    """A socket that keeps `address` from other simulators of this machine: UDP, which nothing else uses there.

    Raises OSError where another has it (EADDRINUSE), or it is not this machine's.
    """
    held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        held.bind((address, HELD_AT))
    except OSError:
        held.close()
        raise
    return held
