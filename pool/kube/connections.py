"""Connections of the client library, made anew when the server's CA or our certificate is another one."""

from __future__ import annotations

import logging
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from kubernetes.aio.client import ApiClient, Configuration

from pool.core.errors import KubeconfigError
from pool.kube.credentials.access import unusable
from pool.kube.credentials.current import Shown

logger = logging.getLogger(__name__)

AT_ONCE = 512
"""Connections. Long watches hold some of their own; the bound is only there against a flood of requests."""


@dataclass(eq=False)
class _Pool:
    client: ApiClient
    users: int = 0


class Connections:
    """One pool of connections at a time. What runs over an older one ends there, undisturbed."""

    def __init__(self, shown: Shown) -> None:
        """Nothing is sent yet. Raises KubeconfigError when certificates do not load."""
        self._kind = shown.server, shown.pair
        self._pool = _Pool(_client(shown))
        self._open = {self._pool}

    @asynccontextmanager
    async def using(self, shown: Shown) -> AsyncIterator[ApiClient]:
        """A client for as long as the context lasts."""
        if self._kind != (shown.server, shown.pair):
            await self._replace(shown)
        pool = self._pool
        pool.users += 1
        try:
            yield pool.client
        finally:
            pool.users -= 1
            await self._close_unused(pool)

    async def close(self) -> None:
        while self._open:
            await self._open.pop().client.close()

    async def _replace(self, shown: Shown) -> None:
        self._kind, before = (shown.server, shown.pair), self._pool
        try:
            self._pool = _Pool(_client(shown))
        except KubeconfigError as error:  # half of a pair is there, perhaps; the other half is another change
            logger.warning("going on with the certificates of before: %s", error)
            return
        self._open.add(self._pool)
        await self._close_unused(before)

    async def _close_unused(self, pool: _Pool) -> None:
        if pool is not self._pool and not pool.users and pool in self._open:
            self._open.discard(pool)
            await pool.client.close()


def _client(shown: Shown) -> ApiClient:
    server, pair = shown.server, shown.pair
    configuration = Configuration(
        host=server.url,
        ca_cert_data=server.ca.decode("latin-1"),
        verify_ssl=server.verify,
        tls_server_name=server.name or None,
        connection_pool_maxsize=AT_ONCE,
        proxy=server.proxy or None,
    )
    # The library would look for proxies (and passwords) by itself, by other rules than Go's clients.
    configuration.client_session_kwargs = {"trust_env": False}
    # As Go's TLS: what is given is trusted even if it is no root or an old-fashioned one, and names are SANs.
    configuration.disable_strict_ssl_verification = True
    try:
        # Python's TLS loads keys from files only.
        with tempfile.TemporaryDirectory(prefix="cks-pool-") as folder:
            if pair is not None:
                configuration.cert_file = _written(Path(folder, "tls.crt"), pair.certificate)
                configuration.key_file = _written(Path(folder, "tls.key"), pair.key)
            client = ApiClient(configuration)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise unusable(shown.access.source, f"certificates do not load ({type(error).__name__})") from error
    context = client.rest_client.ssl_context
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.hostname_checks_common_name = False
    return client


def _written(path: Path, content: bytes) -> str:
    path.touch(mode=0o600)
    path.write_bytes(content)
    return str(path)
