"""A client in the server's own process: the same path as over HTTP, without sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import orjson

from simulator.api import bodies
from simulator.api.errors import ApiError
from simulator.api.requests import ADMIN, JSON, Request, Response, User
from simulator.api.server import ApiServer
from simulator.client import GVR, Event, Obj
from simulator.client.relisting import follow

Patch = Obj | list[Obj]
PATCHES = {"merge": bodies.MERGE, "json": bodies.JSON_PATCH, "strategic": bodies.STRATEGIC, "apply": bodies.APPLY}


class LocalClient:
    """Client over an ApiServer in this process, acting as `user`."""

    def __init__(self, api: ApiServer, *, user: User = ADMIN, manager: str = "simulator") -> None:
        self._api = api
        self._user = user
        self._manager = manager

    async def get(self, gvr: GVR, name: str, namespace: str | None = None) -> Obj:
        return await self._object("GET", gvr.path(namespace, quote(name)))

    async def list(self, gvr: GVR, namespace: str | None = None, *, labels: str = "", fields: str = "") -> list[Obj]:
        found = await self._object("GET", gvr.path(namespace), _selected(labels, fields))
        return whole_items(found)

    async def create(self, gvr: GVR, obj: Obj, namespace: str | None = None, *, subresource: str = "") -> Obj:
        name = quote(obj["metadata"]["name"]) if subresource else ""
        path = gvr.path(namespace or obj["metadata"].get("namespace"), name, subresource)
        return await self._object("POST", path, self._managed(), obj)

    async def update(self, gvr: GVR, obj: Obj, *, subresource: str = "") -> Obj:
        meta = obj["metadata"]
        path = gvr.path(meta.get("namespace"), quote(meta["name"]), subresource)
        return await self._object("PUT", path, self._managed(), obj)

    async def patch(
        self,
        gvr: GVR,
        name: str,
        patch: Patch,
        namespace: str | None = None,
        *,
        type: str = "merge",
        subresource: str = "",
        dry_run: bool = False,
    ) -> Obj:
        path = gvr.path(namespace, quote(name), subresource)
        query = self._managed() | ({"dryRun": "All"} if dry_run else {})
        return await self._object("PATCH", path, query, patch, PATCHES[type])

    async def delete(
        self,
        gvr: GVR,
        name: str,
        namespace: str | None = None,
        *,
        propagation: str = "Background",
        uid: str | None = None,
        grace: int | None = None,
    ) -> None:
        body: Obj = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation}
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        if grace is not None:
            body["gracePeriodSeconds"] = grace
        await self._object("DELETE", gvr.path(namespace, quote(name)), {}, body)

    async def watch(self, gvr: GVR, namespace: str | None = None, *, labels: str = "") -> AsyncIterator[Event]:
        async for event in follow(lambda query: self._lines(gvr, namespace, {"labelSelector": labels, **query})):
            yield event

    async def _lines(self, gvr: GVR, namespace: str | None, query: dict[str, str]) -> AsyncIterator[Obj]:
        response = await self._answer("GET", gvr.path(namespace), {"watch": "true", **query})
        if response.stream is None:
            raise RuntimeError("a watch was answered without a stream")
        async for chunk in response.stream:
            for line in chunk.splitlines():
                yield orjson.loads(line)

    def _managed(self) -> dict[str, str]:
        return {"fieldManager": self._manager}

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


def whole_items(found: Obj) -> list[Obj]:
    """A list's items with apiVersion and kind, which built-in kinds leave out there."""
    head = {"apiVersion": found["apiVersion"], "kind": found["kind"].removesuffix("List")}
    return [head | item for item in found["items"]]


def error_of(status: int, body: bytes) -> ApiError:
    """The ApiError that an answer stands for."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        content = None
    if not isinstance(content, dict) or content.get("kind") != "Status":
        return ApiError(status, "", body.decode(errors="replace").strip() or f"status {status}")
    details = content.get("details")
    retry = (details or {}).get("retryAfterSeconds")
    reason = content.get("reason", "")
    return ApiError(status, reason, content.get("message", ""), details, retry_after=retry)
