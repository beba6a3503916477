"""The relay that stands for the Services of WireGuard.

What                                   What is to happen
-------------------------------------  ------------------------------------------------
a call, an answer                      each arrives; the machine sees one caller a VM
the machine moves                      calls go to its new place, none to the old one
nobody is there                        it is lost, as datagrams are; later ones arrive
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from boot.addresses import LOOPBACK, new_place, udp_socket
from boot.relay import Service


class Peer:
    """One end: a socket on loopback."""

    def __init__(self) -> None:
        self.socket = udp_socket()
        self.socket.bind((LOOPBACK, 0))
        self.port: int = self.socket.getsockname()[1]

    async def received(self) -> tuple[bytes, tuple[str, int]]:
        return await asyncio.get_running_loop().sock_recvfrom(self.socket, 100)

    def send(self, data: bytes, port: int) -> None:
        self.socket.sendto(data, (LOOPBACK, port))

    def silent(self) -> bool:
        with pytest.raises(BlockingIOError):
            self.socket.recv(100)
        return True


@pytest.fixture
def peers() -> Iterator[list[Peer]]:
    made = [Peer() for _ in range(3)]
    with ExitStack() as sockets:
        for peer in made:
            sockets.enter_context(peer.socket)
        yield made


@pytest.fixture
async def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.close()


async def test_a_call_arrives_and_so_does_its_answer(service: Service, peers: list[Peer]) -> None:
    caller, machine, _ = peers
    service.lead_to(machine.port)
    caller.send(b"hello", service.port)
    said, back = await machine.received()
    machine.send(b"yes", back[1])
    assert (said, await caller.received()) == (b"hello", (b"yes", (LOOPBACK, service.port)))


async def test_callers_are_told_apart(service: Service, peers: list[Peer]) -> None:
    first, second, machine = peers
    service.lead_to(machine.port)
    first.send(b"first", service.port)
    _, back_to_first = await machine.received()
    second.send(b"second", service.port)
    _, back_to_second = await machine.received()
    assert back_to_first != back_to_second
    first.send(b"again", service.port)
    assert await machine.received() == (b"again", back_to_first)


async def test_a_machine_that_moved_is_called_at_its_new_place(service: Service, peers: list[Peer]) -> None:
    caller, former, machine = peers
    service.lead_to(former.port)
    caller.send(b"before", service.port)
    await former.received()
    port = service.port
    service.lead_to(machine.port)
    caller.send(b"after", service.port)
    assert (await machine.received())[0] == b"after"
    assert former.silent()
    assert service.port == port


async def test_what_nobody_hears_is_lost_and_holds_nothing_up(service: Service, peers: list[Peer]) -> None:
    caller, machine, gone = peers
    caller.send(b"to nobody", service.port)
    service.lead_to(gone.port)
    gone.socket.close()
    for _ in range(3):
        caller.send(b"to one who left", service.port)
        await asyncio.sleep(0)
    service.lead_to(machine.port)
    caller.send(b"to one who is there", service.port)
    while (await machine.received())[0] != b"to one who is there":
        pass


def test_each_place_is_a_new_one() -> None:
    places = [new_place() for _ in range(3)]
    assert len({place.api for place in places}) == 3
    with socket.socket() as mine:
        mine.bind((places[0].api, 6443))
