"""Any Kubernetes API through the official client's own connection, as dicts: the suite's only way to a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from tests import http_api
from tests.http_api import Failed, Obj

LOOPBACK = ("127.0.0.1", "localhost")
MERGE = "application/merge-patch+json"


class Api(http_api.Api):
    """One server. `patience`: seconds that whatever is waited for may take there."""

    def __init__(self, client: ApiClient, patience: float) -> None:
        self._client = client
        self.patience = patience
        self._as: dict[str, str] = {}

    def impersonating(self, user: str) -> Api:
        """The same server, called as somebody else."""
        other = Api(self._client, self.patience)
        other._as = {"Impersonate-User": user}
        return other

    @classmethod
    @asynccontextmanager
    async def reach(cls, kubeconfig: Path, *, patience: float) -> AsyncIterator[Api]:
        """Raises kubernetes' ConfigException for a file that is none."""
        configuration = Configuration()
        await config.load_kube_config(str(kubeconfig), None, configuration, persist_config=False)
        if urlsplit(configuration.host).hostname in LOOPBACK:
            configuration.client_session_kwargs = {"trust_env": False}
        async with ApiClient(configuration) as client:
            yield cls(client, patience)

    async def call(
        self, method: str, path: str, body: Any = None, *, accept: str = "*/*", content_type: str = "application/json"
    ) -> tuple[int, Any]:
        """Status and body (JSON if it is, else text), whatever the status."""
        response = await self._open(method, path, {}, body, accept, content_type, self.patience)
        text = (await response.read()).decode()
        return response.status, json.loads(text) if text.startswith(("{", "[")) else text

    async def _open(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        body: Any = None,
        accept: str = "application/json",
        content_type: str = "application/json",
        timeout: float | None = None,
    ) -> aiohttp.ClientResponse:
        headers = {"Accept": accept, "Content-Type": content_type, **self._as}
        given = [(key, value) for key, value in query.items() if value]
        _, url, headers, _, _ = await self._client.param_serialize(
            method, path, None, given, headers, auth_settings=["BearerToken"]
        )
        limits = aiohttp.ClientTimeout(total=timeout)
        sent = await self._client.rest_client.request(method, url, headers=headers, body=body, _request_timeout=limits)
        response: aiohttp.ClientResponse = sent.response
        return response

    async def page(self, path: str, **query: str) -> Obj:
        """A collection with `labelSelector`, `fieldSelector`, `limit`, `continue`... Raises Failed."""
        response = await self._open("GET", path, query, timeout=self.patience)
        answer = json.loads(await response.read())
        if response.status >= 400:
            raise Failed(response.status, answer)
        return dict(answer)

    async def warned(self, method: str, path: str, body: Any, content_type: str = "application/json") -> list[str]:
        """What the server warns of when it answers a request that it carries out. Raises Failed."""
        response = await self._open(method, path, {}, body, content_type=content_type, timeout=self.patience)
        answer = json.loads(await response.read())
        if response.status >= 400:
            raise Failed(response.status, answer)
        return response.headers.getall("Warning", [])

    async def names(self, path: str, **query: str) -> list[str]:
        """Names of what a collection selects, sorted."""
        return sorted(one["metadata"]["name"] for one in (await self.page(path, **query))["items"])

    async def warnings(self, path: str) -> list[str]:
        """The Warning headers of an answer to GET."""
        response = await self._open("GET", path, {}, timeout=self.patience)
        await response.read()
        return response.headers.getall("Warning", [])

    async def replace(self, path: str, obj: Obj) -> Obj:
        """PUT. Raises Failed."""
        return await self._json("PUT", path, obj)

    async def ensure(self, collection: str, obj: Obj) -> None:
        """Create it unless one of its name is there. Raises Failed."""
        try:
            await self.create(collection, obj)
        except Failed as failure:
            if failure.body.get("reason") != "AlreadyExists":
                raise

    async def discard(self, path: str) -> None:
        """Delete it if it is there. Raises Failed."""
        try:
            await self.delete(path)
        except Failed as failure:
            if failure.code != 404:
                raise

    async def remove(self, path: str, **options: Any) -> Obj:
        """DELETE with DeleteOptions. Raises Failed."""
        return await self._json("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", **options})

    async def events(
        self, path: str, opened: asyncio.Event | None = None, *, version: str = "", **query: str
    ) -> AsyncIterator[tuple[str, Obj]]:
        """A watch from `version` on, or from what is there; `opened` is set once it is answered. Raises Failed."""
        response = await self._open("GET", path, {"watch": "1", "resourceVersion": version, **query})
        try:
            if response.status >= 400:
                raise Failed(response.status, json.loads(await response.read()))
            if opened is not None:
                opened.set()
            async for line in response.content:
                event = json.loads(line)
                yield event["type"], event["object"]
        finally:
            response.close()

    async def until(self, path: str, check: Callable[[Obj | None], Any], *, timeout: float | None = None) -> Any:
        """What `check` says of the object at `path` once that is true; None is passed when it is not there."""
        return await super().until(path, check, timeout=timeout or self.patience)

    async def gone(self, *paths: str) -> None:
        """Wait until none of these is there."""
        for path in paths:
            await self.until(path, lambda obj: obj is None)
