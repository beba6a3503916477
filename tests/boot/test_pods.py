"""The pods that talk across the link, on an API server whose kubelets the test plays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from boot import pods
from boot.pods import Pods, PodsFailed
from pool.kube.client import Kube
from pool.kube.resources import NETWORK_POLICIES, NODES, PODS, SERVICES

if TYPE_CHECKING:
    from simulator.app import Simulator

ADDRESSES = {"listens-cp": "10.60.0.7", "listens-wk": "10.60.1.3"}
PORTS = {"listens-cp": 30001, "listens-wk": 30002}
LINKS = {"cp": "10.99.0.1", "wk": "10.99.0.2"}
IMAGE = "registry.k8s.io/etcd:3.6.4-0"


@pytest.fixture
async def kube(api_server: Simulator, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Kube]:
    monkeypatch.setattr(pods, "PAUSE", 0.01)
    async with Kube.connect(api_server.kubeconfig_path) as connected:
        etcd = PODS.manifest("etcd-cp", "kube-system", labels={"component": "etcd"})
        await connected.create(PODS, etcd | {"spec": {"containers": [{"name": "etcd", "image": IMAGE}]}})
        for node, link in LINKS.items():
            await connected.create(NODES, NODES.manifest(node))
            addresses = [{"type": "Hostname", "address": node}, {"type": "InternalIP", "address": link}]
            await connected.patch(NODES, node, {"status": {"addresses": addresses}}, subresource="status")
        yield connected


@asynccontextmanager
async def kubelets(kube: Kube, let_in: int = 0, *, itself: int = 0) -> AsyncIterator[dict[str, list[list[str]]]]:
    """Allot Services their ports, run what is there at once, and let the first strangers in.

    `itself`: how what a listener calls itself by ends. Gives the orders of each pod's containers.
    """
    ran: dict[str, list[list[str]]] = {}
    seen: set[str] = set()
    strangers = 0

    async def run() -> None:
        nonlocal strangers
        while True:
            for name, port in PORTS.items():
                found = await kube.find(SERVICES, name, "default")
                if found and "nodePort" not in found["spec"]["ports"][0]:
                    ports = [{"port": 2379, "nodePort": port}]
                    await kube.patch(SERVICES, name, {"spec": {"ports": ports}}, "default")
            for pod in await kube.list(PODS, "default"):
                name = pod["metadata"]["name"]
                if pod["metadata"]["uid"] in seen:
                    continue
                seen.add(pod["metadata"]["uid"])
                phase = "Running" if name in ADDRESSES else "Succeeded"
                if name.startswith("tries-"):
                    strangers += 1
                    phase = "Succeeded" if strangers <= let_in else "Failed"
                status: dict[str, Any] = {"phase": phase, "podIP": ADDRESSES.get(name, "10.60.0.9")}
                if name in ADDRESSES:
                    states = {"etcd": {"running": {}}, "calls-itself": {"terminated": {"exitCode": itself}}}
                    status["containerStatuses"] = [{"name": one, "state": state} for one, state in states.items()]
                await kube.patch(PODS, name, {"status": status}, "default", subresource="status")
                ran[name] = [container["command"] for container in pod["spec"]["containers"]]
            await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(run())
        yield ran
        task.cancel()


@pytest.mark.parametrize("let_in", [0, 1])
async def test_each_calls_the_one_on_the_other_node_and_nothing_is_left(kube: Kube, let_in: int) -> None:
    async with kubelets(kube, let_in) as ran:
        assert await Pods(kube, ("cp", "wk")).talk(timeout=10) == {"cp": "10.60.0.7", "wk": "10.60.1.3"}
    called = {name: [url(order) for order in orders] for name, orders in ran.items()}
    for node, other in (("cp", "wk"), ("wk", "cp")):
        pod = f"http://{ADDRESSES[f'listens-{other}']}:2379"
        assert called[f"listens-{node}"][1:] == [f"http://listens-{node}:2379"]
        assert called[f"host-{node}"] == [pod, f"http://{LINKS[other]}:{PORTS[f'listens-{node}']}"]
        assert called[f"calls-{node}"] == [f"http://listens-{other}:2379"]
        assert called[f"tries-{node}"] == [pod]
    assert await kube.list(PODS, "default") == []
    assert await kube.list(NETWORK_POLICIES, "default") == []
    assert await kube.list(SERVICES, "default") == []


def url(order: list[str]) -> str:
    """What a container calls; empty if it listens."""
    return order[order.index("--endpoints") + 1] if "--endpoints" in order else ""


async def test_a_pod_that_does_not_reach_itself_by_its_service_is_named(kube: Kube) -> None:
    async with kubelets(kube, itself=1):
        with pytest.raises(PodsFailed, match=r"last seen: pod listens-cp Running: .*calls-itself"):
            await Pods(kube, ("cp", "wk")).talk(timeout=4)


async def test_a_policy_that_keeps_nobody_out_is_a_failure(kube: Kube) -> None:
    async with kubelets(kube, let_in=1000):
        with pytest.raises(PodsFailed, match="last seen: pod tries-cp"):
            await Pods(kube, ("cp", "wk")).talk(timeout=5)


async def test_pods_that_do_not_run_are_named(kube: Kube) -> None:
    with pytest.raises(PodsFailed, match="last seen: pod listens-cp"):
        await Pods(kube, ("cp", "wk")).talk(timeout=2)
