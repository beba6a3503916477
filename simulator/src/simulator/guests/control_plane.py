"""A guest's control plane: the API server on a disk's data, with the certificates found on that disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime

from simulator.api.server import ApiServer
from simulator.api.store import Store
from simulator.client import Client
from simulator.guests import cluster
from simulator.guests.disk import Disk
from simulator.guests.guest_api import GuestApi
from simulator.guests.kubeadm import Init
from simulator.guests.pki import Authority, end_of, load, serving_certificate
from simulator.guests.scheduler import NodeMonitor, Scheduler
from simulator.guests.validity import check_start
from simulator.timing.clock import Clock
from simulator.timing.delays import Delays

PKI = "/etc/kubernetes/pki"
CLUSTER_NAMES = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)


class ControlPlane:
    """The running API server of a guest; `closed` is set when the machine is off, `ends` is when its certificate
    does."""

    def __init__(self, api: GuestApi, authority: Authority, version: str, ends: datetime) -> None:
        self.authority = authority
        self.version = version
        api.say_version(version)
        self.ends = ends
        self.closed = asyncio.Event()
        self._api = api

    @property
    def healthy(self) -> Callable[[], bool]:
        """What /readyz asks."""
        return self._api.healthy

    @healthy.setter
    def healthy(self, judge: Callable[[], bool]) -> None:
        self._api.healthy = judge

    @property
    def server(self) -> ApiServer:
        """The API itself, for what is sent to it as it is."""
        return self._api.server

    @property
    def client(self) -> Client:
        """The API as the node's own components use it."""
        return self._api.client

    @classmethod
    async def initialise(cls, disk: Disk, init: Init, authority: Authority, address: str, clock: Clock) -> ControlPlane:
        """kubeadm init: certificates, empty etcd, the first objects; then it serves on `address`."""
        endpoint = init.endpoint.rpartition(":")[0] or init.endpoint
        names = [init.node, *CLUSTER_NAMES, init.service_address, init.advertise_address, *init.cert_sans]
        certificate, key = serving_certificate(authority, [name for name in (*names, endpoint) if name], clock.now())
        disk.files |= {f"{PKI}/apiserver.crt": certificate, f"{PKI}/apiserver.key": key}
        disk.etcd = Store()
        api = await GuestApi.start(disk.etcd, authority, certificate, key, clock)
        for namespace in cluster.namespaces():
            await api.ensure(namespace)
        for obj in cluster.objects(init, f"{init.advertise_address}:{init.port}", authority.pem, clock.now()):
            await api.ensure(obj)
        await api.listen(address, init.port)
        return cls(api, authority, init.version, end_of(certificate))

    @classmethod
    async def restart(cls, disk: Disk, address: str, clock: Clock) -> ControlPlane:
        """A later boot: everything is on the disk. Raises Refused when the CA there is none any more, or when the
        certificates there have ended."""
        files = disk.files
        authority = load(files.get(f"{PKI}/ca.crt", ""), files.get(f"{PKI}/ca.key", ""), clock.now())
        version = disk.machine["version"]
        if disk.etcd is None:
            disk.etcd = Store()
        certificate, key = files[f"{PKI}/apiserver.crt"], files[f"{PKI}/apiserver.key"]
        check_start(certificate, clock.now())
        api = await GuestApi.start(disk.etcd, authority, certificate, key, clock)
        await api.listen(address, 6443)
        return cls(api, authority, version, end_of(certificate))

    async def allow_joining(self, tokens: Iterable[str], now: datetime) -> None:
        """Let nodes join by these bootstrap tokens."""
        for token in tokens:
            await self._api.ensure(cluster.bootstrap_token(token, now))

    def secret(self, namespace: str, name: str) -> dict[str, str]:
        """The data (base64) of a Secret, empty when there is none."""
        return self._api.secret(namespace, name)

    async def run_controllers(self, delays: Delays) -> None:
        """Scheduler and node lifecycle, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(Scheduler(self.client).run())
            tasks.create_task(NodeMonitor(self.client, delays).run())

    def detach(self) -> Store:
        """The power is cut: nobody is served any more. The data as of now, which later writes do not reach."""
        self.closed.set()
        return self._api.captured()

    async def close(self) -> None:
        await self._api.close()
