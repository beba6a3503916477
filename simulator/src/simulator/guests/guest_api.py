"""The API server inside a guest: the same library as the host's, with fewer kinds and client certificates."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path

from simulator.api.builtin import kinds as builtin
from simulator.api.discovery.documents import VERSION
from simulator.api.errors import ApiError
from simulator.api.listening import Listener
from simulator.api.requests import Request, Response, answer
from simulator.api.server import ApiServer
from simulator.api.store import Store
from simulator.client import GVR, Client, Obj
from simulator.client.local import LocalClient
from simulator.guests.pki import Authority, shown_at
from simulator.timing.clock import Clock

SECRETS = ("", "secrets")
UNHEALTHY = "[+]ping ok\n[-]etcd failed: reason withheld\n[+]informer-sync ok\nreadyz check failed\n"
"""What a kube-apiserver says when its etcd does not answer in time."""


class GuestApi:
    """An API server over a disk's data; `client` is what the node's own components use."""

    def __init__(self, api: ApiServer, listener: Listener, stop: Callable[[], None]) -> None:
        self.server = api
        self._listener = listener
        self._stop = stop
        self.client: Client = LocalClient(api, manager="kubelet")
        self.healthy: Callable[[], bool] = lambda: True
        """Asked for each /readyz."""
        api.pages["/readyz"] = self._readyz

    @classmethod
    async def start(cls, store: Store, authority: Authority, certificate: str, key: str, clock: Clock) -> GuestApi:
        """Begin, but serve nobody yet. The CA of clients, the server's own certificate and key (PEM)."""
        api = ApiServer(store, kinds=builtin.guest(), service_cidr="10.96.0.0/16", clock=clock)
        await api.__aenter__()
        context = server_context(authority.pem, shown_at(certificate, authority, clock.offset), key)

        def show_again() -> None:
            _load(context, shown_at(certificate, authority, clock.offset), key)

        return cls(api, Listener(api, context), clock.listen(show_again))

    async def listen(self, address: str, port: int) -> None:
        """Raises OSError when the address is taken."""
        await self._listener.open(address, port)

    def say_version(self, version: str) -> None:
        """What it is by /version, as `v1.34.1`: what kubeadm was told to install."""

        def page(_: Request) -> Response:
            major, minor = version.removeprefix("v").split(".")[:2]
            return answer({**VERSION, "major": major, "minor": minor, "gitVersion": version})

        self.server.pages["/version"] = page

    async def ensure(self, obj: Obj) -> None:
        """Create an object unless it is there."""
        kind = self.server.registry.of_object(obj["apiVersion"], obj["kind"])
        if kind is None:
            raise RuntimeError(f"a guest has no {obj['apiVersion']} {obj['kind']}")
        try:
            await self.client.create(GVR(kind.group, kind.storage, kind.plural), obj)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise

    def secret(self, namespace: str, name: str) -> dict[str, str]:
        """Data (base64) of a Secret, empty when there is none."""
        stored = self.server.store.get(SECRETS, (namespace, name))
        return dict(stored.obj.get("data") or {}) if stored is not None else {}

    def captured(self) -> Store:
        """The data as of now, in a store of its own."""
        return Store.load(self.server.store.dump())

    def _readyz(self, _: Request) -> Response:
        if self.healthy():
            return Response(body=b"ok", content_type="text/plain")
        return Response(500, UNHEALTHY.encode(), "text/plain")

    async def close(self) -> None:
        """Drop all connections and end."""
        self._stop()
        await self._listener.close()
        await self.server.__aexit__(None, None, None)


def server_context(ca: str, certificate: str, key: str) -> ssl.SSLContext:
    """TLS for the guest's API; clients may show a certificate of its CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(cadata=ca)
    _load(context, certificate, key)
    return context


def _load(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Show that certificate to whoever connects from now on."""
    # The ssl module reads chains from files only.
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "server.pem")
        path.touch(mode=0o600)
        path.write_text(certificate + key)
        context.load_cert_chain(path)
