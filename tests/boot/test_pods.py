"""The pods that talk across the link, on an API server whose kubelets the test plays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from boot import pods
from boot.pods import Pods, PodsFailed
from pool.kube.client import Kube
from pool.kube.resources import NETWORK_POLICIES, PODS

if TYPE_CHECKING:
    from simulator.app import Simulator

ADDRESSES = {"listens-cp": "10.60.0.7", "listens-wk": "10.60.1.3"}
IMAGE = "registry.k8s.io/etcd:3.6.4-0"


@pytest.fixture
async def kube(api_server: Simulator, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Kube]:
    monkeypatch.setattr(pods, "PAUSE", 0.01)
    async with Kube.connect(api_server.kubeconfig_path) as connected:
        etcd = PODS.manifest("etcd-cp", "kube-system", labels={"component": "etcd"})
        await connected.create(PODS, etcd | {"spec": {"containers": [{"name": "etcd", "image": IMAGE}]}})
        yield connected


@asynccontextmanager
async def kubelets(kube: Kube, let_in: int = 0) -> AsyncIterator[dict[str, list[str]]]:
    """Run what is there at once, and let the first strangers in; gives the orders of the pods that called."""
    ran: dict[str, list[str]] = {}
    seen: set[str] = set()
    strangers = 0

    async def run() -> None:
        nonlocal strangers
        while True:
            for pod in await kube.list(PODS, "default"):
                name = pod["metadata"]["name"]
                if pod["metadata"]["uid"] in seen:
                    continue
                seen.add(pod["metadata"]["uid"])
                phase = "Running" if name in ADDRESSES else "Succeeded"
                if name.startswith("tries-"):
                    strangers += 1
                    phase = "Succeeded" if strangers <= let_in else "Failed"
                status = {"phase": phase, "podIP": ADDRESSES.get(name, "10.60.0.9")}
                await kube.patch(PODS, name, {"status": status}, "default", subresource="status")
                ran[name] = pod["spec"]["containers"][0]["command"]
            await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(run())
        yield ran
        task.cancel()


@pytest.mark.parametrize("let_in", [0, 1])
async def test_each_calls_the_one_on_the_other_node_and_nothing_is_left(kube: Kube, let_in: int) -> None:
    async with kubelets(kube, let_in) as ran:
        assert await Pods(kube, ("cp", "wk")).talk(timeout=10) == {"cp": "10.60.0.7", "wk": "10.60.1.3"}
    assert ran["calls-cp"] == ran["tries-cp"]
    assert "http://10.60.1.3:2379" in ran["calls-cp"]
    assert "http://10.60.0.7:2379" in ran["calls-wk"]
    assert await kube.list(PODS, "default") == []
    assert await kube.list(NETWORK_POLICIES, "default") == []


async def test_a_policy_that_keeps_nobody_out_is_a_failure(kube: Kube) -> None:
    async with kubelets(kube, let_in=1000):
        with pytest.raises(PodsFailed, match="last seen: pod tries-cp"):
            await Pods(kube, ("cp", "wk")).talk(timeout=2)


async def test_pods_that_do_not_run_are_named(kube: Kube) -> None:
    with pytest.raises(PodsFailed, match="last seen: pod listens-cp"):
        await Pods(kube, ("cp", "wk")).talk(timeout=0.3)
