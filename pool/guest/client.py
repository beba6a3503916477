"""Reading from a guest's API. Whoever answers there may be a learner who is root on the node and has its CA's key.

So this client asks little and believes less. It reads and never writes; it keeps one connection, follows nobody
anywhere, unpacks nothing, and takes at most MOST_BYTES and PATIENCE for an answer, sip by sip. What a guest says in
words is cut and cleaned before it goes on. Whatever goes wrong is GuestUnhealthy, and never taken for an outage of the
host.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, NoReturn

import httpcore
from cryptography import x509

from pool.core.errors import GuestUnhealthy
from pool.guest.kubeconfig import credentials_of
from pool.guest.pki import KeyPair
from pool.guest.words import SHOWN, cleaned
from pool.kube.client import Kube, Object
from pool.kube.resources import SECRETS, SERVICES, Resource
from pool.kubevirt.cluster import API_PORT, KUBECONFIG_SECRET, Cluster
from pool.kubevirt.ownership import owned

MOST_BYTES = 1 << 20
"""Of one answer. A Node with fifty images in its status has some 20 kB."""
PATIENCE = 5.0
"""Seconds for one request in all, from the connection to the last byte."""
SIP = 1024
"""Bytes that are read at once. A guest may have each few of them cost a parser as much as a whole answer."""
HEADERS = [("Accept", "application/json, */*;q=0.1"), ("Accept-Encoding", "identity")]


class Sipped(httpcore.AsyncNetworkStream):
    """A connection that is read by the sip; between two of them all others of this process have their turn."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """At most a sip."""
        await asyncio.sleep(0)
        return await self._stream.read(min(max_bytes, SIP), timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """As the stream does."""
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """As the stream does."""
        await self._stream.aclose()

    async def start_tls(self, *args: Any, **kwargs: Any) -> httpcore.AsyncNetworkStream:
        """What comes out of TLS is read by the sip, too."""
        return Sipped(await self._stream.start_tls(*args, **kwargs))

    def get_extra_info(self, info: str) -> Any:
        """As the stream does."""
        return self._stream.get_extra_info(info)


class Sockets(httpcore.AnyIOBackend):
    """The connections of one guest. A TLS handshake that is cancelled would leave its own open for as long as the
    other side likes: so all are closed here, whatever becomes of what is built on them."""

    def __init__(self) -> None:
        self._open: list[httpcore.AsyncNetworkStream] = []

    async def connect_tcp(self, *args: Any, **kwargs: Any) -> httpcore.AsyncNetworkStream:
        """A connection, remembered."""
        stream = Sipped(await super().connect_tcp(*args, **kwargs))
        self._open.append(stream)
        return stream

    async def close(self) -> None:
        """Close all, without a word to the other side."""
        while self._open:
            await self._open.pop().aclose()


class Guest:
    """A connection to one guest's API; every call raises GuestUnhealthy. For one task at a time."""

    def __init__(self, cluster: Cluster, address: str, context: ssl.SSLContext) -> None:
        self.cluster = cluster
        self._address = address
        self._context = context
        self._sockets = Sockets()
        self._pool = self._new_pool()
        self._certificate = b""

    def _new_pool(self) -> httpcore.AsyncConnectionPool:
        # Not httpx, and no library above it: those log, keep cookies, unpack, know redirects and proxies.
        return httpcore.AsyncConnectionPool(self._context, max_connections=1, network_backend=self._sockets)

    async def close(self) -> None:
        """Drop the connection; the next call opens another."""
        self._pool = self._new_pool()
        await self._sockets.close()

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Object:
        """One object, as the guest has it: its fields may hold anything."""
        return await self.read(resource.path(namespace, name))

    async def read(self, path: str) -> Object:
        """The JSON object at `path`."""
        return self._parsed(path, await self.ask(path))

    async def ask(self, path: str) -> bytes:
        """The answer's body at `path`, status 200."""
        try:
            async with asyncio.timeout(PATIENCE):
                status, body = await self._answer(path)
        except BaseException as error:
            await self.close()
            if isinstance(error, GuestUnhealthy) or not isinstance(error, Exception):
                raise
            # One who is root may have any layer below fail in its own way.
            self._refuse(path, _failure(error), error)
        if status != HTTPStatus.OK:
            self._refuse(path, f'status {status}, "{_words(body)}"')
        return body

    def certificate_ends(self) -> datetime:
        """When the certificate ends that the server showed for the last answer, UTC."""
        try:
            return x509.load_der_x509_certificate(self._certificate).not_valid_after_utc
        except (ValueError, x509.InvalidVersion) as error:
            self._refuse("its certificate", type(error).__name__, error)

    async def _answer(self, path: str) -> tuple[int, bytes]:
        url = httpcore.URL(scheme="https", host=self._address, port=API_PORT, target=path)
        # The address is a Service's; the name is the one that the certificate must be for.
        named = {"sni_hostname": self.cluster.server_name}
        async with self._pool.stream("GET", url, headers=HEADERS, extensions=named) as response:
            packed = [value for name, value in response.headers if name.lower() == b"content-encoding"]
            if packed not in ([], [b"identity"]):
                self._refuse(path, f'an answer packed as "{cleaned(packed[0].decode(errors="replace"))}"')
            tls = response.extensions["network_stream"].get_extra_info("ssl_object")
            self._certificate = tls.getpeercert(binary_form=True)
            body = bytearray()
            async for chunk in response.aiter_stream():
                body += chunk
                if len(body) > MOST_BYTES:
                    self._refuse(path, f"more than {MOST_BYTES} bytes")
            return response.status, bytes(body)

    def _parsed(self, path: str, body: bytes) -> Object:
        try:
            found = json.loads(body, parse_constant=_no_number, object_pairs_hook=_unique)
        except (ValueError, RecursionError) as error:
            self._refuse(path, f"no JSON ({type(error).__name__})", error)
        if not isinstance(found, dict):
            self._refuse(path, "no JSON object")
        return found

    def _refuse(self, path: str, actual: str, error: Exception | None = None) -> NoReturn:
        raise GuestUnhealthy(
            f"the API of guest cluster {self.cluster.id}",
            expected=f"an answer to GET {path}",
            actual=actual,
            cure="reset the cluster; should that not help, rebuild it",
        ) from error


@asynccontextmanager
async def connect_guest(kube: Kube, cluster: Cluster) -> AsyncIterator[Guest]:
    """A way to the guest's API at the clusterIP of the Service `cp`; nothing is sent yet.

    Only a certificate of the cluster's own CA, for its own name, is believed. Raises NotFound when the Service or the
    kubeconfig Secret is missing, GuestUnhealthy when the latter cannot be used, NotOurs or FormerCluster when it is
    not this very cluster's.
    """
    service = await kube.get(SERVICES, "cp", cluster.namespace)
    secret = owned(await kube.get(SECRETS, KUBECONFIG_SECRET, cluster.namespace), cluster)
    client, ca = credentials_of(secret)
    try:
        context = tls_context(client, ca)
    except (ssl.SSLError, ValueError) as error:
        raise GuestUnhealthy(
            f"Secret {cluster.namespace}/{KUBECONFIG_SECRET}",
            expected="certificates that load",
            actual=type(error).__name__,
            cure="delete it and run bootstrap-pool, which makes it again",
        ) from error
    guest = Guest(cluster, service["spec"]["clusterIP"], context)
    try:
        yield guest
    finally:
        await guest.close()


def tls_context(client: KeyPair, ca: bytes) -> ssl.SSLContext:
    """Who believes this CA alone and shows this certificate. Raises ssl.SSLError, ValueError."""
    context = ssl.create_default_context(cadata=ca.decode())
    # Before 1.3 it is the server that chooses the numbers to reckon with, so large that one handshake stalls the
    # process for seconds. Every API server of Kubernetes speaks 1.3.
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # Python's TLS loads keys from files only.
    with tempfile.TemporaryDirectory(prefix="cks-pool-") as folder:
        pem = Path(folder, "client.pem")
        pem.touch(mode=0o600)
        pem.write_bytes(client.certificate + client.key)
        context.load_cert_chain(pem)
    return context


def _words(body: bytes) -> str:
    """What an answer that is an error says: the message of a Status, or its text."""
    try:
        said = json.loads(body)["message"]
    except (ValueError, RecursionError, TypeError, KeyError):
        said = body[: 10 * SHOWN].decode(errors="replace")
    return cleaned(str(said))


def _failure(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no whole answer within {PATIENCE:g} s"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"somebody who is not who it should be ({cleaned(cause.verify_message)})"
        cause = cause.__cause__ or cause.__context__
    return f"none, it does not answer ({type(error).__name__})"


def _unique(pairs: list[tuple[str, Any]]) -> Object:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name comes twice in an object")
    return found


def _no_number(_text: str) -> NoReturn:
    raise ValueError("not a number")
