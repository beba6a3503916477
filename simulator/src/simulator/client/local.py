"""A client in the server's own process: the same path as over HTTP, without sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson

from simulator.api.requests import ADMIN, JSON, Request, Response, User
from simulator.api.server import ApiServer
from simulator.client import GVR, Obj
from simulator.client.verbs import Verbs, error_of, whole_items


class LocalClient(Verbs):
    """Client over an ApiServer in this process, acting as `user`."""

    def __init__(self, api: ApiServer, *, user: User = ADMIN, manager: str = "simulator") -> None:
        self._api = api
        self._user = user
        super().__init__(manager)

    async def list(self, gvr: GVR, namespace: str | None = None, *, labels: str = "", fields: str = "") -> list[Obj]:
        found = await self._object("GET", gvr.path(namespace), _selected(labels, fields))
        return whole_items(found)

    async def _lines(self, gvr: GVR, namespace: str | None, query: dict[str, str]) -> AsyncIterator[Obj]:
        response = await self._answer("GET", gvr.path(namespace), {"watch": "true", **query})
        if response.stream is None:
            raise RuntimeError("a watch was answered without a stream")
        async for chunk in response.stream:
            for line in chunk.splitlines():
                yield orjson.loads(line)

    async def _object(
        self, method: str, path: str, query: dict[str, str] | None = None, body: Any = None, content: str = JSON
    ) -> Obj:
        response = await self._answer(method, path, query or {}, body, content)
        loaded: Obj = orjson.loads(response.body) if response.body else {}
        return loaded

    async def _answer(
        self, method: str, path: str, query: dict[str, str], body: Any = None, content: str = JSON
    ) -> Response:
        sent = b"" if body is None else orjson.dumps(body)
        headers = {"accept": JSON, "content-type": content, "user-agent": self._manager}
        response = await self._api.handle(Request(method, path, query, headers, sent, self._user))
        if response.status >= 400:
            raise error_of(response.status, response.body)
        return response


def _selected(labels: str, fields: str) -> dict[str, str]:
    named = {"labelSelector": labels, "fieldSelector": fields}
    return {name: value for name, value in named.items() if value}
