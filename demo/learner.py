"""A learner's way into a cluster: everything may be done there. The pool's own only reads (pool.guest.client)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pool.guest.kubeconfig import credentials_of
from pool.kube.client import Kube
from pool.kube.credentials.access import Access, Pair, Server
from pool.kube.resources import SECRETS, SERVICES
from pool.kubevirt.cluster import API_PORT, KUBECONFIG_SECRET, Cluster


@asynccontextmanager
async def connect_guest(kube: Kube, cluster: Cluster) -> AsyncIterator[Kube]:
    """An administrator's connection to the guest's API at the clusterIP of the Service `cp`; nothing is sent yet."""
    service = await kube.get(SERVICES, "cp", cluster.namespace)
    client, ca = credentials_of(await kube.get(SECRETS, KUBECONFIG_SECRET, cluster.namespace))
    # A Service's address is reached directly, never through a proxy.
    server = Server(f"https://{service['spec']['clusterIP']}:{API_PORT}", ca, name=cluster.server_name)
    access = Access(f"of {cluster.id}", server, pair=Pair(client.certificate, client.key))
    async with Kube.using(access, request_timeout=5.0, patience=0) as guest:
        yield guest
