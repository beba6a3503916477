"""What `make boot` tells: a pair boots, is restored from golden copies under new addresses, and loses its power.

Every step is checked; the first that does not hold ends the story with its name.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boot.console import tail
from boot.cuts import Cut, cut_and_restart
from boot.disks import copy
from boot.looking import administrator, until_ready
from boot.node import Node
from boot.pods import Pods
from demo.screen import Screen
from pool.guest.identity import Identity


class Refused(RuntimeError):
    """First boot says that trying again will not help; the message is its own."""


@dataclass(frozen=True)
class Patience:
    """Seconds for a pair to get Ready, for pods to talk, for a guest to switch itself off."""

    ready: float
    pods: float
    off: float


ACCELERATED = Patience(ready=900, pods=180, off=120)
EMULATED = Patience(ready=5400, pods=1800, off=600)
"""A processor that is emulated is some twenty times slower."""


class Story:
    """The story of one pair. `nodes`: the control plane and the worker, in this order."""

    def __init__(self, screen: Screen, folder: Path, nodes: tuple[Node, Node], identity: Identity, image: Path) -> None:
        self._screen = screen
        self._folder = folder
        self._nodes = nodes
        self._identity = identity
        self._image = image
        self._golden: dict[str, int] = {}
        self._patience = EMULATED if nodes[0].hardware.emulated else ACCELERATED

    async def tell(self, cuts: Sequence[Cut], size: str, *, pods: bool) -> None:
        """All of it: `cuts` in a second first boot, on new disks of `size`; `pods` that talk, if there is a network."""
        await self._first_boot(size)
        if pods:
            await self._pods_talk()
        await self._golden_copies()
        await self._restore()
        if pods:
            await self._pods_talk()
        if cuts:
            await self._lose_power(cuts, size)

    async def end(self) -> None:
        """Switch off what is on."""
        await asyncio.gather(*(node.cut() for node in self._nodes))

    async def _first_boot(self, size: str) -> None:
        with self._step("first boot, until both nodes are Ready"):
            await self._new_disks("first", size)
            async with self._telling():
                await self._power_on()
                await self._ready({})

    async def _pods_talk(self) -> None:
        control_plane, worker = (node.name for node in self._nodes)
        with self._step(
            "nodes, pods and Services reach each other across the link, and a NetworkPolicy keeps others out"
        ):
            async with administrator(self._nodes, self._identity, self._folder / "kubeconfig") as kube:
                addresses = await Pods(kube, (control_plane, worker)).talk(self._patience.pods)
        self._screen.note(", ".join(f"{node} {address}" for node, address in addresses.items()))

    async def _golden_copies(self) -> None:
        with self._step("both machines switch themselves off; their disks are copied as golden"):
            await self._each(node.power_down(self._patience.off) for node in self._nodes)
            await self._each(copy(node.files.disk, self._golden_disk(node)) for node in self._nodes)

    async def _restore(self) -> None:
        with self._step("both disks restored, new addresses, until both nodes are Ready"):
            await self._each(node.new_disk(self._golden_disk(node), "restored") for node in self._nodes)
            async with self._telling():
                await self._power_on()
                await self._ready(self._golden)

    async def _lose_power(self, cuts: Sequence[Cut], size: str) -> None:
        where = ", ".join(map(str, cuts))
        with self._step(f"first boot again, power cut at {where} on both, until both nodes are Ready"):
            await self.end()
            await self._new_disks("cut", size)
            async with self._telling():
                watches = [cut_and_restart(node, node.says(), cuts, self._told) for node in self._nodes]
                await self._power_on()
                async with asyncio.timeout(self._patience.ready):
                    await self._each(watches)
                await self._ready({})

    def _step(self, title: str) -> AbstractContextManager[None]:
        self._told(f"{title}:")
        return self._screen.step(title)

    async def _new_disks(self, name: str, size: str) -> None:
        await self._each(node.new_disk(self._image, name, size) for node in self._nodes)

    async def _power_on(self) -> None:
        await self._each(node.power_on() for node in self._nodes)

    async def _ready(self, golden: dict[str, int]) -> None:
        nodes = await until_ready(
            self._nodes, self._identity, golden, timeout=self._patience.ready, seen=self._screen.detail
        )
        self._golden = {node.name: node.boots or 0 for node in nodes}
        for node in nodes:
            self._told(f"{node.name}: Ready in boot {node.boots} of its disk, boot ID {node.boot_id}")

    @asynccontextmanager
    async def _telling(self) -> AsyncIterator[None]:
        """Tell what the consoles say meanwhile. Raises Refused as soon as a first boot says that it is of no use."""

        async def listen(node: Node) -> None:
            async for said in node.says():
                self._told(f"{node.name}: {said}")
                if said.word == "refused":
                    raise Refused(f"{node.name}: {said}")

        try:
            async with asyncio.TaskGroup() as listeners:
                tasks = [listeners.create_task(listen(node)) for node in self._nodes]
                yield
                for task in tasks:
                    task.cancel()
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def _each(self, work: Iterable[Coroutine[Any, Any, None]]) -> None:
        """All at once; the first failure ends the others."""
        try:
            async with asyncio.TaskGroup() as group:
                for one in work:
                    group.create_task(one)
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None

    def _told(self, text: str) -> None:
        self._screen.note(f"{self._screen.elapsed():6.0f} s  {text}")

    def _golden_disk(self, node: Node) -> Path:
        return self._folder / f"{node.name}-golden.qcow2"

    def consoles(self) -> str:
        """The ends of both consoles, for a story that did not hold."""
        return "\n".join(f"--- {node.name}\n{tail(node.files.console)}" for node in self._nodes)
