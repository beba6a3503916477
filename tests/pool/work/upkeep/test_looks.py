"""What a look at a guest leaves behind, and that the pool's own way into it does not end."""

from __future__ import annotations

import asyncio
import base64
import math
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import pytest
import yaml

from pool.core.clusters import ConditionType
from pool.core.errors import UnknownCluster
from pool.core.planner.actions import CheckHealth, StartReset
from pool.core.settings import Settings
from pool.guest import pki
from pool.guest.identity import ensure_identity
from pool.guest.kubeconfig import RENEW_BEFORE, ensure_kubeconfig
from pool.kube.resources import NAMESPACES, SECRETS, SERVICES
from pool.kubevirt.cluster import API_PORT, KUBECONFIG_SECRET, Cluster
from pool.work.upkeep import acting, health
from pool.work.upkeep.health import look
from tests.pool.lab import Lab
from tests.pool.work.upkeep.hands import Hands

GUESTS, AT_ONCE, SECONDS = 12, 4, 0.4


class Silence(asyncio.Protocol):
    """A guest that takes connections and never says a word."""

    def __init__(self, open_now: list[asyncio.BaseTransport], first: asyncio.Event, counts: list[int]) -> None:
        self._open, self._first, self._counts = open_now, first, counts

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._open.append(transport)
        self._counts.append(len(self._open))
        self._first.set()

    def connection_lost(self, _error: Exception | None) -> None:
        self._open.remove(self._transport)


async def test_guests_that_hang_are_told_in_bounded_time_after_everything_else(
    hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert math.ceil(500 / acting.LOOKS_AT_ONCE) * health.LOOK_SECONDS <= Settings().health_interval / 4
    monkeypatch.setattr(acting, "LOOKS_AT_ONCE", AT_ONCE)
    monkeypatch.setattr(health, "LOOK_SECONDS", SECONDS)
    lab, loop = hands.lab, asyncio.get_running_loop()
    first, counts = asyncio.Event(), list[int]()
    silence = partial(Silence, [], first, counts)
    hands.host = replace(hands.host, settings=lab.settings)
    async with AsyncExitStack() as stack:
        for number in range(1, GUESTS + 1):
            cluster = Cluster.of(await lab.add(f"cluster{number}"))
            await lab.kube.create(NAMESPACES, NAMESPACES.manifest(cluster.namespace, labels=cluster.labels))
            identity = await ensure_identity(lab.kube, cluster, lab.clock())
            await ensure_kubeconfig(lab.kube, cluster, identity, lab.clock())
            spec = {"ports": [{"port": API_PORT, "protocol": "TCP"}]}
            service = await lab.kube.create(SERVICES, SERVICES.manifest("cp", cluster.namespace, spec=spec))
            address = service["spec"]["clusterIP"]
            await stack.enter_async_context(await loop.create_server(silence, address, API_PORT))
        await lab.add("given-back", "resetting")
        looks = [CheckHealth(f"cluster{number}") for number in range(1, GUESTS + 1)]
        due = StartReset("given-back", wish="reset:given-back")
        keeper = acting.Keeper(hands.host, hands.start, "maintenance")
        carried_out = asyncio.create_task(acting.carry_out(keeper, await lab.state.pool(), [*looks, due]))
        await first.wait()
        assert hands.waiting() == [("reset", "given-back")], "it did not wait for the guests"
        assert await carried_out == []
    assert max(counts) == AT_ONCE, "so many at once, and none left open"
    for number in range(1, GUESTS + 1):
        condition = (await lab.state.cluster(f"cluster{number}")).status.condition(ConditionType.GUEST_HEALTHY)
        assert condition is not None
        assert (condition.status, condition.reason) == ("False", "GuestUnhealthy")


async def end_of_certificate(lab: Lab, cluster: Cluster) -> datetime:
    secret = await lab.kube.get(SECRETS, KUBECONFIG_SECRET, cluster.namespace)
    user = yaml.safe_load(base64.b64decode(secret["data"]["kubeconfig"]))["users"][0]["user"]
    return pki.ends(base64.b64decode(user["client-certificate-data"]))


async def test_a_guest_that_is_not_there_is_noted_as_ill_and_one_that_is_gone_is_told_apart(hands: Hands) -> None:
    lab = hands.lab
    await lab.add("cluster1")
    await look(hands.host, "cluster1")
    condition = (await lab.state.cluster("cluster1")).status.condition(ConditionType.GUEST_HEALTHY)
    assert condition is not None
    assert (condition.status, condition.reason) == ("False", "NotFound")
    with pytest.raises(UnknownCluster):
        await look(hands.host, "cluster2")


async def test_the_pools_certificate_is_renewed_before_its_end_though_the_cluster_is_never_made_again(
    hands: Hands,
) -> None:
    lab, now = hands.lab, hands.lab.clock()
    cluster = Cluster.of(await lab.add("cluster1"))
    await lab.kube.create(NAMESPACES, NAMESPACES.manifest(cluster.namespace, labels=cluster.labels))
    identity = await ensure_identity(lab.kube, cluster, now)
    await ensure_kubeconfig(lab.kube, cluster, identity, now)
    first = await end_of_certificate(lab, cluster)
    await look(hands.host, "cluster1")
    assert await end_of_certificate(lab, cluster) == first, "not while it is good for long"
    lab.clock.forward((first - now - RENEW_BEFORE + timedelta(days=1)).total_seconds())
    await look(hands.host, "cluster1")
    assert await end_of_certificate(lab, cluster) > first
