"""What VMs print on their serial consoles, in place of what the simulator has them print."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from pool.kube.client import Kube
from pool.kube.resources import PODS, VMIS
from pool.kubevirt.cluster import Cluster
from simulator.api.errors import ApiError
from simulator.api.requests import Request, Response, Target, failure
from simulator.api.server import Next
from simulator.app import Simulator

Printed = str | bytes | ApiError | Callable[[], AsyncIterator[bytes]]
"""A console's log as it is served: text, bytes, a refusal, a stream."""


@dataclass
class Consoles:
    """The logs of launcher pods' `guest-console-log`, by VM; of others they are empty."""

    simulator: Simulator
    printed: dict[str, Printed] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Of which VM, and with which query."""
    often: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once they were asked eight times."""

    def __post_init__(self) -> None:
        self.simulator.api.middlewares.append(self._see)

    async def _see(self, request: Request, target: Target, call: Next) -> Response:
        if (target.plural, target.subresource) != ("pods", "log"):
            return await call()
        vm = target.name.removeprefix("virt-launcher-").rpartition("-")[0]
        self.asked.append((vm, dict(request.query)))
        if len(self.asked) == 8:
            self.often.set()
        printed = self.printed.get(vm, "")
        if isinstance(printed, ApiError):
            return failure(printed)
        if callable(printed):
            return Response(stream=printed(), content_type="text/plain")
        body = printed.encode() if isinstance(printed, str) else printed
        return Response(200, body, "text/plain")


async def with_launchers(kube: Kube, cluster: Cluster) -> None:
    """Both VMs' instances and launcher pods, where no controller makes them."""
    for machine in cluster.machines:
        vmi = await kube.create(VMIS, VMIS.manifest(machine.name, machine.namespace, spec={"domain": {"devices": {}}}))
        labels = machine.labels | {"kubevirt.io/created-by": vmi["metadata"]["uid"]}
        spec = {"containers": [{"name": "compute", "image": "launcher"}]}
        pod = PODS.manifest(f"virt-launcher-{machine.name}-abcde", machine.namespace, labels=labels, spec=spec)
        await kube.create(PODS, pod)
