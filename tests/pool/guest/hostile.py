"""What a learner puts in place of his cluster's API server: any bytes, behind a certificate of the cluster's own CA."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from pool.guest.identity import Identity, ensure_identity
from pool.guest.kubeconfig import ensure_kubeconfig
from pool.kube.client import Kube
from pool.kube.resources import NAMESPACES, SERVICES
from pool.kubevirt.cluster import API_PORT, Cluster
from simulator.guests import pki

Answer = Callable[[str, asyncio.StreamWriter], Awaitable[None]]
"""Answers a request for a path, in whatever way."""


class Hostile:
    """An API server that is none; `answer` may be changed at any time."""

    def __init__(self, kube: Kube, cluster: Cluster, identity: Identity, address: str, folder: Path) -> None:
        self.kube = kube
        self.cluster = cluster
        self.answer: Answer = silent
        self.identity = identity
        self.address = address
        self.connections = 0
        self._folder = folder

    @asynccontextmanager
    async def serving(
        self,
        answer: Answer,
        *,
        name: str = "",
        identity: Identity | None = None,
        newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
        forged: Callable[[str, pki.Authority], str] = lambda certificate, _authority: certificate,
    ) -> AsyncIterator[Hostile]:
        """While entered, it answers so; with the certificate for another name, of another CA, or forged, or by an older
        TLS."""
        self.answer, self.connections = answer, 0
        ca = (identity or self.identity).ca
        authority = pki.load(ca.certificate.decode(), ca.key.decode(), datetime.now(UTC))
        names = [name or self.cluster.server_name]
        pem = self._folder / "hostile.pem"
        certificate, key = pki.serving_certificate(authority, names, datetime.now(UTC))
        pem.write_text(forged(certificate, authority) + key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        context.maximum_version = newest
        tasks: set[asyncio.Task[None]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            # asyncio's streams complain of handlers that end as cancelled.
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    await self.answer(head.split()[1].decode(), writer)
                    await writer.drain()
            writer.transport.abort()

        server = await asyncio.start_server(serve, self.address, API_PORT, ssl=context)
        try:
            yield self
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await server.wait_closed()


async def silent(_path: str, _writer: asyncio.StreamWriter) -> None:
    """Nothing at all."""


def saying(body: bytes, status: str = "200 OK", *headers: str) -> Answer:
    """This, to whatever is asked."""

    async def answer(_path: str, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    return answer


def of_no_version(certificate: str, authority: pki.Authority) -> str:
    """The certificate of a version that X.509 does not have, signed as it was."""
    known = x509.load_pem_x509_certificate(certificate.encode())
    content = known.tbs_certificate_bytes
    algorithm = known.public_bytes(Encoding.DER).partition(content)[2][:12]  # ecdsa-with-SHA256
    content = content.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x05", 1)
    signature = b"\0" + authority.key.sign(content, ec.ECDSA(hashes.SHA256()))
    whole = content + algorithm + b"\x03" + bytes([len(signature)]) + signature
    return ssl.DER_cert_to_PEM_cert(b"\x30\x82" + len(whole).to_bytes(2, "big") + whole)


def ready_and(otherwise: Answer) -> Answer:
    """/readyz is ok; the rest is answered as given."""

    async def answer(path: str, writer: asyncio.StreamWriter) -> None:
        await (saying(b"ok") if path == "/readyz" else otherwise)(path, writer)

    return answer


def endless(head: bytes, part: bytes, pause: float = 0.0) -> Answer:
    """The same again and again, until the client has enough."""

    async def answer(_path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)

    return answer


@asynccontextmanager
async def hostile_at(kube: Kube, cluster: Cluster, folder: Path) -> AsyncIterator[Hostile]:
    """A cluster as the pool knows it, whose API server is the learner's."""
    now = datetime.now(UTC)
    await kube.create(NAMESPACES, NAMESPACES.manifest(cluster.namespace))
    identity = await ensure_identity(kube, cluster, now)
    await ensure_kubeconfig(kube, cluster, identity, now)
    spec = {"ports": [{"port": API_PORT, "protocol": "TCP"}]}
    service = await kube.create(SERVICES, SERVICES.manifest("cp", cluster.namespace, spec=spec))
    yield Hostile(kube, cluster, identity, service["spec"]["clusterIP"], folder)
