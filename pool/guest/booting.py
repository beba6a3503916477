"""Why a new cluster is waited for: its nodes are asked from time to time how far their first boot is.

The serial console says it, which the host keeps, and the Node's annotation where the guest's API answers. The latter is
of the last failure, or the end; the former says as well what is at work since.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, TypeVar

from pool.core.errors import ApiError, GuestUnhealthy
from pool.core.pools import Pool
from pool.guest.answers import Node, understood
from pool.guest.client import Guest, connect_guest
from pool.guest.first_boot import Said, What, on_console, over
from pool.kube.client import Kube
from pool.kube.resources import NODES
from pool.kubevirt.cluster import Cluster, Machine
from pool.kubevirt.console import console_of

T = TypeVar("T")

SILENT = 10.0
"""Seconds for which a boot is waited for before it is asked why: kubeadm alone takes longer."""
PAUSE = 5.0
"""Seconds between two looks at both nodes: what a look reads of a console may be a quarter of a megabyte."""
ABOUT = {
    "10-kernel": "spec.image.url",
    "20-link": "spec.image.url",
    "40-packages": "spec.image.packages or spec.image.url",
    "50-version": "spec.image.url or spec.image.kubernetesVersion",
    "80-addons": "spec.addons",
    "90-prepare": "spec.addons",
}
"""What of the Pool to change where a step refuses."""
WHERE = 'docs/runbook.md, "A bootstrap that does not get on", says where to look'


class FirstBoots:
    """Both nodes' first boots, while they are waited for; `tell` takes a line for whoever follows the work."""

    def __init__(self, kube: Kube, cluster: Cluster, pool: Pool, tell: Callable[[str], None]) -> None:
        self._kube = kube
        self._cluster = cluster
        self._pool = pool
        self._tell = tell
        self._said: dict[str, Said] = {}
        """What each node said last."""
        self._told: set[tuple[str, object]] = set()

    async def during(self, wait: Coroutine[Any, Any, T]) -> T:
        """The result of `wait`, the wait for their health. Its failure says how far they were.

        Raises GuestUnhealthy, at once if a step refuses: that would not change by waiting.
        """
        waiting, following = asyncio.create_task(wait), asyncio.create_task(self._follow())
        tasks: list[asyncio.Task[Any]] = [waiting, following]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                following.result()
            try:
                return waiting.result()
            except GuestUnhealthy as error:
                following.cancel()
                await self._ask(again=False)
                raise self._explained(error) from error
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self) -> NoReturn:
        await asyncio.sleep(SILENT)
        while True:
            await self._ask(again=True)
            await asyncio.sleep(PAUSE)

    async def _ask(self, *, again: bool) -> None:
        """Look at both nodes; again and again, if so, over one connection."""
        try:
            async with connect_guest(self._kube, self._cluster) as guest:
                while True:
                    for machine in self._cluster.machines:
                        await self._look(guest, machine)
                    if not again:
                        return
                    await asyncio.sleep(PAUSE)
        except ApiError as error:
            # The wait may need the host no more.
            self._tell_once((self._cluster.id, "guest"), f"the guest of {self._cluster.id} is not asked: {error}")

    async def _look(self, guest: Guest, machine: Machine) -> None:
        if over(self._said.get(machine.name)):
            return
        said = await _annotated(guest, machine)
        if not over(said):
            said = await self._printed(machine) or said
        if said is None:
            return
        self._said[machine.name] = said
        self._tell_once((machine.name, said), f"first boot of {machine.name}: {said}")
        if said.what is What.REFUSED:
            self._refuse(machine, said)

    async def _printed(self, machine: Machine) -> Said | None:
        try:
            return on_console(await console_of(self._kube, machine))
        except ApiError as error:
            # It may be read again later; the wait goes by the guest's health, not by its words.
            self._tell_once((machine.name, "console"), f"the console of {machine.name} cannot be read: {error}")
            return None

    def _tell_once(self, what: tuple[str, object], words: str) -> None:
        if what not in self._told:
            self._told.add(what)
            self._tell(words)

    def _refuse(self, machine: Machine, said: Said) -> NoReturn:
        image, field = self._pool.spec.image, ABOUT.get(said.step)
        name = self._pool.name
        mend = f"change {field} of Pool {name} (kubectl edit pool {name}), then run rebuild-cluster" if field else WHERE
        raise GuestUnhealthy(
            f"first boot of {machine.name}",
            expected=f"image {image.url} to become a node of Kubernetes {image.kubernetes_version}",
            actual=str(said),
            cure=mend,
        )

    def _explained(self, error: GuestUnhealthy) -> GuestUnhealthy:
        """The same with what the nodes said last, those in trouble first."""
        if not self._said:
            return error
        said = sorted(self._said.items(), key=lambda one: not one[1].wrong)
        words = "; ".join(f"{name}: {one}" for name, one in said)
        return GuestUnhealthy(
            error.what, expected=error.expected, actual=f"{words}; seen last: {error.actual}", cure=WHERE
        )


async def _annotated(guest: Guest, machine: Machine) -> Said | None:
    try:
        return understood(Node, await guest.get(NODES, machine.name)).first_boot
    except GuestUnhealthy:
        # No API yet, no such Node yet, or one that is nobody's business here: the wait itself says so.
        return None
