"""Pods of both nodes that talk to each other across the link, and one of each that a NetworkPolicy keeps out.

They run etcd's image, which every image made for kubeadm brings for its control plane: nothing is pulled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from pool.core.errors import AlreadyExists, PoolError
from pool.kube.client import Kube, Object
from pool.kube.resources import NETWORK_POLICIES, PODS, Resource

T = TypeVar("T")

NAMESPACE = "default"
PORT = 2379
BULK = "x" * 60_000
"""What one tells the other: many packets of the full size. With a wrong MTU they never arrive."""
PAUSE = 1.0
"""Seconds between two looks."""
LISTENER, FRIEND = {"cks-boot": "listener"}, {"cks-boot": "friend"}
POLICY = "friends-only"


class PodsFailed(RuntimeError):
    """They did not reach each other; the message says what was last seen."""


class Pods:
    """Three pods on each of two nodes: one that listens, one that may call the other node's, a stranger who may not."""

    def __init__(self, kube: Kube, nodes: tuple[str, str]) -> None:
        self._kube = kube
        self._nodes = nodes
        self._last = "nothing"

    async def talk(self, timeout: float) -> dict[str, str]:
        """Have them talk, and the strangers try in vain; returns the listeners' addresses, by node. Raises PodsFailed.
        They are removed in the end."""
        try:
            async with asyncio.timeout(timeout):
                return await self._talk()
        except TimeoutError:
            raise PodsFailed(f"they did not within {timeout:.0f} s, last seen: {self._last}") from None

    async def _talk(self) -> dict[str, str]:
        first, second = self._nodes
        image = await self._until(self._etcd_image)
        await self._create(NETWORK_POLICIES, friends_only())
        for node in self._nodes:
            await self._create(PODS, listener(node, image))
        at = {node: await self._until(partial(self._address, f"listens-{node}")) for node in self._nodes}
        calls = ((first, at[second]), (second, at[first]))
        for node, address in calls:
            await self._create(PODS, friend(node, address, image))
        for node in self._nodes:
            await self._until(partial(self._succeeded, f"calls-{node}"))
        # Only now: who calls in vain where friends get through is kept out.
        for node, address in calls:
            await self._until(partial(self._kept_out, stranger(node, address, image)))
        for node in self._nodes:
            for name in ("listens", "calls", "tries"):
                await self._kube.delete(PODS, f"{name}-{node}", NAMESPACE)
        await self._kube.delete(NETWORK_POLICIES, POLICY, NAMESPACE)
        return at

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

    async def _address(self, name: str) -> str | None:
        status = await self._status(name)
        return str(status["podIP"]) if status.get("phase") == "Running" and "podIP" in status else None

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


def friends_only() -> Object:
    """The policy by which only friends reach the listeners."""
    made = NETWORK_POLICIES.manifest(POLICY, NAMESPACE)
    made["spec"] = {
        "podSelector": {"matchLabels": LISTENER},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"podSelector": {"matchLabels": FRIEND}}]}],
    }
    return made


def listener(node: str, image: str) -> Object:
    """A pod with an etcd of its own, on `node`."""
    served = ["--listen-client-urls", f"http://0.0.0.0:{PORT}", "--advertise-client-urls", f"http://127.0.0.1:{PORT}"]
    return _pod(f"listens-{node}", node, image, ["etcd", "--data-dir", "/data/etcd", *served], labels=LISTENER)


def friend(node: str, address: str, image: str) -> Object:
    """A pod on `node` that writes something large into the etcd at `address`, and tries until it could."""
    return _pod(f"calls-{node}", node, image, _put(address), labels=FRIEND)


def stranger(node: str, address: str, image: str) -> Object:
    """A pod on `node` that tries the same, once."""
    return _pod(f"tries-{node}", node, image, _put(address), restart="Never")


def _put(address: str) -> list[str]:
    return ["etcdctl", "--endpoints", f"http://{address}:{PORT}", "--command-timeout", "30s", "put", "bulk", BULK]


def _pod(
    name: str,
    node: str,
    image: str,
    order: list[str],
    *,
    labels: dict[str, str] | None = None,
    restart: str = "OnFailure",
) -> Object:
    container = {
        "name": "etcd",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": order,
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    made = PODS.manifest(name, NAMESPACE, labels=labels)
    made["spec"] = {
        "nodeName": node,
        "restartPolicy": restart,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
        "containers": [container],
        "volumes": [{"name": "data", "emptyDir": {}}],
    }
    return made
