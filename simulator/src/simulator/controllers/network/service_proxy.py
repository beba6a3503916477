"""kube-proxy: connections to a Service's cluster address are forwarded to one of its ready endpoints.

These are read from the pods themselves: their addresses are on loopback, which API servers refuse in Endpoints.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass

from simulator.client import Obj
from simulator.client.meta import deleting
from simulator.client.resources import ENDPOINTS, PODS, SERVICES
from simulator.controllers.network.endpoints import services_of, subsets_of
from simulator.controllers.runtime.manager import Context, Controller
from simulator.controllers.runtime.workqueue import Key

log = logging.getLogger("simulator.controllers.service-proxy")
CHUNK = 65536
Listening = tuple[str, int]
"""Address and port."""
Accept = Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]


@dataclass(frozen=True)
class Connection:
    """A client's connection to a Service, and the endpoint it goes to."""

    key: Key
    target: Listening
    writer: asyncio.StreamWriter


class ServiceProxy(Controller):
    """Listens on clusterIP:port of TCP Services that have an endpoint; without one, connections are refused, as
    kube-proxy rejects them. UDP is accepted and goes nowhere."""

    name = "service-proxy"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._servers: dict[Key, dict[Listening, asyncio.Server]] = {}
        self._connections: dict[asyncio.Task[None], Connection] = {}

    def watch(self) -> None:
        self.follow(SERVICES)
        self.follow(ENDPOINTS)
        self.context.cache(PODS).subscribe(self._pod_changed)

    def _pod_changed(self, pod: Obj) -> None:
        for key in services_of(self.context, pod):
            self.queue.add(key)

    def _behind(self, key: Key) -> tuple[Obj | None, list[Obj]]:
        """The Service and what is behind it: the pods that it selects; without a selector, what its Endpoints list."""
        service = self.context.cache(SERVICES).get(*key)
        if service is not None and service["spec"].get("selector"):
            return service, subsets_of(service, self.context.cache(PODS).inside(key[0]))
        return service, (self.context.cache(ENDPOINTS).get(*key) or {}).get("subsets") or []

    async def stop(self) -> None:
        for key in list(self._servers):
            self._close(key, set())
        tasks = list(self._connections)
        for task in tasks:
            self._drop(task)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def reconcile(self, key: Key) -> float | None:
        service, subsets = self._behind(key)
        wanted = listeners(service, subsets)
        self._close(key, set(wanted))
        self._cut(key, service, subsets)
        servers = self._servers.setdefault(key, {})
        for place in wanted:
            if place in servers:
                continue
            try:
                servers[place] = await asyncio.start_server(self._handler(key, place[1]), *place)
            except OSError as error:
                text = f"cannot listen on {place[0]}:{place[1]}: {error.strerror or error}"
                self.context.events.record(service or {}, "Warning", "ListenFailed", text, component="kube-proxy")
                return self.delays.retry
        if not servers:
            del self._servers[key]
        return None

    def _close(self, key: Key, kept: set[Listening]) -> None:
        for place, server in list(self._servers.get(key, {}).items()):
            if place not in kept:
                server.close()
                del self._servers[key][place]

    def _cut(self, key: Key, service: Obj | None, subsets: list[Obj]) -> None:
        """Drop connections to endpoints that are no more."""
        alive = {address for subset in subsets for address in addresses_of(subset)}
        for task, connection in list(self._connections.items()):
            if connection.key == key and (service is None or connection.target[0] not in alive):
                self._drop(task)

    def _drop(self, task: asyncio.Task[None]) -> None:
        """End a connection, even one whose task has not begun."""
        task.cancel()
        self._connections.pop(task).writer.transport.abort()

    def _handler(self, key: Key, port: int) -> Accept:
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            target = self._target(key, port)
            if target is None:
                writer.transport.abort()
                return
            task = asyncio.create_task(_forward(reader, writer, target))
            self._connections[task] = Connection(key, target, writer)
            task.add_done_callback(lambda task: self._connections.pop(task, None))

        return accept

    def _target(self, key: Key, port: int) -> Listening | None:
        """Where a new connection goes."""
        service, subsets = self._behind(key)
        if service is None:
            return None
        for index, one in enumerate(service["spec"].get("ports") or []):
            if one["port"] == port and one.get("protocol", "TCP") == "TCP":
                places = [
                    (address, subset["ports"][index]["port"]) for subset in subsets for address in addresses_of(subset)
                ]
                return random.choice(places) if places else None
        return None


def addresses_of(subset: Obj) -> list[str]:
    return [address["ip"] for address in subset.get("addresses") or []]


def listeners(service: Obj | None, subsets: list[Obj]) -> list[Listening]:
    """Where to listen for a Service: nowhere without a ready endpoint."""
    if service is None or deleting(service):
        return []
    address = service["spec"].get("clusterIP")
    ready = any(addresses_of(subset) for subset in subsets)
    if not address or address == "None" or not ready:
        return []
    ports = service["spec"].get("ports") or []
    return [(address, port["port"]) for port in ports if port.get("protocol", "TCP") == "TCP"]


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: Listening) -> None:
    """Bytes both ways until one side ends. A refused target ends the connection, as a reset does."""
    try:
        far_reader, far_writer = await asyncio.open_connection(*target)
    except OSError:
        writer.transport.abort()
        return
    there = asyncio.create_task(_pump(reader, far_writer))
    back = asyncio.create_task(_pump(far_reader, writer))
    try:
        await asyncio.wait([there, back], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (there, back):
            task.cancel()
        far_writer.transport.abort()
        writer.transport.abort()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await source.read(CHUNK):
            sink.write(chunk)
            await sink.drain()
