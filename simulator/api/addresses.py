"""Cluster addresses of Services."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from simulator.api.admission import AdmissionRequest
from simulator.api.errors import Cause, invalid
from simulator.api.store import Store
from simulator.api.values import shown

Obj = dict[str, Any]
SERVICES = ("", "services")


class Addresses:
    """Gives each Service an address of `cidr` that no other one has; an admission hook."""

    def __init__(self, store: Store, cidr: str) -> None:
        self._store = store
        self._network = ipaddress.ip_network(cidr)
        self._next: Iterator[Any] = iter(())

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

    def _free(self) -> str:
        taken = self._taken()
        for _ in range(2):
            for address in self._next:
                if str(address) not in taken:
                    return str(address)
            # At the end of the range, or at the very beginning: addresses given back are used again last.
            self._next = self._network.hosts()
        raise RuntimeError(f"no free address in {self._network}")

    def _check(self, given: str, request: AdmissionRequest) -> None:
        try:
            inside = ipaddress.ip_address(given) in self._network
            fault = "" if inside else f"failed to allocate IP {given}: the provided IP ({given}) is not in the valid range."
        except ValueError:
            fault = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
        if not fault and given in self._taken():
            fault = f"failed to allocate IP {given}: provided IP is already allocated"
        if fault:
            cause = Cause("spec.clusterIPs", f"Invalid value: {shown([given])}: {fault}")
            raise invalid("", "Service", request.name, [cause])
