"""A client of any Kubernetes API over HTTP, from a kubeconfig: for controllers that play beside another API server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import aiohttp
import orjson
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from simulator.api.errors import ApiError
from simulator.api.requests import JSON
from simulator.client import GVR, Obj, accounts
from simulator.client.verbs import Verbs, error_of, whole_items

Objects = list[Obj]
PAGE = 500
"""Objects a list chunk, as kubectl."""
SPEAKING_AS = {"Impersonate-User": accounts.CONTROLLER, "Impersonate-Group": accounts.GROUPS[0]}
"""The kubeconfig's user must be allowed to impersonate; administrators are."""


class HttpClient(Verbs):
    """Client over HTTP, speaking as virt-controller. Raises ApiError; a connection that fails is an ApiError 503."""

    def __init__(self, client: ApiClient, session: aiohttp.ClientSession, manager: str = "simulator") -> None:
        self._client = client
        self._session = session
        super().__init__(manager)

    @classmethod
    @asynccontextmanager
    async def connect(cls, kubeconfig: Path) -> AsyncIterator[Self]:
        """Raises kubernetes' ConfigException for a file that is none, OSError for one that cannot be read."""
        configuration = Configuration()
        await config.load_kube_config(str(kubeconfig), None, configuration, persist_config=False)
        async with ApiClient(configuration) as client:
            # One connection a watch, beside those of the calls.
            connector = aiohttp.TCPConnector(limit=0, ssl=client.rest_client.ssl_context)
            async with aiohttp.ClientSession(connector=connector) as session:
                yield cls(client, session)

    async def list(self, gvr: GVR, namespace: str | None = None, *, labels: str = "", fields: str = "") -> list[Obj]:
        query = {"labelSelector": labels, "fieldSelector": fields, "limit": str(PAGE)}
        items: Objects = []
        while True:
            found = await self._object("GET", gvr.path(namespace), query)
            items += whole_items(found)
            query["continue"] = found["metadata"].get("continue", "")
            if not query["continue"]:
                return items

    async def _lines(self, gvr: GVR, namespace: str | None, query: dict[str, str]) -> AsyncIterator[Obj]:
        query = {"watch": "true", "timeoutSeconds": "290", **query}
        async with self._request("GET", gvr.path(namespace), query, timeout=None) as response:
            async for line in _lines(response):
                yield orjson.loads(line)

    async def _object(
        self, method: str, path: str, query: dict[str, str] | None = None, body: Any = None, content: str = JSON
    ) -> Obj:
        async with self._request(method, path, query or {}, body, content, timeout=30.0) as response:
            loaded: Obj = orjson.loads(await response.read() or b"{}")
            return loaded

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        body: Any = None,
        content: str = JSON,
        *,
        timeout: float | None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"Accept": JSON, "Content-Type": content, "User-Agent": self._manager, **SPEAKING_AS}
        await self._client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        url = f"{self._client.configuration.host}{path}"
        sent = None if body is None else orjson.dumps(body)
        given = {name: value for name, value in query.items() if value}
        limits = aiohttp.ClientTimeout(total=timeout, sock_connect=10.0)
        try:
            async with self._session.request(
                method, url, params=given, headers=headers, data=sent, timeout=limits
            ) as response:
                if response.status >= 400:
                    raise error_of(response.status, await response.read())
                yield response
        except (TimeoutError, aiohttp.ClientError) as error:
            raise ApiError(503, "ServiceUnavailable", f"{method} {path}: {error or type(error).__name__}") from error


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Lines of any length; aiohttp's own reader stops at 64 KiB."""
    rest = b""
    async for chunk in response.content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line:
                yield line
