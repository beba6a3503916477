"""The pair that is booted: a cluster of a Pool, rendered by the product, on machines of this host."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from boot.command import Files, Hardware
from boot.node import Node
from boot.relay import Service
from pool.core.pools import Pool, PoolSpec
from pool.core.resource import Metadata
from pool.guest.addons import Addons
from pool.guest.identity import Identity, make_identity
from pool.kubevirt.cluster import Cluster, Machine

CLUSTER = "boot1"


def pool_of(kubernetes: str = "", network: str = "") -> Pool:
    """A Pool as an operator would write it; its defaults where nothing is said. Raises pydantic's ValidationError."""
    said = {"image": {"kubernetesVersion": kubernetes} if kubernetes else {}} | (
        {"network": network} if network else {}
    )
    spec = PoolSpec.model_validate(said)
    return Pool(metadata=Metadata(name="boot", namespace="cks-pool", uid="boot"), spec=spec)


def cluster_of(pool: Pool) -> Cluster:
    """Its only cluster."""
    return Cluster(CLUSTER, CLUSTER, f"uid-{CLUSTER}", pool.name, pool.metadata.uid)


@asynccontextmanager
async def made_pair(
    pool: Pool, addons: Addons, hardware: Hardware, folder: Path
) -> AsyncIterator[tuple[tuple[Node, Node], Identity]]:
    """The control plane and the worker, off, with their seeds; what is on is switched off in the end."""
    identity = make_identity(datetime.now(UTC))
    services = Service(), Service()
    control_plane, worker = (
        Node(machine, service, hardware, _files(machine, folder))
        for machine, service in zip(cluster_of(pool).machines, services, strict=True)
    )
    control_plane.seed(identity, worker.service, pool, addons)
    worker.seed(identity, control_plane.service, pool, addons)
    try:
        yield (control_plane, worker), identity
    finally:
        for node in (control_plane, worker):
            await node.cut()
        for service in services:
            service.close()


def _files(machine: Machine, folder: Path) -> Files:
    return Files(
        folder / f"{machine.name}.qcow2", folder / f"{machine.name}-seed.iso", folder / f"{machine.name}.console"
    )
