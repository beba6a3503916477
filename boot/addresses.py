"""Where machines are reached on loopback. Each start of one gets new addresses, as each launcher pod does."""

from __future__ import annotations

import random
import socket
from dataclasses import dataclass

from pool.kubevirt.cluster import API_PORT

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Placed:
    """Where one run of a machine is reached from outside.

    `api`: an address of loopback, at whose port 6443 the machine's own is. `wireguard`: a UDP port of 127.0.0.1, where
    QEMU gives callers the gateway's address; from other addresses of loopback they would look like what no router lets
    pass.
    """

    api: str
    wireguard: int


def new_place() -> Placed:
    """Addresses that nobody has at this moment."""
    while True:
        api = f"127.{random.randint(64, 127)}.{random.randint(0, 255)}.{random.randint(1, 254)}"
        with socket.socket() as probe:
            try:
                probe.bind((api, API_PORT))
            except OSError:
                continue
        return Placed(api, _unused_udp_port())


def udp_socket() -> socket.socket:
    """One that does not block."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    return made


def _unused_udp_port() -> int:
    with udp_socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
