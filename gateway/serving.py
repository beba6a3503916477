"""The server around the app: where it listens, TLS, and how it stops."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI

from gateway import logs
from gateway.app import build
from gateway.gateway import Gateway
from gateway.settings import PREFIX, GatewaySettings
from gateway.tls import renewing
from pool.core.errors import InvalidInput

logger = logging.getLogger(__name__)

KEEP_ALIVE = 65
"""Seconds that an idle connection is kept: a platform's pool of them meets no closed one."""


class Server(uvicorn.Server):
    """uvicorn, whose streams are told to end before it waits for its connections."""

    def __init__(self, app: FastAPI, settings: GatewaySettings) -> None:
        self._gateway: Gateway = app.state.gateway
        super().__init__(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                ssl_certfile=settings.tls_certificate,
                ssl_keyfile=settings.tls_key,
                timeout_keep_alive=KEEP_ALIVE,
                timeout_graceful_shutdown=settings.stop_timeout,
            )
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop: streams end, what is under way is answered, the host is left."""
        self._gateway.stopping.set()
        await super().shutdown(sockets)


async def serve(settings: GatewaySettings) -> None:
    """Serve until a signal (SIGINT, SIGTERM), then stop in order.

    Raises InvalidInput, before anything is opened, for what must not or cannot be served.
    """
    settings.check_serving()
    logs.configure(settings.log_format)
    server = Server(build(settings), settings)
    with listening(settings) as bound:
        scheme = "https" if settings.tls_certificate else "http"
        host, port = bound.getsockname()[:2]
        logger.info("serving %s://%s:%s", scheme, f"[{host}]" if ":" in host else host, port)
        async with certificate_renewed(server, settings):
            await server.serve([bound])


@asynccontextmanager
async def certificate_renewed(server: Server, settings: GatewaySettings) -> AsyncIterator[None]:
    """While entered, the served certificate is that of the files. Raises InvalidInput if they hold none."""
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None or key is None:
        yield
        return
    try:
        server.config.load()
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput(
            f"setting {PREFIX}TLS_CERTIFICATE", expected="a certificate and its key, PEM", actual=f"{error}"
        ) from None
    assert server.config.ssl is not None
    task = asyncio.create_task(renewing(server.config.ssl, certificate, key), name="renewing the certificate")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def listening(settings: GatewaySettings) -> socket.socket:
    """The socket to serve at. Raises InvalidInput if it cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # asyncio sends at once only what is said to be TCP; else the end of each answer waits 40 ms for the client's sign.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((settings.host, settings.port))
        bound.listen(1024)
    except (OSError, OverflowError) as error:
        bound.close()
        raise InvalidInput(
            f"setting {PREFIX}LISTEN", expected="a free address of this machine", actual=f"{settings.listen}: {error}"
        ) from None
    return bound
