"""Whether a guest cluster is healthy, asked from outside with the pool's own kubeconfig.

A restored etcd says Ready at once, from golden time: what counts is what the kubelets said since this boot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta

from pool.core.errors import ApiUnavailable, Forbidden, GuestUnhealthy, WaitTimeout
from pool.guest.kubeconfig import connect_guest
from pool.kube.client import Kube, Object
from pool.kube.gather import gather
from pool.kube.resources import LEASES, NODES
from pool.kube.watching import Watching
from pool.kubevirt.cluster import Cluster

LEASE_NAMESPACE = "kube-node-lease"

SHARE = 0.02
"""Between two tries of an API that is not up yet passes this share of the time waited so far: what polling adds to a
boot stays within it, and the tries of a long boot grow only with its logarithm."""
PAUSE_MIN, PAUSE_MAX = 0.02, 2.0

SECOND = timedelta(seconds=1)
"""Resolution of the host's timestamps."""


@dataclass(frozen=True)
class NodeHealth:
    """A node that was seen Ready: its boot ID, and when it last renewed its lease."""

    name: str
    boot_id: str
    renewed: datetime


@dataclass(frozen=True)
class Boot:
    """What is known of a node's boot before it is asked.

    `since`: it began in this second (the host rounds down). `earlier`: the boot IDs of all boots before it that are on
    its disk; empty on a new disk, None if not known.
    """

    since: datetime
    earlier: frozenset[str] | None = None


async def wait_healthy(
    kube: Kube, cluster: Cluster, boots: Mapping[str, Boot], *, timeout: float
) -> tuple[NodeHealth, ...]:
    """Wait until the guest's API is ready and every node of `boots` is Ready with a lease renewed since its boot.

    Raises GuestUnhealthy with what was last seen after `timeout` seconds.
    """
    deadline = asyncio.get_running_loop().time() + timeout
    async with AsyncExitStack() as stack:
        guest = await stack.enter_async_context(connect_guest(kube, cluster))
        try:
            await wait_ready(guest, cluster, timeout=timeout)
            watching = await stack.enter_async_context(Watching(guest))
            left = max(0.0, deadline - asyncio.get_running_loop().time())
            nodes = await gather(_node(watching, name, boot, left) for name, boot in sorted(boots.items()))
            return tuple(nodes)
        except GuestUnhealthy:
            raise
        except WaitTimeout as error:
            raise unhealthy(cluster, f"{error.what}; last seen: {error.last_seen}") from error
        except Exception as error:
            # A learner who is root may have this API answer anything at all: whatever goes wrong is the guest's.
            raise unhealthy(cluster, f"{type(error).__name__}: {error}"[:1000]) from error


async def wait_ready(guest: Kube, cluster: Cluster, *, timeout: float) -> None:
    """Wait until the guest's /readyz says ok and its administrator's binding is there.

    Raises GuestUnhealthy with the last answer after `timeout` seconds.
    """
    loop = asyncio.get_running_loop()
    began, last = loop.time(), "no answer yet"
    try:
        async with asyncio.timeout(timeout):
            while True:
                try:
                    await guest.request("GET", "/readyz", accept="*/*")
                    # kubeadm binds our group a moment after its API server is ready.
                    await guest.list(NODES)
                    return
                except (ApiUnavailable, Forbidden) as error:
                    last = error.message
                waited = loop.time() - began
                await asyncio.sleep(min(max(waited * SHARE, PAUSE_MIN), PAUSE_MAX))
    except TimeoutError:
        raise unhealthy(cluster, f"API not ready after {timeout:g} s: {last}") from None


async def check_healthy(
    kube: Kube, cluster: Cluster, now: datetime, *, timeout: float = 15.0
) -> tuple[NodeHealth, ...]:
    """A health check of a running cluster: as `wait_healthy`, leases renewed within the last 40 s.

    Kubernetes: a kubelet renews every 10 s, and a node without a renewal for 40 s counts as lost.
    """
    boot = Boot(now - timedelta(seconds=40))
    return await wait_healthy(kube, cluster, {one.name: boot for one in cluster.machines}, timeout=timeout)


def fresh(renewed: datetime, boot: Boot, first: datetime) -> bool:
    """Whether a lease was surely renewed in this boot; `first` is its renewal as first seen in this wait. Pure.

    A renewal while we look is proof by itself, whatever the guest's clock says. Else the clocks must tell, and the
    host's timestamps are whole seconds: a renewal within the second of the boot could be the last one before it,
    unless the node's boot ID is known to be new.
    """
    if renewed > first:
        return True
    return renewed > boot.since if boot.earlier is not None else renewed >= boot.since + SECOND


def unhealthy(cluster: Cluster, actual: str) -> GuestUnhealthy:
    """The error for a guest cluster that is not healthy."""
    return GuestUnhealthy(
        f"guest cluster {cluster.id}",
        expected="/readyz ok, both nodes Ready, both leases renewed since this boot",
        actual=actual,
        cure="reset the cluster; should that not help, rebuild it",
    )


async def _node(watching: Watching, name: str, boot: Boot, timeout: float) -> NodeHealth:
    old: list[str] = []

    def up(node: Object | None) -> str | None:
        boot_id = _boot_id(node)
        old[:] = [boot_id] if _ready(node) and boot_id in (boot.earlier or ()) else []
        # With a known boot ID before it, a Ready that is still golden time's does not even begin to count.
        return boot_id if _ready(node) and boot_id not in (boot.earlier or ()) else None

    first: list[datetime] = []

    def renewed(lease: Object | None) -> datetime | None:
        stamp = _renewed(lease)
        if stamp is None:
            return None
        first.append(stamp)
        return stamp if fresh(stamp, boot, first[0]) else None

    try:
        await watching.until(NODES, name, None, up, timeout=timeout, what=f"node {name} to be Ready")
    except WaitTimeout as error:
        if not old:
            raise
        said = f"Ready by what the disk says of boot {old[0]}; nothing was heard of its kubelet in this one"
        raise WaitTimeout(f"node {name} to be Ready", said, timeout) from error
    stamp = await watching.until(
        LEASES, name, LEASE_NAMESPACE, renewed, timeout=timeout, what=f"node {name} to renew its lease"
    )
    # The lease is from now; was the Ready? A control plane takes it away 40 s after the last renewal: look again.
    boot_id = await watching.until(NODES, name, None, up, timeout=timeout, what=f"node {name} to be Ready")
    return NodeHealth(name, boot_id, stamp)


def _boot_id(node: Object | None) -> str:
    return str((((node or {}).get("status") or {}).get("nodeInfo") or {}).get("bootID") or "unknown")


def _renewed(lease: Object | None) -> datetime | None:
    stamp = ((lease or {}).get("spec") or {}).get("renewTime")
    return datetime.fromisoformat(stamp) if stamp else None


def _ready(node: Object | None) -> bool:
    conditions: Iterable[Object] = ((node or {}).get("status") or {}).get("conditions") or []
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
