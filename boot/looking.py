"""Asking the guest how it is, with the code and the credentials by which the pool asks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from boot.node import Node
from pool.core.errors import GuestUnhealthy
from pool.guest import pki
from pool.guest.client import Guest, tls_context
from pool.guest.health import Boot, Counted, NodeHealth, keep_looking
from pool.guest.identity import Identity
from pool.guest.kubeconfig import USER, make_kubeconfig
from pool.kube.client import Kube
from pool.kubevirt.cluster import API_PORT, Role


async def until_ready(
    nodes: Sequence[Node],
    identity: Identity,
    golden: Mapping[str, int],
    *,
    timeout: float,
    seen: Callable[[str], None],
) -> tuple[NodeHealth, ...]:
    """Look until both nodes are Ready in their present boots, and their first boots are over.

    `golden`: how often the golden copies had, by node; empty if there are none. `seen` is told what each look found.
    Raises GuestUnhealthy with what was last seen, AttestationFailed if a disk is not the golden one's successor.
    """
    boots = {node.name: Boot(node.since, Counted(golden.get(node.name)), new=True) for node in nodes}
    guest = _guest(nodes, identity)

    def look_at_machines(found: str) -> None:
        seen(found)
        for node in nodes:
            if not node.running:
                raise GuestUnhealthy(f"machine {node.name}", expected="it on", actual="it is off")

    try:
        return await keep_looking(guest, boots, timeout=timeout, seen=look_at_machines)
    finally:
        await guest.close()


@asynccontextmanager
async def administrator(nodes: Sequence[Node], identity: Identity, kubeconfig: Path) -> AsyncIterator[Kube]:
    """A way to the guest's API that may write; the kubeconfig stays, for whoever wants to look for themselves."""
    control_plane = _control_plane(nodes)
    server = f"https://{control_plane.placed.api}:{API_PORT}"
    cluster, client = control_plane.machine.cluster, _client(identity)
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(make_kubeconfig(cluster, identity.ca.certificate, client, server=server))
    async with Kube.connect(kubeconfig) as kube:
        yield kube


def _guest(nodes: Sequence[Node], identity: Identity) -> Guest:
    control_plane = _control_plane(nodes)
    context = tls_context(_client(identity), identity.ca.certificate)
    return Guest(control_plane.machine.cluster, control_plane.placed.api, context)


def _client(identity: Identity) -> pki.KeyPair:
    return pki.make_client(identity.ca, USER, pki.CLUSTER_ADMINS, datetime.now(UTC))


def _control_plane(nodes: Sequence[Node]) -> Node:
    return next(node for node in nodes if node.machine.role is Role.CONTROL_PLANE)
