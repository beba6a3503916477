"""A Service of UDP on loopback: its own port stays, the machine that it leads to changes.

Each caller has a socket of its own towards the machine, so that answers find back, as kube-proxy's conntrack does it.
A new address of the machine ends these flows: what was on its way to the old one is lost, as it is when a pod is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

from boot.addresses import LOOPBACK, udp_socket

Address = tuple[str, int]

LARGEST = 65535
"""Bytes of a datagram."""


class Service:
    """One Service. Made inside a running event loop; `close` it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = udp_socket()
        self._socket.bind((LOOPBACK, 0))
        self._machine: Address | None = None
        self._flows: dict[Address, socket.socket] = {}
        self._loop.add_reader(self._socket, self._from_callers)

    @property
    def port(self) -> int:
        """Where it is called; the same for as long as it is there."""
        return int(self._socket.getsockname()[1])

    def lead_to(self, port: int) -> None:
        """From now on the machine is at `port` of loopback."""
        self._end_flows()
        self._machine = (LOOPBACK, port)

    def close(self) -> None:
        """Be called no more."""
        self._end_flows()
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _from_callers(self) -> None:
        for data, caller in _received(self._socket):
            if self._machine is not None:
                flow = self._flows.get(caller) or self._new_flow(caller, self._machine)
                # A machine that is not there says so at the next datagram; this one is lost, as datagrams are.
                with contextlib.suppress(OSError):
                    flow.send(data)

    def _from_machine(self, flow: socket.socket, caller: Address) -> None:
        for data, _ in _received(flow):
            with contextlib.suppress(OSError):
                self._socket.sendto(data, caller)

    def _new_flow(self, caller: Address, machine: Address) -> socket.socket:
        flow = udp_socket()
        flow.connect(machine)
        self._flows[caller] = flow
        self._loop.add_reader(flow, self._from_machine, flow, caller)
        return flow

    def _end_flows(self) -> None:
        for flow in self._flows.values():
            self._loop.remove_reader(flow)
            flow.close()
        self._flows.clear()


def _received(source: socket.socket) -> Iterator[tuple[bytes, Address]]:
    """All that has arrived."""
    while True:
        try:
            yield source.recvfrom(LARGEST)
        except BlockingIOError:
            return
        except ConnectionRefusedError:
            continue  # the answer to an earlier datagram
