"""Pods of both nodes that talk to each other by all ways there are, and one of each that a NetworkPolicy keeps out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from boot.callers import NAMESPACE, POLICY, SELF, friend, friends_only, host, listener, named, stranger
from pool.core.errors import AlreadyExists, PoolError
from pool.kube.client import Kube, Object
from pool.kube.resources import NETWORK_POLICIES, NODES, PODS, SERVICES, Resource

T = TypeVar("T")

PAUSE = 1.0
"""Seconds between two looks."""


class PodsFailed(RuntimeError):
    """They did not reach each other; the message says what was last seen."""


class Pods:
    """On each of two nodes one that listens behind a Service and calls itself by it, one in the network of its node
    that calls the other node's listener and its own by the other node's port, one that may call the other node's
    listener by its name, and a stranger who may not."""

    def __init__(self, kube: Kube, nodes: tuple[str, str]) -> None:
        self._kube = kube
        self._nodes = nodes
        self._last = "nothing"

    async def talk(self, timeout: float) -> dict[str, str]:
        """Have them talk, and the strangers try in vain; returns the listeners' addresses, by node. Raises PodsFailed.
        They are removed in the end."""
        try:
            async with asyncio.timeout(timeout):
                image = await self._until(self._etcd_image)
                at = await self._listen(image)
                await self._call(at, image)
        except TimeoutError:
            raise PodsFailed(f"they did not within {timeout:.0f} s, last seen: {self._last}") from None
        return at

    async def _listen(self, image: str) -> dict[str, str]:
        """The listeners' addresses, by node, as soon as each has called itself."""
        for node in self._nodes:
            await self._create(SERVICES, named(node))
            await self._create(PODS, listener(node, image))
        return {node: await self._until(partial(self._listens, f"listens-{node}")) for node in self._nodes}

    async def _call(self, at: dict[str, str], image: str) -> None:
        first, second = self._nodes
        pairs = ((first, second), (second, first))
        for node, other in pairs:
            door = await self._until(partial(self._door, node, other))
            await self._create(PODS, host(node, [at[other], door], image))
        for node in self._nodes:
            await self._until(partial(self._succeeded, f"host-{node}"))
        await self._create(NETWORK_POLICIES, friends_only())
        for node, other in pairs:
            await self._create(PODS, friend(node, f"listens-{other}", image))
        for node in self._nodes:
            await self._until(partial(self._succeeded, f"calls-{node}"))
        # Only now: who calls in vain where friends get through is kept out.
        for node, other in pairs:
            await self._until(partial(self._kept_out, stranger(node, at[other], image)))
        for node in self._nodes:
            for name in ("listens", "host", "calls", "tries"):
                await self._kube.delete(PODS, f"{name}-{node}", NAMESPACE)
            await self._kube.delete(SERVICES, f"listens-{node}", NAMESPACE)
        await self._kube.delete(NETWORK_POLICIES, POLICY, NAMESPACE)

    async def _until(self, look: Callable[[], Awaitable[T | None]]) -> T:
        """What `look` finds. An API that has just begun to serve refuses this and that (403, no ServiceAccount yet)."""
        while True:
            try:
                if (found := await look()) is not None:
                    return found
            except PoolError as error:
                self._last = str(error)
            await asyncio.sleep(PAUSE)

    async def _create(self, resource: Resource, obj: Object) -> None:
        async def create() -> Object | None:
            try:
                return await self._kube.create(resource, obj)
            except AlreadyExists:
                return obj

        await self._until(create)

    async def _etcd_image(self) -> str | None:
        found = await self._kube.list(PODS, "kube-system", labels="component=etcd")
        self._last = f"{len(found)} pods of etcd in kube-system"
        return str(found[0]["spec"]["containers"][0]["image"]) if found else None

    async def _listens(self, name: str) -> str | None:
        """Its address, once it runs and its other container has called it by its Service."""
        status = await self._status(name)
        states = {one["name"]: one["state"] for one in status.get("containerStatuses", [])}
        called = states.get(SELF, {}).get("terminated", {}).get("exitCode") == 0
        return str(status["podIP"]) if status.get("phase") == "Running" and called else None

    async def _door(self, node: str, other: str) -> str | None:
        """Where a node leads to the listener of another: ADDRESS:PORT."""
        service = await self._kube.get(SERVICES, f"listens-{node}", NAMESPACE)
        addresses = (await self._kube.get(NODES, other)).get("status", {}).get("addresses", [])
        port = service["spec"]["ports"][0].get("nodePort")
        inside = next((one["address"] for one in addresses if one["type"] == "InternalIP"), None)
        self._last = f"node {other} at {inside}, port {port} of each node for listens-{node}"
        return f"{inside}:{port}" if inside and port else None

    async def _succeeded(self, name: str) -> bool | None:
        return (await self._status(name)).get("phase") == "Succeeded" or None

    async def _kept_out(self, pod: Object) -> bool | None:
        """Whether the stranger gave up. One that got through, before the policy was carried out there, tries again."""
        name = pod["metadata"]["name"]
        try:
            await self._kube.create(PODS, pod)
        except AlreadyExists:
            phase = (await self._status(name)).get("phase")
            if phase == "Succeeded":
                await self._kube.delete(PODS, name, NAMESPACE)
            return phase == "Failed" or None
        return None

    async def _status(self, name: str) -> Object:
        status: Object = (await self._kube.get(PODS, name, NAMESPACE)).get("status", {})
        self._last = f"pod {name} {status.get('phase', 'without a phase')}: {status.get('containerStatuses', '')}"
        return status
