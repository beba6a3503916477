"""Whether a guest cluster is healthy, asked from outside with the pool's own certificate.

A restored etcd says Ready at once, from golden time: what counts is what the kubelets said since this boot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pool.core.errors import AttestationFailed, GuestUnhealthy
from pool.guest.answers import Lease, Node, understood
from pool.guest.client import Guest, connect_guest
from pool.guest.every_boot import last_words
from pool.guest.first_boot import over
from pool.kube.client import Kube
from pool.kube.resources import LEASES, NODES
from pool.kubevirt.cluster import Cluster

LEASE_NAMESPACE = "kube-node-lease"

SHARE = 0.02
"""Between two looks passes this share of the time waited so far: what polling adds to a boot stays within it, and the
looks of a long boot grow only with its logarithm."""
PAUSE_MIN, PAUSE_MAX = 0.02, 2.0

SECOND = timedelta(seconds=1)
"""Resolution of the host's timestamps."""


@dataclass(frozen=True)
class NodeHealth:
    """A node that was seen Ready: its boot ID, when it last renewed its lease, the boots of its disk if asked for."""

    name: str
    boot_id: str
    renewed: datetime
    boots: int | None = None


@dataclass(frozen=True)
class Counted:
    """What is known of the disk of a node that is to say how often it has booted.

    `golden`: the count on the golden snapshot that it was restored from or snapshotted into, None on a disk without
    one. `seen`: the boot ID of the last attested boot of another instance of the VM, whose words may still stand in a
    disk that was not taken back; empty if there is none. `restored`: it is to be restored from that snapshot; else it
    is the very disk that the snapshot was taken of, and may have booted more often since.
    """

    golden: int | None = None
    seen: str = ""
    restored: bool = True


@dataclass(frozen=True)
class Boot:
    """What is known of a node's boot before it is asked.

    `since`: it began in this second (the host rounds down). `disk`: None if its count is not asked for. `new`: nobody
    knows yet whether the disk's first boot is over; nodes of clusters made by earlier versions never say so.
    """

    since: datetime
    disk: Counted | None = None
    new: bool = False


async def wait_healthy(
    kube: Kube, cluster: Cluster, boots: Mapping[str, Boot], *, timeout: float
) -> tuple[NodeHealth, ...]:
    """Look until the guest's API is ready and every node of `boots` is Ready with a lease renewed since its boot.

    Raises GuestUnhealthy with what was last seen after `timeout` seconds, and what the nodes said of their clocks and
    certificates; AttestationFailed once a disk says that it is not the one that it should be.
    """
    try:
        async with connect_guest(kube, cluster) as guest:
            return await keep_looking(guest, boots, timeout=timeout)
    except GuestUnhealthy as error:
        error.actual = "; ".join([error.actual, *await last_words(kube, cluster)])
        raise


async def keep_looking(
    guest: Guest, boots: Mapping[str, Boot], *, timeout: float, seen: Callable[[str], None] | None = None
) -> tuple[NodeHealth, ...]:
    """As `wait_healthy`, of a guest that is connected; `seen` is told what each look missed, and may end the wait.

    A look that has begun is finished, so that what is said last is what was seen, and not that time was up.
    """
    loop, look = asyncio.get_running_loop(), Look(guest, boots)
    began = loop.time()
    while True:
        try:
            return await look()
        except GuestUnhealthy as error:
            # Any answer may be another one soon: kubeadm binds our group a moment after the API is ready.
            last = f"{error.what}: {error.actual}"
        if seen is not None:
            seen(last)
        waited = loop.time() - began
        if waited >= timeout:
            raise GuestUnhealthy(
                f"guest cluster {guest.cluster.id}",
                expected=f"/readyz ok, both nodes Ready, both leases renewed since this boot, within {timeout:g} s",
                actual=last,
                cure="reset the cluster; should that not help, rebuild it",
            )
        await asyncio.sleep(min(max(waited * SHARE, PAUSE_MIN), PAUSE_MAX, timeout - waited))


async def check_healthy(kube: Kube, cluster: Cluster, now: datetime, *, timeout: float) -> tuple[NodeHealth, ...]:
    """A health check of a running cluster: as `wait_healthy`, leases renewed within the last 40 s.

    Kubernetes: a kubelet renews every 10 s, and a node without a renewal for 40 s counts as lost.
    """
    boot = Boot(now - timedelta(seconds=40))
    return await wait_healthy(kube, cluster, {one.name: boot for one in cluster.machines}, timeout=timeout)


class Look:
    """Looks at one guest, one after the other; what must move between two of them is remembered."""

    def __init__(self, guest: Guest, boots: Mapping[str, Boot]) -> None:
        self._guest = guest
        self._boots = boots
        self._first: dict[str, datetime] = {}
        """Each lease's renewal as first seen."""

    async def __call__(self) -> tuple[NodeHealth, ...]:
        """The nodes, all healthy. Raises GuestUnhealthy, AttestationFailed."""
        await self._guest.ask("/readyz")
        return tuple([await self._node(name, boot) for name, boot in sorted(self._boots.items())])

    async def _node(self, name: str, boot: Boot) -> NodeHealth:
        # The lease first: a control plane takes the Ready of a silent node away 40 s after its last renewal.
        lease = understood(Lease, await self._guest.get(LEASES, name, LEASE_NAMESPACE))
        renewed = lease.spec.renew_time
        first = self._first.setdefault(name, renewed)
        if not fresh(renewed, boot, first):
            raise _unhealthy(name, f"its lease was last renewed at {renewed:%H:%M:%S}, before this boot")
        node = understood(Node, await self._guest.get(NODES, name))
        if not node.ready:
            raise _unhealthy(name, "it is not Ready")
        if boot.new and not over(node.first_boot):
            raise _unhealthy(name, f"its first boot is not over: {node.first_boot or 'it says nothing of it'}")
        return NodeHealth(name, node.boot_id, renewed, proved(name, node, boot.disk) if boot.disk else None)


def proved(name: str, node: Node, disk: Counted) -> int:
    """How often the node's disk has booted, as it says in this boot: once more than its golden snapshot. Pure.

    Until it says so, what stands in etcd is older: of golden time on a disk that was taken back, of the boot that was
    attested last on one that was not. The latter says more than golden time's count plus one, and is found by it.
    Raises GuestUnhealthy while nothing is said, AttestationFailed.
    """
    if node.boots is None or node.boots == disk.golden or node.boot_id == disk.seen:
        raise _unhealthy(name, "nothing was said of its disk's boots in this one")
    if disk.restored and disk.golden is not None and node.boots != disk.golden + 1:
        raise AttestationFailed(
            f"the disk of {name} was not taken back",
            expected=f"boot {disk.golden + 1} of it, the first since its golden snapshot",
            actual=f"boot {node.boots}",
            cure="reset it again; its storage may restore nothing",
        )
    return node.boots


def fresh(renewed: datetime, boot: Boot, first: datetime) -> bool:
    """Whether a lease was surely renewed in this boot; `first` is its renewal as first seen in this wait. Pure.

    A renewal while we look is proof by itself, whatever the guest's clock says. Else the clocks must tell, and the
    host's timestamps are whole seconds: a renewal within the second of the boot could be the last one before it,
    unless the node's boot is known to be new by what its disk says.
    """
    if renewed > first:
        return True
    return renewed > boot.since if boot.disk is not None else renewed >= boot.since + SECOND


def _unhealthy(node: str, actual: str) -> GuestUnhealthy:
    return GuestUnhealthy(f"node {node}", expected="it Ready, its lease renewed since this boot", actual=actual)
